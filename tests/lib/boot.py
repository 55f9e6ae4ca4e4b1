#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Runs boot tests: boot.py --paths FILE --logs DIRECTORY [NAME...]

A test is tests/boot/NAME.py, the host's half, and usually NAME.guest.sh, the
guest's.  The host's half has a function run(test); it starts guests with
test.boot() and follows them with test.follow(), which answers each "host WORDS"
of the guest with the function host_WORDS that it was given.

One line per test, and "N passed, N failed, N skipped" at the end.  A test without
a single passed check has failed.
"""

import argparse
import glob
import hashlib
import importlib.util
import os
import sys
import time
import traceback

sys.dont_write_bytecode = True
LIB = os.path.dirname(os.path.abspath(__file__))
BOOT = os.path.join(LIB, "..", "boot")
sys.path.insert(0, LIB)

import vm  # noqa: E402


class Skip(Exception):
    """The test cannot run here, for this reason."""


class Test:
    """What the host's half of a test gets."""

    def __init__(self, name, paths, logs):
        self.name, self.paths, self.logs = name, paths, logs
        self.passed, self.failed, self.data = [], [], {}
        self.guests = []

    def boot(self, name=None, **options):
        guest = vm.Guest(name or self.name, self.paths, self.logs, **options)
        self.guests.append(guest)
        return guest

    def image(self, name):
        if name not in self.paths:
            raise Skip(f"no {name} in the list of paths")
        return self.paths[name]

    def check(self, what, good, why=""):
        (self.passed if good else self.failed).append(
            what if good else f"{what}: {why}" if why else what)

    def skip(self, why):
        raise Skip(why)

    def sums(self, disk, md5):
        """Is md5 that of the list of checksums made with this disk?"""
        with open(self.image("disk-" + disk) + ".sums", "rb") as sums:
            return "right" if md5 == hashlib.md5(sums.read()).hexdigest() \
                else "wrong"

    def take(self, guest):
        """Takes what there is, if there is something."""
        guest.reclaim_all()
        broken = guest.query()["totals"]["violations"]
        self.check("the guest breaks no rule", broken["total"] == 0, broken)

    def reclaim(self, guest):
        """Takes all there is, of which there must be something."""
        volatile = guest.pages("volatile")
        self.note(guest, f"{volatile} volatile pages")
        self.check("pages are volatile before a reclaim", volatile > 0)
        got = guest.reclaim_all()
        self.note(guest, f"reclaim: {got}")
        self.check("a reclaim takes memory", got["discarded-bytes"] > 0)
        self.check("a reclaim frees memory", got["freed-bytes"] > 0)
        broken = guest.query()["totals"]["violations"]
        self.check("the guest breaks no rule", broken["total"] == 0, broken)

    @staticmethod
    def note(guest, text):
        """A line with the time in NAME.result.log."""
        with open(guest.console.replace(".console", ".result"), "a",
                  encoding="utf-8") as log:
            print(f"{time.monotonic() - guest.started:8.1f} {text}", file=log)

    def follow(self, guest, timeout=60, **actions):
        """Follows the result port until "done"; timeout is for silence."""
        while True:
            line = guest.line(timeout)
            if line is None:
                break
            self.note(guest, line)
            word, _, rest = line.partition(" ")
            if line == "done":
                self._finish(guest)
                return
            if word == "ok":
                self.check(rest, True)
            elif word == "not":
                self.check(rest.partition(" ")[2], False)
            elif word == "data":
                key, _, value = rest.partition("=")
                self.data[key] = value
            elif word == "host":
                name, *arguments = rest.split()
                answer = actions[name.replace("-", "_")](*arguments)
                guest.answer("yes" if answer is None else str(answer))
            else:
                raise vm.Failure(f"the guest says '{line}'")
        raise vm.Failure("the guest ended without a word")

    def _finish(self, guest):
        try:
            guest.process.wait(60)
        except Exception:
            raise vm.Failure("the guest does not power off") from None
        complaints = guest.complaints()
        self.check("no kernel complaint", not complaints,
                   complaints[0] if complaints else "")
        if guest.process.returncode:
            raise vm.Failure(f"QEMU ended with {guest.process.returncode}: "
                             + guest.errors())


def load(name):
    spec = importlib.util.spec_from_file_location(
        name.replace("-", "_"), os.path.join(BOOT, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def attempt(name, paths, logs):
    """Runs one test; "passed", "failed" or "skipped"."""
    test = Test(name, paths, logs)
    start = time.monotonic()
    why = ""
    try:
        load(name).run(test)
    except Skip as skip:
        print(f"skip    {name}: {skip}", flush=True)
        return "skipped"
    except vm.Failure as failure:
        why = str(failure)
        for guest in test.guests:
            if os.path.exists(guest.console) and guest.complaints():
                why += "; kernel: " + guest.complaints()[0]
    except Exception:
        why = traceback.format_exc()
    seconds = time.monotonic() - start
    if not why and not test.failed and not test.passed:
        why = "not a single check was made"
    if why or test.failed:
        print(f"FAIL    {name} ({seconds:.0f} s)")
        for line in test.failed + ([why] if why else []):
            print(f"        {line}")
        for guest in test.guests:
            print(f"        logs: {guest.console} {guest.qemu_log}")
        sys.stdout.flush()
        return "failed"
    print(f"pass    {name} ({len(test.passed)} checks, {seconds:.0f} s)"
          + "".join(f" {k}={v}" for k, v in test.data.items()), flush=True)
    return "passed"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--paths", required=True)
    parser.add_argument("--logs", required=True)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    os.makedirs(options.logs, exist_ok=True)
    paths = vm.read_paths(options.paths)
    names = options.names or sorted(
        os.path.basename(file)[:-3] for file in glob.glob(BOOT + "/*.py"))
    # If this one fails, nothing else needs to be looked at.
    if "smoke" in names:
        names.remove("smoke")
        names.insert(0, "smoke")
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for name in names:
        print(f"...     {name}", flush=True)
        count[attempt(name, paths, options.logs)] += 1
    print(", ".join(f"{number} {what}" for what, number in count.items()))
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
