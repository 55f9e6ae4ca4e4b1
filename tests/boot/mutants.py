# SPDX-License-Identifier: GPL-2.0
"""Kernels with one safeguard removed; the torture must fail with each.

A mutant is a text replacement in the prepared kernel source, which is put back.
Its build directory starts as a copy of the test kernel's, so that only what the
mutant touches is built again.
"""
import contextlib
import fcntl
import os
import subprocess
import time

import tests
from boot import Failure

# How long each is tortured; the unchanged kernel passes that.
SECONDS = 40

# name, file, text, replacement
MUTANTS = [
    ('lookup-hook-dropped', 'mm/gph/discard.c',
     'bool __gph_lookup_gone(struct folio *folio)\n{\n\tbool dropped;\n',
     'bool __gph_lookup_gone(struct folio *folio)\n{\n\tbool dropped;\n\n\treturn false;\n'),
    ('refilled-while-mapped', 'mm/gph/discard.c',
     '\terror = gph_unmap(folio);\n', '\terror = 0;\n'),
    ('gup-hook-dropped', 'mm/gup.c',
     'if (!gph_folio_upgrade(folio) ||\n', 'if (\n'),
    ('references-not-counted', 'mm/gph/downgrade.c',
     '\treturn folio_ref_count(folio) ==\t\t/* [down:D] */\n'
     '\t       folio_nr_pages(folio) + mapcount + 1;\n', '\treturn true;\n'),
]


def build(env, name):
    """Build the planted source; returns the kernel image."""
    home = env.kernel_dir
    out = os.path.join(home, 'build-mutant')
    subprocess.run(['rsync', '-a', '--delete', home + '/build-test/', out + '/'], check=True)
    log = os.path.join(env.logs, f'mutant-{name}.build.log')
    with open(log, 'w') as file:
        done = subprocess.run(
            ['make', '-C', home + '/src', f'O={out}', 'CC=ccache gcc',
             f'-j{os.cpu_count()}', 'bzImage'], stdout=file, stderr=file)
    if done.returncode:
        raise Failure(f'it does not build: see {log}')
    return os.path.join(out, 'arch/x86/boot/bzImage')


@contextlib.contextmanager
def source_lock(env):
    """The lock that guest/prepare takes: nobody else compiles a mutant."""
    with open(env.kernel_dir + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def planted(env, name, path, text, replacement):
    """The mutant's kernel image; the source is as it was again."""
    with source_lock(env):
        return build_planted(env, name, path, text, replacement)


def build_planted(env, name, path, text, replacement):
    target = os.path.join(env.kernel_dir, 'src', path)
    with open(target) as file:
        content = file.read()
    times = os.stat(target)
    if content.count(text) != 1:
        raise Failure(f'its place in {path} was not found')
    try:
        with open(target, 'w') as file:
            file.write(content.replace(text, replacement))
        return build(env, name)
    finally:
        with open(target, 'w') as file:
            file.write(content)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def run(env, names):
    results = []
    for name, *where in MUTANTS:
        if names and name not in names:
            continue
        start = time.monotonic()
        try:
            env.kernel_override = planted(env, name, *where)
            guest = tests.torture(env, f'mutant-{name}', kernel='test',
                                  seconds=SECONDS, timeout=3 * SECONDS)
            wrong = [text for passed, text in guest.results if not passed]
            results.append((bool(wrong), f'mutant {name} is caught'
                            + (f': {wrong[0]}' if wrong else ', but it SURVIVED')))
        except Failure as error:
            # A guest that loses its data may well come to a stop.
            caught = 'no end after' in str(error)
            results.append((caught, f'mutant {name}: {error}'))
        env.kernel_override = None
        print(f"{'ok' if results[-1][0] else 'NOT OK'} - {results[-1][1]} "
              f'({time.monotonic() - start:.0f} s)', flush=True)
    return results
