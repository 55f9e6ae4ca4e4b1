# SPDX-License-Identifier: GPL-2.0
"""Files on ext4 and XFS, read, mapped, executed and written after reclaim."""


def run(test):
    disks = [("tools", test.image("disk-tools"), "ro"),
             ("ext4", test.image("disk-ext4"), "rw"),
             ("xfs", test.image("disk-xfs"), "rw")]
    with test.boot(disks=disks) as guest:
        test.follow(guest, timeout=180,
                    take=lambda: test.take(guest),
                    reclaim=lambda: test.reclaim(guest),
                    sums=lambda what, disk, md5: test.sums(disk, md5))
