# SPDX-License-Identifier: GPL-2.0
"""Overcommit: two guests in a cgroup v2 with less memory than both want.

Once with pressure=on, once with pressure=off, on the same host, with the same work.
Needs root, a cgroup v2 with the memory controller, and zram for swap: as an L1 has.
"""
import os
import subprocess
import threading
import time

CGROUP = '/sys/fs/cgroup'
GUEST_MIB = 320
LIMIT_MIB = 400
GUESTS = 2


def read(path):
    with open(path) as text:
        return text.read().strip()


def write(path, text):
    with open(path, 'w') as out:
        out.write(str(text))


def number(path, key):
    for line in read(path).splitlines():
        words = line.split()
        if words[0] == key:
            return int(words[1])
    return 0


def prepare_host():
    os.makedirs(CGROUP, exist_ok=True)
    if not os.path.exists(f'{CGROUP}/cgroup.controllers'):
        subprocess.run(['mount', '-t', 'cgroup2', 'cgroup2', CGROUP], check=True)
    write(f'{CGROUP}/cgroup.subtree_control', '+memory')
    if len(read('/proc/swaps').splitlines()) < 2:
        write('/sys/block/zram0/disksize', '1G')
        subprocess.run(['mkswap', '/dev/zram0'], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(['swapon', '/dev/zram0'], check=True)


class Pair:
    """Both guests in a new cgroup, and what the host's kernel had to do."""

    def __init__(self, env, name, option):
        self.name = name
        self.cgroup = f'{CGROUP}/{name}'
        os.mkdir(self.cgroup)
        write(f'{self.cgroup}/memory.max', LIMIT_MIB << 20)
        # As a manager of units delegates it.
        os.chown(f'{self.cgroup}/memory.pressure', int(os.environ.get('GPH_QEMU_UID', 0)), -1)
        self.guests = []
        self.taken = 0
        swapped = number('/proc/vmstat', 'pswpout')
        start = time.monotonic()
        threads = [threading.Thread(target=self.run, args=(env, i, option))
                   for i in range(GUESTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds = time.monotonic() - start
        self.swapped = number('/proc/vmstat', 'pswpout') - swapped
        self.peak = int(read(f'{self.cgroup}/memory.peak'))
        self.met = number(f'{self.cgroup}/memory.events', 'max')
        self.killed = number(f'{self.cgroup}/memory.events', 'oom_kill')

    def run(self, env, i, option):
        data = env.data_disk(128)
        with env.guest(f'{self.name}-{i}', script='overcommit', memory=f'{GUEST_MIB}M',
                       device=f'virtio-gph-pci,id=gph,{option}', cgroup=self.cgroup,
                       disks=[('tools', env.tools(), True)], timeout=900,
                       extra=['-drive', f'file={data},if=none,id=data,format=raw,readonly=on,'
                                        'cache.direct=on',
                              '-device', 'virtio-blk-pci,drive=data,serial=data']) as guest:
            self.guests.append(guest)
            guest.run(self.count)

    def count(self, guest, words):
        self.taken += guest.query()['pressure']['taken-bytes']

    def right(self):
        return len(self.guests) == GUESTS and all(
            passed for guest in self.guests for passed, _ in guest.results)

    def row(self):
        return (f'{self.name}: {self.seconds:.0f} s, {self.swapped} pages swapped out, limit met '
                f'{self.met} times, {self.killed} killed, peak {self.peak >> 20} MiB, '
                f'{self.taken >> 20} MiB taken')


def overcommit(env, found):
    prepare_host()
    found.check(GUESTS * GUEST_MIB > LIMIT_MIB,
                f'{GUESTS} guests of {GUEST_MIB} MiB in {LIMIT_MIB} MiB')
    gph = Pair(env, 'gph', 'pressure=on,x-pressure-floor=32M')
    found.check(gph.right(), 'with gph: both guests do their work, and every byte is right')
    found.check(gph.swapped == 0 and gph.killed == 0, f'with gph: nothing was swapped ({gph.row()})')
    none = Pair(env, 'none', 'pressure=off')
    found.check(none.swapped > 0 or none.killed > 0,
                f'without: the host swaps or kills ({none.row()})')
    return found
