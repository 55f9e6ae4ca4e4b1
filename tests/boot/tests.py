# SPDX-License-Identifier: GPL-2.0
"""The boot tests: what each guest needs, and the host's half of its script."""
import hashlib
import tempfile
import time

import hosts
from boot import Failure, Guest


def sums_of(disk):
    """What the guest's sums() must say of a tree that mkdisk has summed."""
    with open(disk + '.sums', 'rb') as sums:
        return hashlib.md5(sums.read()).hexdigest()


def reclaim_all(guest, label=''):
    """Take all that is volatile; at least 80 % of it must be freed really."""
    before = guest.query()
    volatile = before['states']['volatile']['bytes']
    got = freed = 0
    for _ in range(20):
        answer = guest.reclaim()
        got += answer['discarded-bytes']
        freed += answer['freed-bytes']
        if not answer['discarded-bytes']:
            break
    guest.data[f'volatile-{label}'] = volatile
    guest.data[f'freed-{label}'] = freed
    guest.check(volatile >= 1 << 20, f'{label}: there is something volatile ({volatile >> 20} MiB)')
    guest.check(freed >= 0.8 * volatile,
                f'{label}: {freed >> 20} of {volatile >> 20} volatile MiB were freed on the host')
    return f'{got} discarded'


def same_sums(guest, want, *keys):
    for key in keys:
        guest.check(guest.data.get(key) == want, f'{key}: every file has the right bytes')


def basic(env):
    disks = {name: env.tree_disk(name) for name in ('ext4', 'xfs')}

    def host(guest, words):
        if words[0] == 'census':
            volatile = guest.query()['states']['volatile']['bytes']
            guest.data[words[1]] = volatile
            return volatile
        return reclaim_all(guest, words[1])

    with env.guest('basic', disks=[('tools', env.tools(), True)] +
                   [(name, disk, False) for name, disk in disks.items()], timeout=400) as guest:
        guest.run(host)
    for name, disk in disks.items():
        same_sums(guest, sums_of(disk), f'{name}-first', f'{name}-again', f'{name}-mapped')
    return guest


def stopped(env):
    disk = env.tree_disk('ext4')

    def host(guest, words):
        guest.qmp('stop')
        answer = reclaim_all(guest, 'stopped')
        guest.check(guest.qmp('query-status')['status'] == 'paused', 'the guest was stopped meanwhile')
        guest.qmp('cont')
        return answer

    with env.guest('stopped', disks=[('ext4', disk, False)]) as guest:
        guest.run(host)
    same_sums(guest, sums_of(disk), 'first', 'again', 'mapped')
    return guest


def torture(env, name='torture', kernel='debug', seconds=None, timeout=None):
    seconds = seconds or env.torture_seconds

    def host(guest, words):
        guest.qmp('qom-set', path='/machine/peripheral/gph', property='x-torture',
                  value=256 if words[1] == 'on' else 0)
        if words[1] == 'off':
            totals = guest.query()['totals']
            guest.data['host-discarded-bytes'] = totals['discarded-bytes']
            guest.check(not totals['violations']['total'], 'the guest broke no rule of the table')
            guest.check(not totals['punch-errors'], 'every hole was punched')

    with env.guest(name, script='torture', kernel=kernel, append=f'gph.seconds={seconds}',
                   disks=[('tools', env.tools(), True), ('scratch', env.scratch(), False)],
                   timeout=timeout or seconds * 4 + 240) as guest:
        guest.run(host)
    return guest


