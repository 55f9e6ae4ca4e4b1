# SPDX-License-Identifier: GPL-2.0
"""The boot tests: what each guest needs, and the host's half of its script."""
import hashlib

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
    guest = refused(env, 'other-abi', device='virtio-gph-pci,id=gph,x-abi=2')
    with open(guest.console, errors='replace') as console:
        guest.check('device has ABI version 2, this driver knows 1' in console.read(),
                    'the driver says which versions there are')
    return guest


TESTS = [basic, stopped, lifecycle, off, other_abi, torture]
