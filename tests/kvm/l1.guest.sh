# SPDX-License-Identifier: GPL-2.0
# The KVM host for tests: mounts the disks that tests/kvm/run has given it and runs
# the tests' runner, which reports for every L2.

mkdir -p /r /gph /logs /etc /var/tmp
# Not from an initrd, whose modules an L1 has: everything else is on disks.
for module in virtio_blk kvm_amd zram xfs; do
	modprobe $module || not_ok "this kernel has module $module"
done
mount_disk root ext4 /r ro
mount_disk files ext4 /gph
mount_disk logs ext4 /logs
mount --bind /r/usr /usr
for dir in lib64 lib/x86_64-linux-gnu sbin/debugfs sbin/mke2fs; do
	[ -e "/$dir" ] || ln -s "/r/$dir" "/$dir"
done
# The logs must be on the disk when this kernel dies.
echo 50 >/proc/sys/vm/dirty_writeback_centisecs
echo 100 >/proc/sys/vm/dirty_expire_centisecs

# QEMU runs without privilege: it needs the device of KVM, and the disks.
echo 'root:x:0:0::/:/bin/sh' >/etc/passwd
echo 'gph:x:1000:1000::/tmp:/bin/sh' >>/etc/passwd
chmod 666 /dev/kvm /dev/vd*
chmod 1777 /tmp /dev/shm /var/tmp
chmod 777 /logs

export PATH=$PATH:/usr/bin:/usr/sbin XDG_CACHE_HOME=/gph/cache TMPDIR=/tmp \
	GPH_LOGS=/logs GPH_PREBUILT=1 GPH_ACCEL=kvm GPH_BOOT_SECONDS=60 GPH_QEMU_UID=1000 \
	PYTHONDONTWRITEBYTECODE=1

# What QEMU and the L2s use as files are disks here.
while read -r serial file; do
	ln -s "$(disk "$serial")" "/gph/$file"
done </gph/disks

data host "$(uname -r)"
check "KVM is there" [ -c /dev/kvm ]
. /gph/settings
python3 /gph/tests/kvm/inside $tests >&3
check "the runner inside comes to its end" [ $? = 0 ]
cp /proc/vmstat /logs/vmstat
umount /logs
