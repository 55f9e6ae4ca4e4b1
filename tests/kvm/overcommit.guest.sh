# SPDX-License-Identifier: GPL-2.0
# One of two guests whose host has less memory than both want: reads a file with fio
# again and again, writes memory with stress-ng, and looks at every byte.
mount_tools
mount_disk data ext4 /mnt/data ro
want=$(cat /mnt/data/sum)
for round in 1 2; do
	fio --name=read --filename=/mnt/data/bytes --readonly --rw=read --bs=128k \
		--ioengine=psync --allow_file_create=0 --invalidate=0 >/tmp/fio.log 2>&1
	check "fio reads, round $round" [ $? = 0 ]
done
stress-ng --vm 1 --vm-bytes 40M --vm-ops 400 --vm-method incdec --verify >/tmp/stress.log 2>&1
check "stress-ng finds its memory right" [ $? = 0 ]
check "every byte of the file is right" [ "$(md5sum </mnt/data/bytes | cut -d ' ' -f 1)" = "$want" ]
host count
