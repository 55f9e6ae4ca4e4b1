# SPDX-License-Identifier: GPL-2.0
"""One guest under the patched QEMU: start it, talk QMP, follow its result port.

Used by the boot tests (tests/lib/boot.py) and by the demonstration.  Nothing but
Python's standard library.

The guest reports through a virtio port, so that silence is failure; its console
goes to a log, in which no line may be a kernel complaint.
"""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

# What must not be in a console log.
COMPLAINTS = re.compile(
    r"WARNING:|BUG:|Oops|KASAN|UBSAN|possible circular|possible recursive"
    r"|possible irq lock|inconsistent lock state|suspicious RCU"
    r"|INFO: task .* (hung|blocked)|rcu: INFO|soft lockup|general protection"
    r"|Kernel panic|unable to handle|page allocation failure|Bad page"
    r"|EXT4-fs error|XFS .*(orruption|rror)|I/O error|Out of memory"
    r"|gph: .*(missed|violation)")
FIRMWARE = ("/usr/share/seabios", "/usr/share/qemu")


class Failure(Exception):
    """The test failed, for this reason."""


class Qmp:
    """A QMP client that is no more than a test needs."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b""
        self.events = []
        self._receive(30)
        self("qmp_capabilities")

    def _receive(self, timeout):
        end = time.monotonic() + timeout
        while b"\n" not in self.data:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise Failure("QMP does not answer")
            more = self.sock.recv(65536)
            if not more:
                raise Failure("QEMU has gone")
            self.data += more
        line, self.data = self.data.split(b"\n", 1)
        return json.loads(line)

    def raw(self, command, timeout=90, **arguments):
        """The whole answer, be it an error or not; _ in names means -."""
        request = {"execute": command, "arguments": {
            name.replace("_", "-"): value for name, value in arguments.items()}}
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._receive(timeout)
            if "event" not in answer:
                return answer
            self.events.append(answer["event"])

    def __call__(self, command, **arguments):
        answer = self.raw(command, **arguments)
        if "error" in answer:
            raise Failure(f"{command}: {answer['error']['desc']}")
        return answer["return"]


class Guest:
    """A running guest.  Use with "with"."""

    def __init__(self, name, paths, logs, kernel="kernel-6.12", memory=1024,
                 append="", gph="virtio-gph-pci,id=gph0", disks=(), backend=None,
                 cpus=2, options=()):
        self.name, self.paths = name, paths
        self.console = os.path.join(logs, name + ".console.log")
        self.qemu_log = os.path.join(logs, name + ".qemu.log")
        self.dir = tempfile.mkdtemp(prefix="gph-")
        self.lines, self.partial = [], b""
        self.port = self.qmp = self.process = None
        if backend is None:
            backend = f"memory-backend-memfd,id=ram,size={memory}M,share=on"
        accel = os.environ.get("GPH_ACCEL", "tcg,thread=multi")
        self.command = [paths["qemu"], "-nodefaults", "-display", "none",
                        "-no-user-config", "-no-reboot",
                        "-accel", accel, "-cpu", "max", "-smp", str(cpus),
                        "-m", f"{memory}M", "-object", backend,
                        "-machine", "q35,memory-backend=ram"]
        for directory in FIRMWARE:
            self.command += ["-L", directory]
        if gph:
            self.command += ["-device", gph]
        self.command += [
            "-kernel", paths[kernel], "-initrd", paths["initrd-tools"],
            "-append", f"console=ttyS0 panic=-1 oops=panic gph.test={name} "
                       + append,
            "-serial", f"file:{self.console}",
            "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=result,path={self.dir}/result,"
                        "server=on,wait=off",
            "-device", "virtserialport,chardev=result,name=gph.result"]
        for serial, file, mode in disks:
            self.command += self._disk(serial, file, mode)
        self.command += list(options)

    def _disk(self, serial, file, mode):
        """mode: "ro", or "rw" on a copy that goes away with the guest."""
        if mode == "rw":
            copy = os.path.join(self.dir, serial + ".img")
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", file,
                            copy], check=True)
            file = copy
        drive = f"file={file},id={serial},if=none,format=raw,cache=none,aio=threads"
        if mode == "ro":
            drive += ",readonly=on"
        return ["-drive", drive,
                "-device", f"virtio-blk-pci,drive={serial},serial={serial}"]

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *unused):
        self.close()

    def start(self):
        for file in (self.console, self.console.replace(".console", ".result")):
            open(file, "wb").close()
        self.started = time.monotonic()
        with open(self.qemu_log, "wb") as log:
            log.write((" ".join(self.command) + "\n").encode())
            log.flush()
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = self._connect("result")
        self.qmp = Qmp(self._connect("qmp"))

    def _connect(self, name):
        for _ in range(300):
            if self.process.poll() is not None:
                raise Failure(f"QEMU did not start: {self.errors()}")
            try:
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(os.path.join(self.dir, name))
                return sock
            except OSError:
                sock.close()
                time.sleep(0.1)
        raise Failure(f"QEMU does not listen; see {self.qemu_log}")

    def close(self):
        for thing in (self.port, self.qmp and self.qmp.sock):
            if thing:
                thing.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def errors(self):
        """What QEMU itself had to say."""
        with open(self.qemu_log, encoding="utf-8", errors="replace") as log:
            return " ".join(line.strip() for line in log.readlines()[1:])

    def complaints(self):
        with open(self.console, encoding="utf-8", errors="replace") as log:
            return [line.strip() for line in log if COMPLAINTS.search(line)]

    def line(self, timeout):
        """The next line of the result port; None if the guest has ended."""
        end = time.monotonic() + timeout
        while b"\n" not in self.partial:
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"the guest was silent for {timeout} s")
            if select.select([self.port], [], [], min(left, 2))[0]:
                more = self.port.recv(65536)
                if not more:
                    return None
                self.partial += more
            elif self.complaints():
                raise Failure("kernel: " + self.complaints()[0])
        line, self.partial = self.partial.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def answer(self, text):
        self.port.sendall(text.encode() + b"\n")

    # --- what the tests ask the device ---

    def query(self):
        return self.qmp("x-query-gph")

    def pages(self, state):
        return self.query()["states"][state]["pages"]

    def reclaim(self, size, seconds=30):
        return self.qmp("x-gph-reclaim", bytes=size,
                        max_time_us=seconds * 1000000)

    def reclaim_all(self):
        """Reclaims until nothing is left; the sums of what was achieved."""
        total = {"discarded-bytes": 0, "freed-bytes": 0, "duration-us": 0}
        for _ in range(8):
            got = self.reclaim(1 << 40)
            for key in total:
                total[key] += got[key]
            if got["stopped"] in ("failed", "inhibited", "reset"):
                raise Failure(f"reclaim stopped: {got['stopped']}")
            if got["stopped"] == "empty" or not got["discarded-bytes"]:
                break
        return total


def read_paths(file):
    """The output of "make print-paths"."""
    with open(file, encoding="utf-8") as lines:
        return dict(line.strip().split("=", 1) for line in lines if "=" in line)
