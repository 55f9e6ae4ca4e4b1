# SPDX-License-Identifier: GPL-2.0
"""Boots a test guest and judges it.

A test is a guest script, tests/boot/NAME.guest.sh, run by tests/lib/guest/init,
and a class in tests.py that says what the guest needs and what the host does when
the script asks for it ("host WORDS").  Results come through a virtio port: a guest
that hangs or dies says nothing and fails.  Any complaint of its kernel fails it
too.  Nothing here but the standard library.
"""
import json
import os
import re
import select
import socket
import subprocess
import threading
import time

# What a kernel says when something is wrong with it.
COMPLAINT = re.compile(
    r'WARNING: |BUG: |\bOops\b|UBSAN: |kernel panic|Kernel panic|'
    r'possible circular locking|possible recursive locking|inconsistent lock|'
    r'suspicious RCU|INFO: task .* blocked|rcu: INFO:|soft lockup|Bad page|'
    r'general protection fault|unable to handle|EXT4-fs error|XFS .*[Cc]orruption|'
    r'I/O error', re.I)


FIRMWARE = ['-L', '/usr/share/seabios', '-L', '/usr/share/qemu']


def usable_kvm(qemu, kernel, seconds=10):
    """Does KVM run a guest here?

    Tried with a real kernel until its first message: /dev/kvm may exist, open and
    make VMs, and yet not run an ordinary guest.  Never waits longer than that.
    """
    process = subprocess.Popen(
        [qemu, *FIRMWARE, '-nodefaults', '-display', 'none', '-no-reboot',
         '-accel', 'kvm', '-cpu', 'max', '-M', 'q35', '-m', '256M', '-serial', 'stdio',
         '-kernel', kernel, '-append', 'console=ttyS0 earlyprintk=ttyS0 panic=-1'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + seconds
    output = b''
    while b'Linux version' not in output:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            break
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            break
        output += chunk
    process.kill()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        pass                    # it hangs in the kernel: leave it behind
    return b'Linux version' in output


def accelerator(qemu, kernel):
    """What GPH_ACCEL wants: tcg (the default), kvm, or auto: kvm if it works.

    TCG is the default also where KVM works, because it is a secondary MMU of its
    own that wants to be tested; tests/kvm/run is what tests KVM.
    """
    wanted = os.environ.get('GPH_ACCEL', 'tcg')
    if wanted == 'auto':
        wanted = 'kvm' if usable_kvm(qemu, kernel) else 'tcg'
    if wanted not in ('tcg', 'kvm'):
        raise Failure(f'GPH_ACCEL={wanted}: say tcg, kvm or auto')
    return wanted


# What it says of the emulated machine when this host is too busy to run it in time.
EXCUSED = re.compile(r'MP-BIOS bug: 8254 timer')


class Failure(Exception):
    """The test cannot go on."""


class NeverUp(Failure):
    """The guest's kernel did not come as far as to start the test."""


class Qmp:
    """A QMP connection.  Events are dropped."""

    def __init__(self, path, deadline):
        self.sock = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.sock.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise Failure('QEMU does not answer on its QMP socket')
                time.sleep(0.05)
        self.sock.settimeout(120)
        self.file = self.sock.makefile('rw')
        self.file.readline()
        self.lock = threading.Lock()
        self('qmp_capabilities')

    def raw(self, command, **arguments):
        """The whole answer, also if it is an error."""
        with self.lock:
            self.file.write(json.dumps(
                {'execute': command, 'arguments': arguments}) + '\n')
            self.file.flush()
            while True:
                line = self.file.readline()
                if not line:
                    raise Failure(f'QEMU has gone during {command}')
                answer = json.loads(line)
                if 'event' not in answer:
                    return answer

    def __call__(self, command, **arguments):
        answer = self.raw(command, **arguments)
        if 'error' in answer:
            raise Failure(f"{command}: {answer['error']['desc']}")
        return answer['return']


class Guest:
    """One QEMU with a test guest.

    paths:   dict of qemu, kernel, initrd
    logs:    directory for the console log and QEMU's messages
    disks:   list of (serial, file, read-only); what is written is thrown away,
             unless keep
    incoming: it waits for a guest that another one sends, see follow()
    accel:   tcg or kvm; what GPH_ACCEL says without it
    extra:   more arguments of QEMU
    cgroup:  directory of the cgroup v2 that QEMU starts in
    harmless: complaints in the console log that are none: parts of the lines
    """

    def __init__(self, name, paths, logs, script=None, disks=(), memory='1G',
                 cpus=None, append='', device='virtio-gph-pci,id=gph,pressure=off',
                 timeout=300, no_reboot=True, keep=False, incoming=False,
                 accel=None, extra=(), harmless=(), cgroup=None):
        self.name = name
        self.logs = logs
        self.console = os.path.join(logs, f'{name}.console.log')
        self.qemu_log = os.path.join(logs, f'{name}.qemu.log')
        self.timeout = timeout = timeout * int(os.environ.get('GPH_SLOW', 1))
        self.harmless = harmless
        self.cgroup = cgroup
        self.results = []       # (passed, text)
        self.data = {}
        self.buffer = b''
        self.consoles = [self.console]
        self.done = False
        self.deadline = time.monotonic() + timeout
        os.makedirs(logs, exist_ok=True)
        run = os.path.join(os.environ.get('TMPDIR', '/tmp'), f'gph-{os.getpid()}-{name}')
        self.qmp_path = run + '.qmp'
        self.port_path = run + '.port'
        for path in (self.qmp_path, self.port_path):
            if os.path.exists(path):
                os.unlink(path)
        self.accel = accel or accelerator(paths['qemu'], paths['kernel'])
        if self.accel == 'kvm':
            # Each character is an exit, and KVM may be emulated itself: warnings only.
            append += ' loglevel=5'
        self.command = [
            paths['qemu'], *FIRMWARE, '-nodefaults', '-display', 'none', '-cpu', 'max',
            '-accel', {'tcg': 'tcg,thread=multi'}.get(self.accel, self.accel),
            '-smp', str(cpus or os.environ.get('GPH_CPUS', 2)), '-m', memory,
            '-object', f'memory-backend-memfd,id=ram,size={memory},share=on',
            '-machine', 'q35,memory-backend=ram',
            '-serial', f'file:{self.console}',
            '-qmp', f'unix:{self.qmp_path},server=on,wait=off',
            '-device', 'virtio-serial-pci',
            '-chardev', f'socket,id=port,path={self.port_path},server=on,wait=off',
            '-device', 'virtserialport,chardev=port,name=gph.result',
            '-kernel', paths['kernel'], '-initrd', paths['initrd'],
            '-append', f'console=ttyS0 no_timer_check panic=-1 oops=panic gph.test={script or name} {append}',
        ]
        if device:
            self.command += ['-device', device]
        if no_reboot:
            self.command += ['-no-reboot']
        self.command += extra
        if incoming:
            self.command += ['-incoming', 'defer']
        for serial, path, read_only in disks:
            self.command += [
                '-drive', f'file={path},if=none,id={serial},format=raw,cache=writeback,'
                          f'snapshot={"off" if read_only or keep else "on"},'
                          f'readonly={"on" if read_only else "off"}',
                '-device', f'virtio-blk-pci,drive={serial},serial={serial}']

    def __enter__(self):
        with open(self.console, 'w'):
            os.chmod(self.console, 0o666)
        with open(self.qemu_log, 'w') as log:
            log.write(' '.join(self.command) + '\n')
            log.flush()
            # No privilege is needed; GPH_QEMU_UID= shows it.
            user = os.environ.get('GPH_QEMU_UID')
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **({'user': int(user), 'group': int(user)} if user else {}))
        if self.cgroup:
            # At once: it has hardly any memory yet.
            with open(os.path.join(self.cgroup, 'cgroup.procs'), 'w') as procs:
                procs.write(str(self.process.pid))
        try:
            self.qmp = Qmp(self.qmp_path, time.monotonic() + 30)
            self.port = socket.socket(socket.AF_UNIX)
            self.port.connect(self.port_path)
        except (Failure, OSError) as error:
            self.process.kill()
            self.process.wait()
            raise Failure(f'QEMU did not start ({error}); see {self.qemu_log}')
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for path in (self.qmp_path, self.port_path):
            if os.path.exists(path):
                os.unlink(path)

    def lines(self):
        """The guest's messages, until it has ended or the time is up."""
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise Failure(f'no end after {self.timeout} s; see {self.console}')
            self.port.settimeout(min(left, 5))
            try:
                chunk = self.port.recv(65536)
            except socket.timeout:
                if self.process.poll() is not None:
                    return
                self.check_boot()
                continue
            if not chunk:
                return
            self.buffer += chunk
            while b'\n' in self.buffer:
                line, self.buffer = self.buffer.split(b'\n', 1)
                yield line.decode(errors='replace').strip()

    def check_boot(self):
        """GPH_BOOT_SECONDS= after its start the test must have begun."""
        seconds = int(os.environ.get('GPH_BOOT_SECONDS', 0))
        if seconds and time.monotonic() > self.deadline - self.timeout + seconds:
            with open(self.console, errors='replace') as console:
                if ' starts\n' not in console.read():
                    raise NeverUp(f'the guest is not up after {seconds} s; see {self.console}')

    def answer(self, text):
        self.port.sendall(text.encode() + b'\n')

    def run(self, host):
        """Talk with the guest until "done"; host(words) answers its requests."""
        for line in self.lines():
            word, _, rest = line.partition(' ')
            if word == 'ok':
                self.check(True, rest)
            elif line.startswith('not ok '):
                self.check(False, line[7:])
            elif word == 'data':
                key, _, value = rest.partition('=')
                self.data[key] = value
            elif word == 'host':
                self.answer(str(host(self, rest.split()) or 'done'))
            elif word == 'done':
                self.done = True
                break
        if self.done:
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.check(False, 'the guest powers off')
        self.judge()

    def check(self, passed, text):
        self.results.append((bool(passed), text))
        return passed

    def complaints(self):
        found = []
        for console in self.consoles:
            with open(console, errors='replace') as log:
                found += [line.strip() for line in log
                          if COMPLAINT.search(line) and 'ommand line:' not in line
                          and not EXCUSED.search(line)
                          and not any(text in line for text in self.harmless)]
        return found

    def follow(self, other):
        """The guest has moved into @other, which is this Guest from now on."""
        self.port.settimeout(1)
        try:
            while chunk := self.port.recv(65536):
                self.buffer += chunk
        except socket.timeout:
            pass
        self.__exit__()
        self.consoles += other.consoles
        for name in ('process', 'qmp', 'port', 'qmp_path', 'port_path', 'qemu_log'):
            setattr(self, name, getattr(other, name))

    def judge(self):
        if not self.done:
            status = self.process.poll()
            self.check(False, 'the guest came to its end (it went silent, QEMU '
                       + ('runs' if status is None else f'ended with status {status}') + ')')
        bad = self.complaints()
        self.check(not bad, 'the kernel has nothing to complain about'
                   + (f': {bad[0]}' if bad else ''))

    # --- what host halves use ---

    def query(self):
        return self.qmp('x-query-gph')

    def pages(self, state):
        return self.query()['states'][state]['pages']

    def reclaim(self, size=1 << 40, seconds=10):
        return self.qmp('x-gph-reclaim', **{'bytes': size,
                                            'max-time-us': int(seconds * 1e6)})
