# SPDX-License-Identifier: GPL-2.0
# Every CPU reads the same and other mapped files at once, while the host takes them
# again and again; one CPU faults on nothing and measures how long it stands still.

cpus=$(nproc)

mount_disk ext4 ext4 /mnt/ext4
cd /mnt/ext4 || die "no tree"
# The other CPUs fault; with one CPU all share it, and nothing is measured.
run=
if [ "$cpus" -gt 1 ]; then
	stall $((cpus - 1)) /tmp/measured >/tmp/stall &
	measure=$!
	run="taskset $(printf %x $(((1 << (cpus - 1)) - 1)))"
	# Does it notice? The host stops all of QEMU for a second.
	host freeze
	touch /tmp/measured
	wait $measure
	data control-stall-us "$(cat /tmp/stall)"
	rm /tmp/measured
	stall $((cpus - 1)) /tmp/measured >/tmp/stall &
	measure=$!
fi
$run treesum -j "$cpus" tree >/dev/null
(while [ ! -e /tmp/measured ]; do echo 1 >$GPH/age; sleep 0.5; done) 2>/dev/null &
for reader in 1 2 3; do
	$run treesum -m -j "$cpus" -w /tmp/go$reader tree >/tmp/sums.$reader &
	eval "reader$reader=\$!"
	while [ ! -e /tmp/go$reader.ready ]; do sleep 0.1; done
done
age
age
host storm
# Two on the same mapped files at the same time, and one on the file's descriptors.
touch /tmp/go1 /tmp/go2
$run treesum -j "$cpus" tree >/tmp/sums.read
wait $reader1
wait $reader2
# All at once: everything is taken before anybody looks.
age
age
host calm
touch /tmp/go3
wait $reader3
for reader in 1 2 3 read; do
	data sums-$reader "$(md5sum </tmp/sums.$reader | cut -d ' ' -f 1)"
done
touch /tmp/measured
if [ "$cpus" -gt 1 ]; then
	wait $measure
	data stall-us "$(cat /tmp/stall)"
fi
data faults "$(gph_stat faults_user)"
check "all CPUs took discard faults" [ "$(gph_stat faults_user)" -gt 500 ]
