# SPDX-License-Identifier: GPL-2.0
"""What guests are started with: QEMU, kernels, the RAM disk and disk images.

Images and programs are made when they are first wanted, in build/boot.
"""
import hashlib
import os
import subprocess
import tempfile

from boot import Failure, Guest

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Environment:
    """Paths, and the disks and RAM disk that guests are started with."""

    def __init__(self):
        self.cache = os.path.join(os.environ.get('XDG_CACHE_HOME') or
                                  os.path.expanduser('~/.cache'), 'gph')
        self.logs = os.environ.get('GPH_LOGS') or os.path.join(root, 'build', 'logs', 'boot')
        self.work = os.path.join(root, 'build', 'boot')
        # What of the kernel's source guests read; GPH_TREE= for a smaller tree.
        self.tree = os.environ.get('GPH_TREE', 'mm fs kernel include').split()
        self.torture_seconds = int(os.environ.get('GPH_TORTURE_SECONDS', 120))
        self.qemu = os.path.join(self.cache, 'qemu-10.0/build/qemu-system-x86_64')
        self.kernel_dir = os.path.join(self.cache, 'kernel-6.12')
        self.kernel_override = None
        os.makedirs(self.work, exist_ok=True)
        os.makedirs(self.logs, exist_ok=True)
        self.initrd = os.path.join(self.work, 'initrd')
        # Inside an L1 (tests/kvm) all is made already, and nothing to make it with.
        if not os.environ.get('GPH_PREBUILT'):
            self.make_initrd()

    def sh(self, *command):
        subprocess.run(command, check=True)

    def kernel(self, name):
        return self.kernel_override or os.path.join(
            self.kernel_dir, f'build-{name}/arch/x86/boot/bzImage')

    def make_initrd(self):
        programs = os.path.join(self.work, 'progs')
        os.makedirs(programs, exist_ok=True)
        source = os.path.join(root, 'tests/boot/progs')
        for name in sorted(os.listdir(source)):
            if not name.endswith('.c'):
                continue
            out = os.path.join(programs, name[:-2])
            path = os.path.join(source, name)
            if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(path):
                self.sh(os.environ.get('CC', 'gcc'), '-O2', '-Wall', '-Wextra', '-Werror',
                        '-static', '-pthread', '-o', out, path)
        self.sh(os.path.join(root, 'tests/lib/mkinitrd'), self.initrd, programs)

    def tools(self):
        disk = os.path.join(self.work, 'tools.img')
        if not os.path.exists(disk):
            self.sh(os.path.join(root, 'tests/lib/mktools'), disk)
        return disk

    def tree_disk(self, filesystem, *directories, spare=400):
        directories = directories or self.tree
        disk = os.path.join(self.work, f'{filesystem}-{"-".join(directories)}.img'.replace('/', '_'))
        if not os.path.exists(disk):
            self.sh(os.path.join(root, 'tests/lib/mkdisk'), filesystem, disk, str(spare),
                    os.path.join(self.work, 'progs/treesum'),
                    os.path.join(self.kernel_dir, 'src'), *directories)
        return disk

    def scratch(self):
        disk = os.path.join(self.work, 'scratch.img')
        if not os.path.exists(disk):
            self.sh('/sbin/mke2fs', '-q', '-t', 'ext4', disk, '400M')
        return disk

    def blank(self, name, size):
        disk = os.path.join(self.work, f'{name}.img')
        self.sh('truncate', '-s', size, disk)
        return disk

    def data_disk(self, mib=288):
        """A file that cannot be compressed, and its checksum."""
        disk = os.path.join(self.work, f'data-{mib}.img')
        if not os.path.exists(disk):
            with tempfile.TemporaryDirectory() as content:
                with open(os.path.join(content, 'bytes'), 'wb') as out:
                    digest = hashlib.md5()
                    for _ in range(mib):
                        chunk = os.urandom(1 << 20)
                        digest.update(chunk)
                        out.write(chunk)
                with open(os.path.join(content, 'sum'), 'w') as out:
                    out.write(digest.hexdigest() + '\n')
                self.sh('/sbin/mke2fs', '-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0',
                        '-d', content, disk + '.new', f'{mib * 21 // 20 + 16}M')
                with open(disk + '.sum', 'w') as out:
                    out.write(digest.hexdigest() + '\n')
            os.rename(disk + '.new', disk)
        return disk

    def data_sum(self, mib=288):
        with open(self.data_disk(mib) + '.sum') as text:
            return text.read().strip()

    def nested(self):
        """The disk of a guest that runs a guest, made anew: its parts may have changed."""
        disk = os.path.join(self.work, 'nested.img')
        self.sh(os.path.join(root, 'tests/lib/mknested'), disk, self.qemu, self.kernel('test'),
                self.initrd)
        return disk

    def guest(self, name, kernel='test', **settings):
        paths = {'qemu': self.qemu, 'kernel': self.kernel(kernel), 'initrd': self.initrd}
        for path in paths.values():
            if not os.path.exists(path):
                raise Failure(f'{path} is missing: run "make prepare" first')
        return Guest(name, paths, self.logs, **settings)
