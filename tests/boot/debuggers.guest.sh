# SPDX-License-Identifier: GPL-2.0
# The host reads memory that it has taken, with all that QEMU has for it; then a
# debugger steps through a load from a page that was taken.

mount_disk ext4 ext4 /mnt/ext4
cd /mnt/ext4 || die "no tree"
file=$(find tree -type f -size +16k | sort | head -n 1)
offset=9000
treesum -m -w /tmp/go tree >/tmp/mapped.sums &
reader=$!
while [ ! -e /tmp/go.ready ]; do sleep 0.1; done
loadbyte "$file" $offset >/tmp/byte &
loader=$!
while [ ! -s /tmp/byte ]; do sleep 0.1; done
age
age
host look
kill -0 $loader || not_ok "the loader is there"
# The debugger stops the machine before the load is done.
host break "$(head -n 1 /tmp/byte)"
faults=$(gph_stat faults_user)
kill -USR1 $loader
wait $loader
check "it ends well" [ $? = 0 ]
data byte "$(tail -n 1 /tmp/byte)"
data want "$(od -An -tu1 -j $offset -N 1 "$file" | tr -d ' ')"
data step-faults $(($(gph_stat faults_user) - faults))
host stepped
touch /tmp/go
wait $reader
data mapped "$(md5sum </tmp/mapped.sums | cut -d ' ' -f 1)"
data read "$(treesum tree | md5sum | cut -d ' ' -f 1)"
