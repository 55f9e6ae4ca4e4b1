# SPDX-License-Identifier: GPL-2.0
"""The tests of migration with a Linux guest, and the host's half of its scripts.

Two QEMUs run side by side and share the disks, as a storage that both hosts see.
"""
import os
import re
import shutil
import subprocess
import time

from boot import Failure
from tests import reclaim_all, same_sums, sums_of

MIB = 1 << 20
MEMORY = 1024 * MIB


class Move:
    """One guest, and the QEMU that it is to go to."""

    def __init__(self, env, name, script='arrive', **settings):
        self.env = env
        self.settings = dict(settings, script=script)
        self.source = env.guest(name, **self.settings)
        base = os.path.join(os.environ.get('TMPDIR', '/tmp'), f'gph-{os.getpid()}-{name}')
        self.socket = base + '.move'
        self.file = base + '.stream'

    def __enter__(self):
        self.source.__enter__()
        return self

    def __exit__(self, *unused):
        self.source.__exit__()
        for path in (self.socket, self.file):
            if os.path.exists(path):
                os.unlink(path)

    def destination(self, uri):
        """A QEMU that waits for the guest."""
        other = self.env.guest(self.source.name + '-to', incoming=True, **self.settings)
        other.__enter__()
        other.qmp('migrate-incoming', uri=uri)
        return other

    def begin(self, **parameters):
        """Start a migration; the answer is the destination."""
        uri = 'unix:' + self.socket
        other = self.destination(uri)
        if parameters:
            self.source.qmp('migrate-set-parameters', **parameters)
        self.source.qmp('migrate', uri=uri)
        return other

    def wait(self, guest, status, seconds=180):
        end = time.monotonic() + seconds
        while True:
            answer = guest.qmp('query-migrate')
            now = answer.get('status')
            if now == status:
                return answer
            if now in ('completed', 'failed', 'cancelled') or time.monotonic() > end:
                raise Failure(f"migration is {now}, not {status}: {answer.get('error-desc')}")
            time.sleep(0.02)

    def arrived(self, other):
        """The guest is there: count, then talk to it there."""
        guest = self.source
        sent = self.wait(guest, 'completed')
        self.wait(other, 'completed')
        info = guest.query()['migration']
        guest.data['transferred-MiB'] = sent['ram']['transferred'] // MIB
        guest.data['skipped-MiB'] = info['skipped-bytes'] // MIB
        guest.data['taken-back-MiB'] = info['taken-back-bytes'] // MIB
        there = other.query()
        refused = guest.qmp.raw('x-gph-reclaim', bytes=MIB)
        guest.check('has migrated' in refused.get('error', {}).get('desc', ''),
                    'nothing is taken from a guest that has gone')
        guest.follow(other)
        return info, there

    def live(self, **parameters):
        return self.arrived(self.begin(**parameters))

    def part_way(self):
        """A migration that has sent some of the memory, and goes on slowly."""
        other = self.begin(**{'max-bandwidth': 16 * MIB})
        while self.source.qmp('query-migrate').get('ram', {}).get('transferred', 0) < 24 * MIB:
            time.sleep(0.02)
        return other


def read_only(env, *more):
    return [('ext4', env.tree_disk('ext4'), True), *more]


def finish(guest, env):
    same_sums(guest, sums_of(env.tree_disk('ext4')), 'first', 'mapped', 'again', 'after-reclaim')
    print('# ' + ', '.join(f'{key} {value}' for key, value in guest.data.items()
                           if value.__class__ is int or str(value).isdigit()), flush=True)
    return guest


def gone_is_gone(guest, info, there):
    """What was not sent is discarded at the destination, and takes no memory."""
    guest.check(info['skipped-bytes'] >= 50 * MIB,
                f"{info['skipped-bytes'] // MIB} MiB were not sent")
    guest.check(there['migration']['arrived-discarded-bytes'] == info['skipped-bytes'],
                'exactly these arrived discarded')
    guest.check(there['host-discarded-pages'] * 4096 == info['skipped-bytes'],
                'and are trapped there')
    guest.check(not there['states']['volatile']['pages'], 'nothing arrived volatile')
    guest.check(there['memfd-bytes'] <= MEMORY - info['skipped-bytes'],
                'and took no memory there')


def expect_refaults(guest):
    guest.check(int(guest.data['faults']) > 100, 'mapped readers took discard faults there')
    guest.check(int(guest.data['sectors-read']) * 512 > 20 * MIB, 'and the disk was read')


