# SPDX-License-Identifier: GPL-2.0
# Reads more than the host has room for, while the device watches the host.

sums()
{
	md5sum </mnt/data/bytes | cut -d ' ' -f 1
}

mount_disk data ext4 /mnt/data ro
host idle far
data first "$(sums)"
data again "$(sums)"
host pressed
host idle near
(data overlap "$(sums)") &
host overlap
wait
host off
data off "$(sums)"
host over
host floor
host relieved
data last "$(sums)"
