# SPDX-License-Identifier: GPL-2.0
# A guest without the device: proves that KVM runs guests here, and right.
mount_disk ext4 ext4 /mnt/ext4
check "hinting is off" [ "$(cat $GPH/enabled)" = 0 ]
check "there is a CPU" [ "$(nproc)" -ge 1 ]
data first "$(cd /mnt/ext4 && treesum tree | md5sum | cut -d ' ' -f 1)"
echo 1 >/proc/sys/vm/drop_caches
data again "$(cd /mnt/ext4 && treesum -m tree | md5sum | cut -d ' ' -f 1)"
