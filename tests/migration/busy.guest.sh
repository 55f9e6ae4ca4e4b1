# SPDX-License-Identifier: GPL-2.0
# Moves while the guest reads and writes files in every way, and the hosts on both
# sides may be taking random pages all the time.

sums()
{
	(cd /mnt/ext4 && treesum "$@" tree) | md5sum | cut -d ' ' -f 1
}

seconds=60
for word in $(cat /proc/cmdline); do
	case $word in gph.seconds=*) seconds=${word#gph.seconds=} ;; esac
done

mount_disk ext4 ext4 /mnt/ext4 ro
mount_disk scratch ext4 /mnt/scratch
data first "$(sums)"
want=$(sums)
mkdir -p /mnt/scratch/ct
cachetorture /mnt/scratch/ct "$seconds" 64 4 >/tmp/ct.log 2>&1 &
torture=$!
(while [ ! -e /tmp/stop ]; do echo 1 >$GPH/age; sleep 0.1; done) 2>/dev/null &
(
	while [ ! -e /tmp/stop ]; do
		[ "$(sums)" = "$want" ] || echo wrong >>/tmp/wrong
		[ "$(sums -m)" = "$want" ] || echo wrong >>/tmp/wrong
		echo round >>/tmp/rounds
	done
) &
reader=$!
sleep 5
host move
wait $torture
status=$?
touch /tmp/stop
wait $reader
cat /tmp/ct.log >/dev/console
check "no way of reading a file gave a wrong byte" [ $status = 0 ]
check "every sum of every round was right" [ ! -e /tmp/wrong ]
check "there were rounds on both sides" [ "$(wc -l </tmp/rounds)" -ge 2 ]
data again "$(sums)"
host ended
