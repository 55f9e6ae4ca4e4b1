# SPDX-License-Identifier: GPL-2.0
"""A host that is short of memory, for the device to see.

The kernel's files are in a directory that x-pressure-root names; usage is what the
guest's memfd occupies.  The kernel of this machine takes no part in it, so that it
works without cgroup v2; the test pressure-kernel is about a real one.
"""
import os
import threading
import time

from boot import Failure

MIB = 1 << 20


def memfd_of(pid):
    """The open file of QEMU's guest memory."""
    directory = f'/proc/{pid}/fd'
    for fd in os.listdir(directory):
        path = os.path.join(directory, fd)
        try:
            if os.readlink(path).startswith('/memfd:memory-backend-memfd'):
                return os.open(path, os.O_RDONLY)
        except OSError:
            continue
    raise Failure("QEMU's memfd was not found")


class Host:
    """Files below @root, and a thread that keeps memory.current true."""

    def __init__(self, root, limit_mib, other_mib=0):
        self.root = root
        self.limit = limit_mib * MIB
        self.other = other_mib * MIB
        self.peak = 0
        self.stopping = False
        self.thread = None
        self.file('proc/self/cgroup', '0::/vm\n')
        self.file('proc/self/mountinfo', '40 30 0:38 / /cg rw - cgroup2 cgroup2 rw\n')
        self.file('proc/meminfo', f'MemTotal: {64 << 20} kB\nMemAvailable: {60 << 20} kB\n')
        self.file('cg/vm/memory.pressure', '')
        self.file('cg/vm/memory.high', 'max\n')
        self.file('cg/vm/memory.events', 'max 0\n')
        self.file('cg/vm/memory.stat', 'inactive_file 0\n')
        self.file('cg/vm/memory.current', f'{0:<20}\n')
        self.set_limit(limit_mib)

    def file(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # In place, and always as long: the device may read at any time.
        with open(path, 'r+' if os.path.exists(path) else 'w') as out:
            out.write(text)

    def set_limit(self, mib):
        self.limit = mib * MIB
        self.file('cg/vm/memory.max', f'{self.limit:<20}\n')

    def watch(self, process):
        memfd = memfd_of(process.pid)
        current = os.open(os.path.join(self.root, 'cg/vm/memory.current'), os.O_WRONLY)

        def loop():
            while not self.stopping and process.poll() is None:
                used = os.fstat(memfd).st_blocks * 512 + self.other
                self.peak = max(self.peak, used)
                os.pwrite(current, f'{used:<20}\n'.encode(), 0)
                time.sleep(0.005)
            os.close(memfd)
            os.close(current)

        self.thread = threading.Thread(target=loop, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping = True
        if self.thread:
            self.thread.join()
