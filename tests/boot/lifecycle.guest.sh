# SPDX-License-Identifier: GPL-2.0
# Unbinding the driver, binding it again, and a reset of the machine in the middle.

sums()
{
	(cd /mnt/ext4 && treesum "$@" tree) | md5sum | cut -d ' ' -f 1
}

mount_disk ext4 ext4 /mnt/ext4
driver=/sys/bus/virtio/drivers/virtio_gph
device=
for dir in $driver/virtio*; do [ -e "$dir" ] && device=${dir##*/}; done
check "the driver has its device" [ -n "$device" ]

data first "$(sums)"
(cd /mnt/ext4 && treesum -m -w /tmp/go tree) >/tmp/mapped.sums &
while [ ! -e /tmp/go.ready ]; do sleep 0.1; done
age
age
# Half of the cache is taken, half is volatile, when the driver goes.
host reclaim-half
echo "$device" >$driver/unbind
check "hinting is off" [ "$(cat $GPH/enabled)" = 0 ]
host all-stable
touch /tmp/go
wait
data unbound "$(md5sum </tmp/mapped.sums | cut -d ' ' -f 1)"
data unbound-read "$(sums)"

echo "$device" >$driver/bind
check "hinting is on again" [ "$(cat $GPH/enabled)" = 1 ]
echo 1 >/proc/sys/vm/drop_caches
data bound "$(sums)"
age
age
host reclaim
data bound-again "$(sums)"
age
age
host reclaim-half
# The first time the machine is reset here, and all of this runs again.
host reset-once