def moved(env):
    with Move(env, 'moved', disks=read_only(env)) as move:
        def host(guest, words):
            if words[0] == 'reclaim':
                return reclaim_all(guest, 'reclaim')
            # Half of it is gone before: the host may take memory, and then move.
            volatile = guest.query()['states']['volatile']['bytes']
            guest.reclaim(size=volatile // 2)
            gone_is_gone(guest, *move.live())

        move.source.run(host)
        expect_refaults(move.source)
        return finish(move.source, env)


def volatile_sent(env):
    with Move(env, 'volatile-sent', disks=read_only(env),
              device='virtio-gph-pci,id=gph,migrate-volatile=on') as move:
        def host(guest, words):
            if words[0] == 'reclaim':
                return reclaim_all(guest, 'reclaim')
            before = guest.pages('volatile')
            info, there = move.live()
            guest.check(not info['skipped-bytes'], 'everything was sent')
            guest.check(before > 50 * MIB >> 12 and
                        there['states']['volatile']['pages'] > 0.9 * before,
                        'volatile memory arrived volatile')
            guest.check(not there['trapped-pages'], 'nothing is trapped')

        move.source.run(host)
        guest = move.source
        guest.check(guest.data['faults'] == '0', 'there were no discard faults')
        guest.check(int(guest.data['sectors-read']) * 512 < MIB,
                    'nothing had to be read again')
        return finish(guest, env)


def busy(env, name='busy', torture=0):
    scratch = os.path.join(env.work, f'{name}.scratch.img')
    shutil.copyfile(env.scratch(), scratch)

    def set_torture(guest):
        guest.qmp('qom-set', path='/machine/peripheral/gph', property='x-torture',
                  value=torture)

    with Move(env, name, script='busy', keep=True, timeout=400, append='gph.seconds=30',
              disks=read_only(env, ('scratch', scratch, False))) as move:
        def host(guest, words):
            if words[0] == 'ended':
                totals = guest.query()['totals']
                guest.check(not totals['violations']['total'], 'the guest broke no rule')
                came_back = totals['faults'] + totals['reused-pages']
                guest.check(came_back or not torture, 'what was taken there came back')
                return
            set_torture(guest)
            # The guest may be faster than the wire: it is held back then.
            guest.qmp('migrate-set-capabilities', capabilities=[
                {'capability': 'auto-converge', 'state': True}])
            other = move.begin(**{'max-bandwidth': 256 * MIB, 'downtime-limit': 1000})
            set_torture(other)
            info, _ = move.arrived(other)
            guest.check(info['taken-back-bytes'], 'some was needed after all')

        move.source.run(host)
        same_sums(move.source, sums_of(env.tree_disk('ext4')), 'first', 'again')
    os.unlink(scratch)
    return move.source


def busy_torture(env):
    return busy(env, 'busy-torture', 64)


def not_moved(env, name, end, status):
    """A migration that comes to nothing, twice, then one that does not."""
    with Move(env, name, disks=read_only(env)) as move:
        def host(guest, words):
            if words[0] == 'reclaim':
                return reclaim_all(guest, 'reclaim')
            before = guest.query()['states']
            for _ in range(2):
                other = move.part_way()
                end(guest, other)
                move.wait(guest, status)
                other.__exit__()
            after = guest.query()['states']
            guest.check(guest.qmp('query-status')['status'] == 'running', 'the guest runs on')
            guest.check(after['volatile']['pages'] >= 0.9 * before['volatile']['pages'] and
                        not after['discarded']['pages'], 'and nothing was taken from it')
            return reclaim_all(guest, 'after')

        move.source.run(host)
        expect_refaults(move.source)
        return finish(move.source, env)


def cancelled(env):
    return not_moved(env, 'cancelled', lambda guest, other: guest.qmp('migrate_cancel'),
                     'cancelled')


def destination_dies(env):
    return not_moved(env, 'destination-dies', lambda guest, other: other.process.kill(),
                     'failed')


def to_a_file(env):
    with Move(env, 'to-a-file', disks=read_only(env)) as move:
        def host(guest, words):
            if words[0] == 'reclaim':
                return reclaim_all(guest, 'reclaim')
            guest.qmp('stop')
            guest.qmp('migrate', uri='file:' + move.file)
            move.wait(guest, 'completed')
            other = move.destination('file:' + move.file)
            result = move.arrived(other)
            gone_is_gone(guest, *result)
            guest.qmp('cont')

        move.source.run(host)
        expect_refaults(move.source)
        return finish(move.source, env)


class Results:
    """What a test that is not a guest has found."""

    def __init__(self, results):
        self.results = results


def races(env):
    """The device's own test: what only happens in a race, refusals, bad streams."""
    build = os.path.dirname(env.qemu)
    log = os.path.join(env.logs, 'races.qemu.log')
    with open(log, 'w') as file:
        done = subprocess.run(
            ['tests/qtest/virtio-gph-migration-test', '--tap'], cwd=build, text=True,
            stdout=subprocess.PIPE, stderr=file, timeout=600,
            env=dict(os.environ, QTEST_QEMU_BINARY='./qemu-system-x86_64'))
        file.write(done.stdout)
    results = [(not match[1], match[2]) for match in
               re.finditer(r'^(not )?ok \d+ (.*)', done.stdout, re.M)]
    results.append((not done.returncode, f'ends with status {done.returncode}: {log}'))
    return Results(results)


TESTS = [races, moved, volatile_sent, busy, busy_torture, cancelled, destination_dies, to_a_file]
