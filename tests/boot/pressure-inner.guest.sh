# SPDX-License-Identifier: GPL-2.0
# The guest inside of the guest of the test "pressure-kernel": reads more than its host
# has room for, twice.  Nobody answers here; results are words in a file.

mount_disk data ext4 /mnt/data ro
want=$(cat /mnt/data/sum)
for round in first again; do
	sum=$(md5sum </mnt/data/bytes | cut -d ' ' -f 1)
	check "$round: every byte is right" [ "$sum" = "$want" ]
done
data dropped "$(gph_stat dropped)"
