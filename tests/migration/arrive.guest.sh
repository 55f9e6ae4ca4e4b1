# SPDX-License-Identifier: GPL-2.0
# Reads everything, is moved (or not: cancelled, a dead destination), and reads
# everything again, by read(2) and through mappings that were there before.

sums()
{
	(cd /mnt/ext4 && treesum "$@" tree) | md5sum | cut -d ' ' -f 1
}

# Sectors that were read from the disk so far.
sectors()
{
	_dev=$(disk ext4)
	awk '{ print $3 }' "/sys/block/${_dev#/dev/}/stat"
}

mount_disk ext4 ext4 /mnt/ext4 ro
data first "$(sums)"
(cd /mnt/ext4 && treesum -m -w /tmp/go tree) >/tmp/mapped.sums &
while [ ! -e /tmp/go.ready ]; do sleep 0.1; done
age
age
faults=$(gph_stat faults_user)
before=$(sectors)
host move
touch /tmp/go
wait
data mapped "$(md5sum </tmp/mapped.sums | cut -d ' ' -f 1)"
data again "$(sums)"
data sectors-read $(($(sectors) - before))
data faults $(($(gph_stat faults_user) - faults))
# And it can be done again.
age
age
host reclaim
data after-reclaim "$(sums)"
