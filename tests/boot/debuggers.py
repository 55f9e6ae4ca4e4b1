# SPDX-License-Identifier: GPL-2.0
"""Debuggers and discarded memory: gdbstub, pmemsave, dump-guest-memory."""
import os
import re
import socket
import struct
import threading

from boot import Failure
from tests import reclaim_all, same_sums, sums_of

FRAME = 4096
# What is read of the frames that were taken, at most.
SAMPLE = 64


class Gdb:
    """The few packets of the remote protocol that are needed."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
        self.buffer = b''

    def send(self, text):
        body = text.encode()
        self.sock.sendall(b'$%s#%02x' % (body, sum(body) & 255))

    def answer(self):
        while True:
            found = re.search(rb'\$([^#]*)#..', self.buffer, re.S)
            if found:
                self.buffer = self.buffer[found.end():]
                self.sock.sendall(b'+')
                return found.group(1).decode()
            chunk = self.sock.recv(65536)
            if not chunk:
                raise Failure('the gdbstub has gone')
            self.buffer += chunk

    def __call__(self, text):
        self.send(text)
        return self.answer()

    def expect_ok(self, text):
        answer = self(text)
        if answer != 'OK':
            raise Failure(f'gdbstub: {text}: {answer}')

    def memory(self, address, size):
        return bytes.fromhex(self(f'm{address:x},{size:x}'))

    def rip(self):
        """The 17th register of the packet, 8 bytes each."""
        return struct.unpack('<Q', bytes.fromhex(self('g'))[128:136])[0]


class Debug:
    def __init__(self, gdb_path):
        self.gdb_path = gdb_path
        self.gdb = None
        self.address = 0

    def __call__(self, guest, words):
        return getattr(self, words[0].replace('break', 'break_at'))(guest, *words[1:]) or 'done'

    def taken(self, guest):
        """Frames that QEMU says it took."""
        with open(guest.qemu_log, errors='replace') as log:
            runs = re.findall(r'virtio_gph_punch (0x[0-9a-f]+)\+(\d+) ret=0', log.read())
        return [frame for start, n in runs for frame in range(int(start, 16), int(start, 16) + int(n))]

    def save(self, guest, command, **arguments):
        path = guest.qmp_path + '.saved'
        try:
            if command == 'pmemsave':
                guest.qmp(command, filename=path, **arguments)
            else:
                guest.qmp(command, protocol=f'file:{path}', **arguments)
            with open(path, 'rb') as content:
                return content.read()
        finally:
            if os.path.exists(path):
                os.unlink(path)

    def look(self, guest):
        size = 512 << 20
        before = self.save(guest, 'pmemsave', val=0, size=size)
        guest.qmp('stop')
        reclaim_all(guest, 'looked-at')
        frames = self.taken(guest)
        frames = frames[::max(len(frames) // SAMPLE, 1)]
        at = [slice(frame * FRAME, (frame + 1) * FRAME) for frame in frames]
        filled = sum(any(before[one]) for one in at)
        guest.check(filled > 0.8 * len(at) > 0,
                    f'{filled} of {len(at)} frames had content before they were taken')
        discarded = guest.pages('discarded')
        after = self.save(guest, 'pmemsave', val=0, size=size)
        guest.check(not any(any(after[one]) for one in at), 'pmemsave reads zeros')
        self.gdb = Gdb(self.gdb_path)
        self.gdb('qSupported')
        self.gdb.expect_ok('Qqemu.PhyMemMode:1')
        read = [self.gdb.memory(frame * FRAME, FRAME // 4) for frame in frames]
        self.gdb.expect_ok('Qqemu.PhyMemMode:0')
        guest.check(all(len(one) == FRAME // 4 and not any(one) for one in read),
                    f'the gdbstub reads zeros ({len(read)} times)')
        dump = self.save(guest, 'dump-guest-memory', paging=False)
        self.judge_dump(guest, dump, frames)
        guest.check(guest.pages('discarded') == discarded,
                    f'reading changes no word of the table ({discarded} discarded)')
        guest.check(not guest.query()['totals']['violations']['total'], 'and breaks no rule')
        self.gdb.send('D')
        self.gdb.answer()
        self.gdb.sock.close()
        guest.qmp('cont')

    def judge_dump(self, guest, dump, frames):
        """An ELF file: the segment of every frame, by its physical address."""
        table, = struct.unpack_from('<Q', dump, 32)
        size, count = struct.unpack_from('<HH', dump, 54)
        segments = []
        for number in range(count):
            kind, _, offset, _, start, length = struct.unpack_from('<IIQQQQ', dump,
                                                                   table + number * size)
            if kind == 1:
                segments.append((start, length, offset))
        found = 0
        for frame in frames:
            for start, length, offset in segments:
                if start <= frame * FRAME < start + length:
                    where = offset + frame * FRAME - start
                    found += not any(dump[where:where + FRAME])
        guest.check(found == len(frames), f'dump-guest-memory has zeros for {found} of {len(frames)}')

    def break_at(self, guest, address):
        self.address = int(address, 16)
        self.gdb = Gdb(self.gdb_path)
        self.gdb('qSupported')
        self.gdb.expect_ok(f'Z1,{self.address:x},1')
        self.gdb.send('c')
        # The guest goes on; the stop is met by the thread that waits.
        self.error = 'no stop was seen'
        self.thread = threading.Thread(target=self.step, daemon=True)
        self.thread.start()

    def step(self):
        try:
            self.stop = self.gdb.answer()
            self.at = self.gdb.rip()
            self.gdb.expect_ok(f'z1,{self.address:x},1')
            thread = re.search(r'thread:([0-9a-fp.]+);', self.stop)
            if thread:
                self.gdb(f'Hg{thread.group(1)}')
                self.at = self.gdb.rip()
                self.gdb.send(f'vCont;s:{thread.group(1)}')
            else:
                self.gdb.send('s')
            self.gdb.answer()
            self.after = self.gdb.rip()
            self.gdb.send('D')
            self.gdb.answer()
            self.error = None
        except (Failure, OSError, ValueError) as error:
            self.error = str(error)

    def stepped(self, guest):
        self.thread.join(timeout=60)
        guest.check(self.error is None, f'the debugger steps ({self.error or "once"})')
        if self.error is None:
            guest.check(self.at == self.address, f'it stopped at the load ({self.at:#x})')
            guest.check(self.after >= 1 << 63 or self.after == self.address + 3,
                        f'one step leads into the page fault or over it ({self.after:#x})')


def debuggers(env):
    disk = env.tree_disk('ext4', 'mm', 'kernel')
    path = os.path.join(os.environ.get('TMPDIR', '/tmp'), f'gph-{os.getpid()}-debuggers.gdb')
    with env.guest('debuggers', disks=[('ext4', disk, False)], memory='512M', extra=[
            '-gdb', f'unix:{path},server=on,wait=off', '-trace', 'virtio_gph_punch']) as guest:
        try:
            guest.run(Debug(path))
        finally:
            if os.path.exists(path):
                os.unlink(path)
    guest.check(guest.data.get('byte', '') == guest.data.get('want') and guest.data['byte'],
                f"the load gave the right byte ({guest.data.get('byte')})")
    guest.check(int(guest.data.get('step-faults', 0)) >= 1, 'after a discard fault')
    same_sums(guest, sums_of(disk), 'mapped', 'read')
    return guest
