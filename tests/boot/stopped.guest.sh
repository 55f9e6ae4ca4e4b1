# SPDX-License-Identifier: GPL-2.0
# The host takes the cache of a guest that does nothing, because it is stopped.

sums()
{
	(cd /mnt/ext4 && treesum "$@" tree) | md5sum | cut -d ' ' -f 1
}

mount_disk ext4 ext4 /mnt/ext4
data first "$(sums)"
(cd /mnt/ext4 && treesum -m -w /tmp/go tree) >/tmp/mapped.sums &
while [ ! -e /tmp/go.ready ]; do sleep 0.1; done
age
age
host stop-reclaim-cont
touch /tmp/go
wait
data mapped "$(md5sum </tmp/mapped.sums | cut -d ' ' -f 1)"
age
age
host stop-reclaim-cont
data again "$(sums)"
check "mapped readers took discard faults" [ "$(gph_stat faults_user)" -gt 100 ]
