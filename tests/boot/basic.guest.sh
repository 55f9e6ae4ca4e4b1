# SPDX-License-Identifier: GPL-2.0
# Real files on ext4 and XFS: read, taken, read again; mapped, taken, read through
# the mapping; executed, taken, executed on.

# sums FS OPTIONS...: the checksum over the checksums of a tree
sums()
{
	_fs=$1
	shift
	(cd /mnt/$_fs && treesum "$@" tree) | md5sum | cut -d ' ' -f 1
}

# mapped_round FS: sum a tree through mappings from which the pages were taken
mapped_round()
{
	rm -f /tmp/go /tmp/go.ready
	(cd /mnt/$1 && treesum -m -w /tmp/go tree) >/tmp/mapped.sums &
	_pid=$!
	while [ ! -e /tmp/go.ready ]; do sleep 0.1; done
	age
	age
	host reclaim $1-mapped
	touch /tmp/go
	wait $_pid
	check "$1: the mapped reader ends well" [ $? = 0 ]
	data $1-mapped "$(md5sum </tmp/mapped.sums | cut -d ' ' -f 1)"
}

mount_tools
mount_disk ext4 ext4 /mnt/ext4
mount_disk xfs xfs /mnt/xfs
check "hinting is on" [ "$(cat $GPH/enabled)" = 1 ]

for fs in ext4 xfs; do
	data $fs-first "$(sums $fs)"
	host census $fs-read
	age
	host reclaim $fs
	data $fs-again "$(sums $fs)"
	mapped_round $fs
done
check "discarded folios left the page cache" [ "$(gph_stat dropped)" -gt 1000 ]
check "mapped readers took discard faults" [ "$(gph_stat faults_user)" -gt 1000 ]
check "nothing was left mapped" [ "$(gph_stat settle_failed)" = 0 ]

# Programs whose text is taken while they run.
fio --version >/tmp/fio.version
stress-ng --cpu 1 --cpu-method matrixprod --verify --timeout 6 >/tmp/stress.log 2>&1 &
pid=$!
sleep 2
faults=$(gph_stat faults_user)
age
age
host reclaim text
wait $pid
check "a program survives the loss of its text" [ $? = 0 ]
check "its text came back by discard faults" [ "$(gph_stat faults_user)" -gt "$faults" ]

# What a discarded folio must survive: truncation, overwriting, O_DIRECT.
cp -r /mnt/ext4/tree /mnt/ext4/copy
sync
(cd /mnt/ext4/copy && find . -type f | head -n 200) >/tmp/some
age
age
host reclaim changed
n=0
while read -r file; do
	case $((n % 3)) in
	0) printf 'head' | dd of="/mnt/ext4/copy/$file" conv=notrunc status=none ;;
	1) truncate -s 1000 "/mnt/ext4/copy/$file" ;;
	2) dd if="/mnt/ext4/tree/$file" of="/mnt/ext4/copy/$file" bs=4k oflag=direct conv=notrunc status=none 2>/dev/null ||
		cat "/mnt/ext4/tree/$file" >"/mnt/ext4/copy/$file" ;;
	esac
	n=$((n + 1))
done </tmp/some
n=0
bad=0
while read -r file; do
	case $((n % 3)) in
	0) (printf 'head'; tail -c +5 "/mnt/ext4/tree/$file") >/tmp/want ;;
	1) head -c 1000 "/mnt/ext4/tree/$file" >/tmp/want
	   truncate -s 1000 /tmp/want ;;
	2) cp "/mnt/ext4/tree/$file" /tmp/want ;;
	esac
	cmp -s /tmp/want "/mnt/ext4/copy/$file" || bad=$((bad + 1))
	n=$((n + 1))
done </tmp/some
check "changed files have the right bytes ($bad of $n wrong)" [ $bad = 0 ]
