# SPDX-License-Identifier: GPL-2.0
# Memory comes while the guest's cache is taken; a DIMM that it does not use goes on
# holding what the host put there.

sums()
{
	(cd /mnt/ext4 && treesum "$@" tree) | md5sum | cut -d ' ' -f 1
}

mount_disk ext4 ext4 /mnt/ext4
data first "$(sums)"
age
age
host plug
data again "$(sums)"
age
age
host reclaim
data last "$(sums)"
