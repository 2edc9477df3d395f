"""Test files: making them, bringing them into the page cache or out of it, and removing all of them."""

import ctypes
import hashlib
import mmap
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from errors import BenchError, NotRun

STEP_BYTES = 8 << 20
# A few pages may be in nobody's reach at the moment.
COLD_SHARE = 0.01
READINGS = 3
CACHED_SHARE = 0.999

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


class Workspace:
    """A folder of its own below the given one. Everything that is made lies in it and goes with it."""

    def __init__(self, parent):
        self._parent = Path(parent)
        self.folder = None

    def __enter__(self):
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="pageseal-bench-", dir=self._parent))
        except OSError as error:
            raise BenchError(f"no folder can be made in {self._parent}: {error.strerror}; name another with --dir") from error
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return self.folder / name

    def free_bytes(self):
        return shutil.disk_usage(self.folder).free

    def clear(self):
        """Removes all test files between two rows; keys stay."""
        for path in self.folder.iterdir():
            if path.is_file() and path.suffix not in (".key", ".txt"):
                path.unlink()
        self.settle()

    def settle(self):
        """Nothing of an earlier contender may still be on its way to the disk when the next one is timed."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            if libc.syncfs(folder) != 0:
                raise BenchError(f"syncfs: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(folder)


def warm_free_memory(workspace, length):
    """On a virtual machine, free memory may have been given back to the host, and whoever gets it next pays for having it brought back: up
    to ten times the time of writing a file into the page cache. The kernel hands out first what became free last, so as much as will be
    needed is taken and freed just before: by a file, as free memory for a file's pages is what matters."""
    path = workspace.path("warm.bin")
    zeros = bytes(1 << 20)
    with open(path, "wb", buffering=0) as out:
        for _ in range(-(-length // len(zeros))):
            out.write(zeros)
    workspace.settle()
    path.unlink()


def make_random_file(path, length):
    """Fills a file with bytes that no disk can compress: AES in counter mode of zeros, far faster than /dev/urandom."""
    with open(path, "wb") as out:
        zeros = subprocess.Popen(
            ["head", "-c", str(length), "/dev/zero"], stdout=subprocess.PIPE, start_new_session=True
        )
        key, counter = secrets.token_hex(32), secrets.token_hex(16)
        cipher = ["openssl", "enc", "-aes-256-ctr", "-nosalt", "-K", key, "-iv", counter]
        try:
            subprocess.run(cipher, stdin=zeros.stdout, stdout=out, check=True)
        finally:
            zeros.stdout.close()
            if zeros.poll() is None:
                zeros.terminate()
            zeros.wait()
        os.fsync(out.fileno())
    if path.stat().st_size != length:
        raise BenchError(f"the test file has {path.stat().st_size} bytes, wanted {length}: is the disk full?")


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_cached(path):
    """Reads it through: what is in the page cache already stays there as it is."""
    read_through(path, os.POSIX_FADV_NORMAL)


def read_in(path, small_pages=False):
    """Brings all of it into the page cache from the disk: with readahead, which takes large folios where the kernel has them (ext4
    since Linux 6.16), or with none of them but single pages, as what was written a little at a time has them."""
    make_cold(path)
    read_through(path, os.POSIX_FADV_RANDOM if small_pages else os.POSIX_FADV_NORMAL)


def read_through(path, advice):
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, advice)
        buffer = bytearray(STEP_BYTES)
        # Once more, where the system has taken some of it away meanwhile.
        for _ in range(READINGS):
            file.seek(0)
            while file.readinto(buffer):
                pass
            share = resident_share(path)
            if share >= CACHED_SHARE:
                return
    raise NotRun(f"only {share:.1%} of the file stay in the page cache after reading it: too little memory")


def make_cold(path):
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
    share = resident_share(path)
    if share > COLD_SHARE:
        raise NotRun(f"{share:.1%} of the file stay in the page cache: the file system ignores POSIX_FADV_DONTNEED")


def resident_share(path):
    """How much of a file is in the page cache, by mincore of a mapping that is never touched."""
    length = os.stat(path).st_size
    if length == 0:
        return 1.0
    file = os.open(path, os.O_RDONLY)
    try:
        address = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, file, 0)
    finally:
        os.close(file)
    if address in (None, ctypes.c_void_p(-1).value):
        raise BenchError(f"mmap: {os.strerror(ctypes.get_errno())}")
    pages = -(-length // mmap.PAGESIZE)
    vector = ctypes.create_string_buffer(pages)
    try:
        if libc.mincore(address, length, vector) != 0:
            raise BenchError(f"mincore: {os.strerror(ctypes.get_errno())}")
    finally:
        libc.munmap(address, length)
    return vector.raw[:pages].count(b"\x01") / pages


class InPlaceFile:
    """A file of random bytes that commands seal in place, and that can be had back without their help."""

    def __init__(self, workspace, name, length):
        self._workspace = workspace
        self.path = workspace.path(name)
        self.sealed = workspace.path(name + ".sealed")
        self.length = length
        make_random_file(self.path, length)

    def reset(self):
        """Makes it plain again, whatever it is. Its bytes may be ciphertext now, which is as good as any random bytes."""
        if self.sealed.exists():
            self.sealed.rename(self.path)
        self._workspace.path(self.path.name + ".pageseal-journal").unlink(missing_ok=True)
        if self.path.stat().st_size != self.length:
            os.truncate(self.path, self.length)
        self._workspace.settle()

    def reset_read_in(self, small_pages=False):
        self.reset()
        read_in(self.path, small_pages)

    def reset_cold(self):
        self.reset()
        make_cold(self.path)

    def remove(self):
        self.path.unlink(missing_ok=True)
        self.sealed.unlink(missing_ok=True)
