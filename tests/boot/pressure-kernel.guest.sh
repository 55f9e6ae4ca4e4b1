# SPDX-License-Identifier: GPL-2.0
# A host in a guest: a real kernel with cgroup v2, PSI and swap, whose QEMU runs
# in a cgroup with less memory than the inner guest wants.  With pressure=on the
# kernel must never come to swap; without, it must, or the limit was no limit.

inner_mib=512
limit_mib=280
for word in $(cat /proc/cmdline); do
	case $word in gph.limit=*) limit_mib=${word#gph.limit=} ;; esac
done

# of FILE KEY: a number from a file of keys and numbers
of()
{
	sed -n "s/^$2 //p" "$1"
}

# run_inner NAME DEVICE-OPTIONS: in a new cgroup, to its end; numbers to the host
run_inner()
{
	_cg=/sys/fs/cgroup/$1
	_out=/tmp/$1.port
	mkdir $_cg
	echo $((limit_mib << 20)) >$_cg/memory.max
	_swapped=$(of /proc/vmstat pswpout)
	: >$_out
	(while sleep 10; do
		echo "$1: $(cat $_cg/memory.current) bytes, swapped $(of /proc/vmstat pswpout)," \
			"$(grep -E '^(anon|shmem|inactive_file|active_file) ' $_cg/memory.stat | tr '\n' ' ')" \
			"last: $(tail -n 2 /tmp/$1.trace | tr '\n' ' ')" >/dev/kmsg
	done) 2>/dev/null &
	_progress=$!
	(
		echo 0 >$_cg/cgroup.procs
		exec timeout -k 5 "${3:-600}" qemu-system-x86_64 -L /tools/firmware -nodefaults \
			-display none -accel tcg,tb-size=48 -cpu max -smp 1 -m ${inner_mib}M \
			-object memory-backend-memfd,id=ram,size=${inner_mib}M,share=on \
			-machine q35,memory-backend=ram -no-reboot \
			-serial file:/dev/console -device virtio-serial-pci \
			-chardev file,id=port,path=$_out \
			-device virtserialport,chardev=port,name=gph.result \
			-drive file="$(disk data)",if=none,id=data,format=raw,readonly=on,cache.direct=on \
			-device virtio-blk-pci,drive=data,serial=data \
			-kernel /tools/kernel -initrd /tools/initrd \
			-append "console=ttyS0 panic=-1 gph.test=pressure-inner" \
			-trace 'virtio_gph_pressure*' -trace virtio_gph_host_memory \
			-trace virtio_gph_age_request -D /tmp/$1.trace \
			-device "virtio-gph-pci,id=gph,$2"
	) >/tmp/$1.log 2>&1
	kill $_progress
	cat /tmp/$1.log /tmp/$1.port /tmp/$1.trace | tail -n 60
	cat $_cg/memory.events $_cg/memory.pressure
	data $1-swapped $(($(of /proc/vmstat pswpout) - _swapped))
	data $1-peak "$(cat $_cg/memory.peak)"
	data $1-max "$(of $_cg/memory.events max)"
	data $1-oom "$(of $_cg/memory.events oom_kill)"
	data $1-taken "$(sed -n 's/.*pressure_take .*taken=\([0-9]*\).*/\1/p' /tmp/$1.trace |
		awk '{ sum += $1 } END { print sum + 0 }')"
	data $1-limit-events "$(grep -c 'pressure_event event=1' /tmp/$1.trace)"
	data $1-stalls "$(grep -c 'pressure_event event=0' /tmp/$1.trace)"
	data $1-looks "$(grep -c pressure_look /tmp/$1.trace)"
	data $1-right "$(grep -c '^ok .*every byte is right' $_out)"
	data $1-done "$(grep -c '^done' $_out)"
	data $1-sources "$(sed -n 's/.*host_memory //p' /tmp/$1.trace | head -n 1)"
}

mount_disk nested ext4 /tools ro
mkdir -p /lib64 /lib /usr/lib
for dir in lib64/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu; do
	[ -e "/$dir" ] || ln -s "/tools/$dir" "/$dir"
done
mkswap "$(disk swap)" >/dev/null && swapon "$(disk swap)" || die "no swap"
echo +memory >/sys/fs/cgroup/cgroup.subtree_control || die "no memory controller"
check "this kernel has PSI" [ -e /proc/pressure/memory ]
data limit $((limit_mib << 20))

run_inner on pressure=on,x-pressure-floor=32M
run_inner off pressure=off
