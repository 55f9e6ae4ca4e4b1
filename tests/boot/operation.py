# SPDX-License-Identifier: GPL-2.0
"""What operation does to a guest: many CPUs at once, reboot, a device that pins its
memory, memory that comes later."""
import os
import signal
import threading
import time

from tests import reclaim_all, same_sums, sums_of

SLOW = int(os.environ.get('GPH_SLOW', 1))
# The test kernel and its host are emulated and share a machine: a deadlock or a
# vCPU that waits for a whole reclaim is what this is to catch, not jitter.
STALL_SECONDS = 5 * SLOW
QMP_SECONDS = 20 * SLOW


class Storm:
    """The host's half of smp: takes everything, again and again, from a thread."""

    def __init__(self):
        self.stopping = False
        self.thread = None
        self.taken = self.commands = 0
        self.slowest = 0.0
        self.error = None

    def __call__(self, guest, words):
        if words[0] == 'freeze':
            time.sleep(1)
            guest.process.send_signal(signal.SIGSTOP)
            time.sleep(1)
            guest.process.send_signal(signal.SIGCONT)
        elif words[0] == 'storm':
            self.thread = threading.Thread(target=self.loop, args=(guest,), daemon=True)
            self.thread.start()
        else:
            self.end()
            return reclaim_all(guest, 'all-at-once')
        return 'done'

    def loop(self, guest):
        try:
            while not self.stopping:
                self.taken += guest.reclaim(seconds=1)['discarded-bytes']
                start = time.monotonic()
                guest.qmp('query-status')
                self.slowest = max(self.slowest, time.monotonic() - start)
                self.commands += 1
                time.sleep(0.3)
        except Exception as error:      # judged by the caller
            self.error = error

    def end(self):
        self.stopping = True
        if self.thread:
            self.thread.join()


def storm(env, cpus):
    disk = env.tree_disk('ext4', *SMALL)
    host = Storm()
    try:
        with env.guest(f'smp{cpus}', script='smp', cpus=cpus, timeout=400,
                       disks=[('ext4', disk, False)]) as guest:
            guest.run(host)
            totals = guest.data.get('faults', 0)
    finally:
        host.stopping = True
    guest.check(host.error is None, f'QMP answers all the time ({host.error or host.commands} commands)')
    guest.check(host.commands >= 5 and host.taken > 8 << 20,
                f'the host took {host.taken >> 20} MiB while {cpus} CPUs read; {totals} discard faults')
    guest.check(host.slowest < QMP_SECONDS, f'in between QMP answers within {host.slowest:.2f} s')
    same_sums(guest, sums_of(disk), 'sums-1', 'sums-2', 'sums-3', 'sums-read')
    control = int(guest.data.get('control-stall-us', 0))
    guest.check(control >= 900000, f'a CPU that stands still for a second is seen ({control} us)')
    stall = int(guest.data.get('stall-us', 1 << 60))
    guest.check(stall < STALL_SECONDS * 1000000,
                f'a CPU that does not fault stood still for {stall} us at most')
    return guest


SMALL = ('mm', 'kernel')


def smp4(env):
    return storm(env, 4)


def smp8(env):
    return storm(env, 8)


def pin(guest, value):
    guest.qmp('qom-set', path='/machine/peripheral/gph', property='x-pin', value=value)


