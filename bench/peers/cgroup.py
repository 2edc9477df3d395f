"""A child cgroup with a limit on memory, of version 2 or, where that has no memory controller, of version 1."""

import contextlib
import os
import time
from pathlib import Path

from errors import NotRun


class MemoryLimit:
    """Made on entering, removed on leaving. `enter` is to be called in a new child process before it runs its program."""

    def __init__(self, limit_bytes):
        self._limit_bytes = limit_bytes
        self._folder = None
        self.version = None

    def __enter__(self):
        if os.geteuid() != 0:
            raise NotRun("a cgroup with a limit on memory needs root")
        parent, self.version = find_parent()
        self._folder = parent / f"pageseal-bench-{os.getpid()}"
        limit = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        try:
            self._folder.mkdir()
            (self._folder / limit).write_text(str(self._limit_bytes))
        except OSError as error:
            self.__exit__()
            raise NotRun(f"no cgroup with a limit on memory can be made: {error.strerror}") from error
        return self

    def __exit__(self, *_):
        # The kernel may need a moment to let go of a process that has just ended.
        for _attempt in range(50):
            with contextlib.suppress(FileNotFoundError):
                try:
                    self._folder.rmdir()
                except OSError:
                    time.sleep(0.1)
                    continue
            return

    def enter(self):
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))


def find_parent():
    """The folder below which a cgroup with the memory controller can be made, and its version."""
    version_1 = None
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, folder, kind, options = line.split()[:4]
            folder = Path(folder)
            if kind == "cgroup2" and "memory" in (folder / "cgroup.subtree_control").read_text().split():
                return folder, 2
            if kind == "cgroup" and "memory" in options.split(","):
                version_1 = folder
    if version_1 is None:
        raise NotRun("the memory controller is in no cgroup hierarchy here (version 2: not in the root's cgroup.subtree_control)")
    return version_1, 1
