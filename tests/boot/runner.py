# SPDX-License-Identifier: GPL-2.0
"""Runs tests that are functions of an Environment and return a judged Guest."""
import subprocess
import sys
import time

from boot import Failure


def run_test(env, test):
    """Run one test; returns its (passed, text) results."""
    name = test.__name__.replace('_', '-')
    start = time.monotonic()
    try:
        guest = test(env)
        results = guest.results
    except (Failure, OSError, subprocess.CalledProcessError) as error:
        results = [(False, str(error))]
    for passed, text in results:
        print(f"{'ok' if passed else 'NOT OK'} - {name}: {text}", flush=True)
    if not all(passed for passed, _ in results):
        print(f'# see {env.logs}/{name}.console.log and {name}.qemu.log', flush=True)
    print(f'# {name}: {time.monotonic() - start:.0f} s', flush=True)
    return results


def count(results):
    """The last line, and the exit status."""
    failed = sum(not passed for passed, _ in results)
    print(f'{len(results) - failed} passed, {failed} failed', flush=True)
    return 1 if failed or not results else 0


def run(env, tests, names, more=()):
    """Run the tests named, or all; those of @more only by name."""
    known = {test.__name__.replace('_', '-'): test for test in (*tests, *more)}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"run: no test {unknown[0]}; there are {', '.join(known)}")
    chosen = [known[name] for name in names] or tests
    return count([result for test in chosen for result in run_test(env, test)])