class Reboot:
    def __init__(self):
        self.boots = 0

    def __call__(self, guest, words):
        return getattr(self, words[0].replace('-', '_'))(guest) or 'done'

    def which(self, guest):
        self.boots += 1
        states = guest.query()['states']
        guest.check(not states['discarded']['pages'],
                    f'boot {self.boots} starts with nothing discarded')
        return str(self.boots)

    def reclaim_half(self, guest):
        guest.reclaim(size=max(guest.query()['states']['volatile']['bytes'] // 2, 4096))
        guest.check(guest.pages('discarded') and guest.pages('volatile'),
                    'some is taken and some is volatile when the guest reboots')

    def all_volatile_is_mine(self, guest):
        guest.qmp('stop')
        reclaim_all(guest, 'stopped')
        gone = guest.pages('discarded')
        for _ in range(5):
            guest.qmp('cont')
            guest.qmp('stop')
        guest.check(gone and guest.query()['memfd-bytes'], f'stopped and going on with {gone} pages gone')
        guest.qmp('cont')

    def pinned(self, guest):
        before = guest.query()
        pin(guest, True)
        answer = guest.qmp.raw('x-gph-reclaim', bytes=1 << 30)
        after = guest.query()
        guest.check(before['states']['volatile']['pages'] and 'error' in answer,
                    'what is pinned is not taken: '
                    + answer.get('error', {}).get('desc', 'it WAS'))
        guest.check(bool(after.get('inhibited')), f"it says why: {after.get('inhibited')}")
        guest.check(before['totals']['discarded-bytes'] == after['totals']['discarded-bytes'],
                    'and nothing was')

    def unpinned(self, guest):
        pin(guest, False)
        guest.check(not guest.query().get('inhibited'), 'nothing inhibits it any more')
        return reclaim_all(guest, 'unpinned')


def reboot(env):
    disk = env.tree_disk('ext4', *SMALL)
    host = Reboot()
    with env.guest('reboot', disks=[('ext4', disk, False)], no_reboot=False) as guest:
        guest.run(host)
    guest.check(host.boots == 2, f'the guest rebooted by itself ({host.boots} boots)')
    same_sums(guest, sums_of(disk), 'first-1', 'first-2', 'stopped', 'pinned', 'unpinned')
    return guest


MIB = 1 << 20


def memory_of(guest, address, size):
    """Guest-physical memory as QEMU reads it."""
    path = guest.qmp_path + '.mem'
    guest.qmp('pmemsave', val=address, size=size, filename=path)
    with open(path, 'rb') as content:
        found = content.read()
    os.unlink(path)
    return found


class Plug:
    """A DIMM and a virtio-mem beside the memory that the table describes."""

    PATTERN = b'gph!' * 1024

    def __init__(self):
        self.dimm = None

    def __call__(self, guest, words):
        if words[0] == 'plug':
            before = guest.query()
            frames = sum(state['pages'] for state in before['states'].values())
            guest.qmp('object-add', **{'qom-type': 'memory-backend-file', 'id': 'dimm0mem',
                                       'size': 128 * MIB, 'share': True,
                                       'mem-path': self.path(guest)})
            guest.qmp('device_add', driver='pc-dimm', id='dimm0', memdev='dimm0mem')
            devices = {one['type']: one['data'] for one in guest.qmp('query-memory-devices')}
            self.dimm = devices['dimm']['addr']
            guest.check(devices['dimm']['hotplugged'], f'a DIMM was plugged at {self.dimm:#x}')
            guest.check('virtio-mem' in devices, 'there is a virtio-mem')
            guest.check(memory_of(guest, self.dimm, 4096) == self.PATTERN, 'it has its bytes')
            reclaim_all(guest, 'plugged')
            after = guest.query()
            guest.check(frames == sum(state['pages'] for state in after['states'].values()),
                        f'the table still describes {frames} pages')
            guest.check(not after.get('inhibited'), 'neither inhibits reclaim')
        else:
            reclaim_all(guest, 'later')
            content = memory_of(guest, self.dimm, 128 * MIB)
            guest.check(content == self.PATTERN * (128 * MIB // 4096),
                        'the DIMM has all its bytes after two reclaims')
        return 'done'

    @classmethod
    def path(cls, guest):
        path = guest.qmp_path + '.dimm'
        with open(path, 'wb') as out:
            out.write(cls.PATTERN * (128 * MIB // 4096))
        os.chmod(path, 0o666)
        return path


def hotplug(env):
    """The guest's kernel has no memory hotplug: this is QEMU's half of it."""
    disk = env.tree_disk('ext4', *SMALL)
    with env.guest('hotplug', disks=[('ext4', disk, False)], memory='512M', extra=[
            '-m', '512M,slots=2,maxmem=2G',
            '-object', 'memory-backend-memfd,id=vmem0,size=128M,share=on',
            '-device', 'virtio-mem-pci,id=vm0,memdev=vmem0,requested-size=0']) as guest:
        try:
            guest.run(Plug())
        finally:
            if os.path.exists(guest.qmp_path + '.dimm'):
                os.unlink(guest.qmp_path + '.dimm')
    same_sums(guest, sums_of(disk), 'first', 'again', 'last')
    return guest


TESTS = [reboot, hotplug]

# Only by name: they have not yet come to their end on a busy host of two CPUs.
LONG = [smp4, smp8]
