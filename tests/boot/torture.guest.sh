# SPDX-License-Identifier: GPL-2.0
# Everything at once, while the host takes random volatile runs all the time: the
# ways of reading and changing a file (cachetorture), fio with verification on
# buffered and direct I/O and on mappings, a fork storm, memory pressure, ageing,
# compaction and cache dropping.

seconds=60
for word in $(cat /proc/cmdline); do
	case $word in gph.seconds=*) seconds=${word#gph.seconds=} ;; esac
done

mount_tools
mount_disk scratch ext4 /mnt/scratch 2>/dev/null
echo 1 >/proc/sys/vm/stat_interval
host torture on

(while :; do echo 1 >$GPH/age; sleep 0.05; done) 2>/dev/null &
(while :; do
	sleep 7
	echo 1 >/proc/sys/vm/drop_caches
	sleep 3
	echo 1 >/proc/sys/vm/compact_memory
done) 2>/dev/null &

mkdir /mnt/scratch/ct /mnt/scratch/fio
cachetorture /mnt/scratch/ct "$seconds" 96 5 >/tmp/ct.log 2>&1 &
torture=$!

cat >/tmp/job <<-END
[global]
directory=/mnt/scratch/fio
size=8m
bs=4k-64k
verify=crc32c
verify_fatal=1
time_based=0
loops=2
group_reporting=1
[buffered]
rw=randwrite
ioengine=psync
[mapped]
rw=randwrite
ioengine=mmap
bs=4k
[direct]
rw=randwrite
ioengine=libaio
direct=1
bs=4k
iodepth=8
[uring]
rw=randwrite
ioengine=io_uring
bs=4k
iodepth=8
END
fio=0
rounds=0
start=$(cut -d. -f1 /proc/uptime)
while [ $(($(cut -d. -f1 /proc/uptime) - start)) -lt "$seconds" ]; do
	rm -f /mnt/scratch/fio/*
	fio /tmp/job >/tmp/fio.log 2>&1 || { fio=1; tail -n 20 /tmp/fio.log >/dev/console; break; }
	# Read back what was written, after it went volatile.
	fio --verify_only /tmp/job >/tmp/fio.log 2>&1 || { fio=1; tail -n 20 /tmp/fio.log >/dev/console; break; }
	stress-ng --fork 2 --mmap 1 --mmap-file --mmap-bytes 16m --verify --timeout 4 \
		--temp-path /mnt/scratch >/tmp/stress.log 2>&1 ||
		{ fio=2; tail -n 20 /tmp/stress.log >/dev/console; break; }
	rounds=$((rounds + 1))
done
wait $torture
status=$?
cat /tmp/ct.log >/dev/console
check "no way of reading a file gave a wrong byte" [ $status = 0 ]
check "fio and stress-ng found every byte that they wrote ($rounds rounds)" [ $fio = 0 ]
host torture off
data checked "$(tail -n 1 /tmp/ct.log)"
for name in downgraded upgraded claimed dropped settled faults_user faults_kernel \
	faults_fixup cancelled downgrade_lost settle_failed; do
	data $name "$(gph_stat $name)"
done
check "folios were taken all the time" [ "$(gph_stat claimed)" -gt 500 ]
