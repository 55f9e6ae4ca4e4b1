# SPDX-License-Identifier: GPL-2.0
"""The tests under KVM, and how a list of them is run and reported."""
import os
import subprocess
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(here), 'boot'))

import overcommit as fleet      # noqa: E402
import tests as boot            # noqa: E402
from boot import Failure, NeverUp  # noqa: E402


def plain(env):
    """KVM itself: an L2 without the device."""
    disk = env.tree_disk('ext4')
    with env.guest('plain', device=None, disks=[('ext4', disk, False)]) as guest:
        kvm = guest.qmp('query-kvm')
        guest.check(kvm['enabled'], f'the guest runs under KVM ({kvm})')
        guest.run(lambda guest, words: None)
    boot.same_sums(guest, boot.sums_of(disk), 'first', 'again')
    return guest


def torture(env):
    return boot.torture(env, kernel='test', seconds=30)


class Results:
    """What a test that boots no guest of its own has found."""

    def __init__(self):
        self.results = []

    def check(self, passed, text):
        self.results.append((bool(passed), text))


def run_qtest(env, program, *options):
    """One of the device's own tests, which bring their own guest."""
    found = Results()
    build = os.path.dirname(env.qemu)
    log = os.path.join(env.logs, f'{program}.log')
    user = os.environ.get('GPH_QEMU_UID')
    with open(log, 'w') as out:
        run = subprocess.run(
            [os.path.join(build, 'tests/qtest', program), '--tap', *options],
            cwd=build, stdout=out, stderr=subprocess.STDOUT, timeout=900,
            env={**os.environ, 'QTEST_QEMU_BINARY': './qemu-system-x86_64',
                 'GPH_QTEST_ACCEL': 'kvm'},
            **({'user': int(user), 'group': int(user)} if user else {}))
    with open(log, errors='replace') as lines:
        for line in lines:
            if line.startswith(('ok ', 'not ok ')):
                found.check(line.startswith('ok '), line.split(' ', 2)[-1].strip())
    found.check(run.returncode == 0 and found.results, f'it ends well ({run.returncode})')
    return found


def overcommit(env):
    return fleet.overcommit(env, Results())


def qtest(env):
    return run_qtest(env, 'virtio-gph-test')


def faults(env):
    """Those of its tests that are about what KVM does: for the mutants."""
    names = ('fault', 'stale-code', 'string-io', 'event-delivery')
    return run_qtest(env, 'virtio-gph-test', *(word for test in names for word in
                                               ('-p', f'/x86_64/virtio-gph/{test}')))


def migration_qtest(env):
    return run_qtest(env, 'virtio-gph-migration-test')


TESTS = [faults, boot.stopped, boot.basic, boot.lifecycle]

# Only by name: minutes each.
LONG = [plain, qtest, torture, overcommit, migration_qtest]


def name(test):
    return test.__name__.replace('_', '-')


KNOWN = {name(test): test for test in TESTS + LONG}


# An L2 of an L1 under TCG sometimes stops early in its boot, long before hinting begins,
# also without the device.  That is said, and it is booted again.
BOOTS = 3


def boot_and_run(env, test):
    for attempt in range(1, BOOTS + 1):
        try:
            return test(env).results
        except NeverUp as error:
            print(f'# {name(test)}: boot {attempt} of {BOOTS}: {error}', flush=True)
            last = error
        except (Failure, OSError, subprocess.SubprocessError) as error:
            return [(False, str(error))]
    return [(False, str(last))]


def run(env, names, report):
    """Run tests by name; report(passed, text) is told every result."""
    for test in [KNOWN[one] for one in names] or TESTS:
        start = time.monotonic()
        for passed, text in boot_and_run(env, test):
            report(passed, f'{name(test)}: {text}')
        print(f'# {name(test)}: {time.monotonic() - start:.0f} s', flush=True)
