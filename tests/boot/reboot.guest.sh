# SPDX-License-Identifier: GPL-2.0
# The guest reboots with half of its cache taken, by itself; what is pinned is not
# taken; a stopped machine is.  The host's half counts the boots.

sums()
{
	(cd /mnt/ext4 && treesum "$@" tree) | md5sum | cut -d ' ' -f 1
}

boot=$(host which)
mount_disk ext4 ext4 /mnt/ext4
data first-$boot "$(sums)"
age
age
if [ "$boot" = 1 ]; then
	host reclaim-half
	reboot -f
fi
host all-volatile-is-mine
data stopped "$(sums)"
age
age
host pinned
data pinned "$(sums)"
age
age
host unpinned
data unpinned "$(sums)"
if [ -e /sys/kernel/kexec_loaded ]; then
	data kexec yes
else
	data kexec no
fi
