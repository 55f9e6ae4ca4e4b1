# SPDX-License-Identifier: GPL-2.0
# With gph=off, or a device that speaks another ABI, nothing happens.
mount_disk ext4 ext4 /mnt/ext4
check "hinting is off" [ "$(cat $GPH/enabled)" = 0 ]
check "ageing is refused" sh -c "! echo 1 >$GPH/age"
(cd /mnt/ext4 && treesum tree) >/dev/null
check "nothing was downgraded" [ "$(gph_stat downgraded)" = 0 ]
host nothing-volatile
