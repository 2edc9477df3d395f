"""Runs commands, times them from outside, and ends what it started."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

from errors import NotRun

# Nothing here takes that long on a machine that is worth measuring.
TIMEOUT_S = 900
STDERR_TAIL_CHARS = 400


@dataclass
class Finished:
    seconds: float
    stdout: str
    peak_rss_anon_bytes: int | None = None


def run(command, *, environment=None, stdout=None, stdout_over=None, cgroup=None, sample_memory=False, timeout_s=TIMEOUT_S):
    """Runs `command`; raises NotRun if it fails. `stdout` is a path for the output, which is else returned; `stdout_over` is that of a file to be
    written over, not emptied before."""
    with contextlib.ExitStack() as stack:
        out = subprocess.PIPE
        if stdout or stdout_over:
            out = stack.enter_context(open(stdout, "wb") if stdout else open(stdout_over, "r+b"))
        started = time.perf_counter()
        # A session of its own, so that Ctrl-C reaches this script first and the whole group can be ended.
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=cgroup.enter if cgroup else None,
        )
        sampler = stack.enter_context(MemorySampler(child.pid)) if sample_memory else None
        try:
            text, errors = child.communicate(timeout=timeout_s)
        except BaseException as error:
            end_group(child)
            if isinstance(error, subprocess.TimeoutExpired):
                raise NotRun(f"{name_of(command)} did not end within {timeout_s} s") from error
            raise
        seconds = time.perf_counter() - started
        if stdout_over:
            # The child had this very open file, so its offset is how much was written. What was longer before ends there.
            out.truncate(os.lseek(out.fileno(), 0, os.SEEK_CUR))
    if child.returncode != 0:
        tail = errors.decode(errors="replace").strip()[-STDERR_TAIL_CHARS:]
        raise NotRun(f"{name_of(command)} ended with {child.returncode}: {tail or 'no message'}")
    return Finished(seconds, (text or b"").decode(errors="replace"), sampler.peak_bytes if sampler else None)


def name_of(command):
    return os.path.basename(str(command[0]))


def end_group(child):
    """Ends the session that `child` leads, which holds nothing but what this script started."""
    for signal_number, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=patience_s)
            return


class MemorySampler:
    """Looks at a process's private memory (RssAnon) while it runs. Peaks between two looks are missed."""

    INTERVAL_S = 0.02

    def __init__(self, pid):
        self.peak_bytes = 0
        self._status = f"/proc/{pid}/status"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(self.INTERVAL_S):
            with contextlib.suppress(OSError, ValueError), open(self._status) as status:
                for line in status:
                    if line.startswith("RssAnon:"):
                        self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)
