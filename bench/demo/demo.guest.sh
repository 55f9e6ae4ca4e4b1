# SPDX-License-Identifier: GPL-2.0
#
# The guest's half of the demonstration: real work on a real file system.
mount_tools
mount_disk demo ext4 /mnt/demo

meminfo()
{
	sed -n "s/^$1: *\([0-9]*\) kB/\1/p" /proc/meminfo
}

# report PHASE: what the guest itself says, then the host takes its census
report()
{
	data "$1.free" "$(meminfo MemFree)"
	data "$1.cached" "$(meminfo Cached)"
	for counter in downgraded upgraded dropped settled faults_user faults_kernel; do
		data "$1.$counter" "$(gph_stat $counter)"
	done
	data "$1.refaults" "$(sed -n 's/^workingset_refault_file //p' /proc/vmstat)"
	host census "$1" >/dev/null
}

# timed KEY COMMAND...: its time in 1/100 s
timed()
{
	_key=$1
	_from=$(cut -d ' ' -f 1 /proc/uptime | tr -d .)
	shift
	"$@"
	_status=$?
	data "$_key.cs" $(($(cut -d ' ' -f 1 /proc/uptime | tr -d .) - _from))
	return $_status
}

sum_tree()
{
	(cd /mnt/demo && treesum tree) >"/tmp/$1"
}

search()
{
	/tools/bin/grep -rF spin_lock_irqsave /mnt/demo/tree | wc -l
}

fio_job()
{
	fio --name=demo --directory=/mnt/demo --size=48M --bs=16k --rw=randwrite \
		--verify=crc32c --fallocate=none "$@" >/tmp/fio.log ||
		not_ok "fio $*: $(tail -n 1 /tmp/fio.log)"
}

report boot

# The work: search the tree, read all of it, write and read with fio.
host phase "grep -r, checksums of all files, fio" >/dev/null
found=$(search)
fio_job --do_verify=0
sync
echo 3 >/proc/sys/vm/drop_caches
timed cold sum_tree before
data before.md5 "$(md5sum </tmp/before | cut -d ' ' -f 1)"
data before.files "$(wc -l </tmp/before)"

# Some of it is mapped, by a program that sleeps over what follows.
(cd /mnt/demo/tree && exec treesum -m -w /tmp/go mm) >/tmp/mapped &
mapped=$!
while [ ! -e /tmp/go.ready ]; do
	kill -0 $mapped || die "the program with mappings has died"
	sleep 0.1
done
age
report work

# The host takes it.  This guest is not asked, and even stopped meanwhile.
host reclaim >/dev/null
report reclaim

host phase "all of it again" >/dev/null
touch /tmp/go
check "the program with mappings ends well" wait $mapped
(cd /mnt/demo/tree && treesum mm) >/tmp/want
check "every mapped byte is right" cmp -s /tmp/mapped /tmp/want
timed again sum_tree after
data after.md5 "$(md5sum </tmp/after | cut -d ' ' -f 1)"
data after.files "$(wc -l </tmp/after)"
cmp -s /tmp/before /tmp/after || data differ "$(diff /tmp/before /tmp/after | grep -c '^>')"
fio_job --verify_only=1
check "the search finds the same $found lines" test "$(search)" = "$found"
age
report reread