def lifecycle(env):
    disk = env.tree_disk('ext4')
    state = {'reset': False}

    def host(guest, words):
        if words[0] == 'reclaim-half':
            volatile = guest.query()['states']['volatile']['bytes']
            guest.reclaim(size=max(volatile // 2, 4096))
            guest.check(guest.pages('discarded') and guest.pages('volatile'),
                        'some is taken and some is volatile')
        elif words[0] == 'all-stable':
            states = guest.query()['states']
            guest.check(all(not value['pages'] for name, value in states.items() if name != 'stable'),
                        'every word is stable')
        elif words[0] == 'reset-once' and not state['reset']:
            state['reset'] = True
            guest.qmp('system_reset')
            return None
        elif words[0] == 'reclaim':
            return reclaim_all(guest, 'rebound')
        return 'done'

    with env.guest('lifecycle', disks=[('ext4', disk, False)], no_reboot=False) as guest:
        guest.run(host)
    guest.check(state['reset'], 'the machine was reset')
    same_sums(guest, sums_of(disk), 'first', 'unbound', 'unbound-read', 'bound', 'bound-again')
    return guest


def refused(env, name, **settings):
    disk = env.tree_disk('ext4')

    def host(guest, words):
        guest.check(not guest.pages('volatile'), 'nothing is volatile')
        answer = guest.qmp.raw('x-gph-reclaim', bytes=1 << 20)
        guest.check('error' in answer, 'reclaim says that there is no driver')

    with env.guest(name, script='off', disks=[('ext4', disk, False)], **settings) as guest:
        guest.run(host)
    return guest


def off(env):
    return refused(env, 'off', append='gph=off')


def other_abi(env):
    guest = refused(env, 'other-abi', device='virtio-gph-pci,id=gph,pressure=off,x-abi=2')
    with open(guest.console, errors='replace') as console:
        guest.check('device has ABI version 2, this driver knows 1' in console.read(),
                    'the driver says which versions there are')
    return guest


class Pressure:
    """The host's half of the test "pressure"."""

    LIMIT = 256

    def __init__(self, host):
        self.host = host
        self.before = None

    def __call__(self, guest, words):
        if self.host.thread is None:
            self.host.watch(guest.process)
        return getattr(self, words[0])(guest, *words[1:])

    def idle(self, guest, where):
        """Nobody does anything: no scan and no request to the guest."""
        if where == 'far':
            self.host.set_limit(4096)
            guest.qmp('x-gph-set-pressure')
        time.sleep(2)
        before = guest.query()
        time.sleep(5)
        after = guest.query()
        looks = after['pressure']['looks'] - before['pressure']['looks']
        guest.check(before['totals']['scans'] == after['totals']['scans'],
                    f'{where} from the limit an idle guest is not scanned')
        guest.check(before['age-requests'] == after['age-requests'],
                    f'{where} from the limit an idle guest is not asked for ageing')
        most = 1 if where == 'far' else 25
        guest.check(looks <= most, f'{where} from the limit an idle guest costs {looks} looks in 5 s')
        if where == 'far':
            self.host.set_limit(self.LIMIT)
            guest.qmp('x-gph-set-pressure')

    def pressed(self, guest):
        now = guest.query()['pressure']
        guest.data['peak-mib'] = self.host.peak >> 20
        guest.check(self.host.peak < self.host.limit,
                    f'the guest stayed below the limit ({self.host.peak >> 20} of {self.LIMIT} MiB)')
        guest.check(now['taken-bytes'] > self.LIMIT << 20,
                    f"memory was taken by itself ({now['taken-bytes'] >> 20} MiB)")
        guest.check(now['episodes'] >= 1, 'there was an episode')

    def overlap(self, guest):
        """QMP and the device at once."""
        taken = guest.query()['pressure']['taken-bytes']
        stops, mine = set(), 0
        for _ in range(40):
            answer = guest.reclaim(size=1 << 20, seconds=1)
            stops.add(answer['stopped'])
            mine += answer['discarded-bytes']
            time.sleep(0.1)
        totals = guest.query()
        guest.check(mine > 0 and totals['pressure']['taken-bytes'] > taken,
                    f'both took memory ({mine >> 20} MiB by QMP, '
                    f"{(totals['pressure']['taken-bytes'] - taken) >> 20} MiB by pressure)")
        guest.check(stops <= {'goal', 'empty', 'time'}, f'every command came to its end: {sorted(stops)}')
        guest.check(not totals['totals']['violations']['total'], 'no rule of the table was broken')

    def off(self, guest):
        guest.qmp('x-gph-set-pressure', enabled=False)
        self.before = guest.query()['pressure']['taken-bytes']

    def over(self, guest):
        now = guest.query()
        guest.check(now['pressure']['taken-bytes'] == self.before, 'switched off it takes nothing')
        guest.check(self.host.peak > self.host.limit,
                    f'and the guest passes the limit ({self.host.peak >> 20} MiB)')

    def floor(self, guest):
        floor = guest.query()['memfd-bytes'] - (32 << 20)
        guest.qmp('x-gph-set-pressure', enabled=True, floor=floor)
        time.sleep(2)
        now = guest.query()
        guest.check(floor <= now['memfd-bytes'] < floor + (8 << 20),
                    f"the guest keeps its floor ({now['memfd-bytes'] >> 20} of {floor >> 20} MiB)")

    def relieved(self, guest):
        """With the floor lower it goes on, up to the stop threshold and no further."""
        guest.qmp('x-gph-set-pressure', floor=64 << 20)
        time.sleep(3)
        now = guest.query()
        used = now['memfd-bytes'] + self.host.other
        guest.check(not now['pressure']['active'], 'the episode is over')
        guest.check(0.70 * self.host.limit <= used <= 0.851 * self.host.limit,
                    f'usage is below the stop threshold, and not far ({used >> 20} of {self.LIMIT} MiB)')


def pressure(env):
    with tempfile.TemporaryDirectory(prefix='gph-host-') as root:
        host = hosts.Host(root, Pressure.LIMIT)
        try:
            with env.guest('pressure', disks=[('data', env.data_disk(), True)], memory='768M',
                           device='virtio-gph-pci,id=gph,pressure=on,x-pressure-floor=32M,'
                                  f'x-pressure-root={root}') as guest:
                guest.run(Pressure(host))
        finally:
            host.stop()
    want = env.data_sum()
    same_sums(guest, want, 'first', 'again', 'overlap', 'off', 'last')
    return guest


def pressure_kernel(env):
    """A guest that is a host: see tests/boot/pressure-kernel.guest.sh."""
    with env.guest('pressure-kernel', memory='1200M', device=None, timeout=1500,
                   disks=[('nested', env.nested(), True), ('swap', env.blank('swap', '600M'), False),
                          ('data', env.data_disk(176), True)]) as guest:
        guest.run(None)
    # Under emulation twice this takes about five minutes.
    number = {key: int(value) for key, value in guest.data.items() if value.isdigit()}
    for name in ('on', 'off'):
        guest.check(number.get(f'{name}-right') == 2, f'{name}: every byte is right, twice')
    guest.check(number.get('on-swapped') == 0 and number.get('on-oom') == 0,
                f"on: nothing was swapped out ({guest.data.get('on-swapped')} pages)")
    guest.check(number.get('on-max') == 0 and number.get('on-peak', 1 << 60) < number['limit'],
                f"on: the limit was not met (peak {number.get('on-peak', 0) >> 20} MiB)")
    guest.check(number.get('on-taken', 0) > 0, f"on: {number.get('on-taken', 0) >> 20} MiB were taken")
    guest.check(number.get('off-max', 0) > 0 and number.get('off-swapped', 0) > 0,
                f"off: the limit was met {guest.data.get('off-max')} times, "
                f"{guest.data.get('off-swapped')} pages were swapped out")
    guest.check('memory.pressure' in guest.data.get('on-sources', '') and
                'cgroup: /sys/fs/cgroup/on' in guest.data['on-sources'],
                f"on: it watched its own cgroup ({guest.data.get('on-sources')})")
    return guest


TESTS = [basic, stopped, lifecycle, off, other_abi, pressure, torture]

# Only by name: minutes, and tests/kvm's overcommit shows the same with two guests of KVM.
LONG = [pressure_kernel]
