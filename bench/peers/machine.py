"""What the figures were had on. No names of hosts, users or folders."""

import os
import platform
import resource
import subprocess
import time

IDLE_SHARE = 0.9
LOOK_S = 5


def describe(folder):
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "virtual": virtual(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "file_system": file_system(folder),
        "disk": disk(folder),
        "write_back": {name: read(f"/proc/sys/vm/{name}") for name in ("dirty_background_ratio", "dirty_ratio")},
    }


def processor():
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def virtual():
    with open("/proc/cpuinfo") as info:
        return any(line.startswith("flags") and " hypervisor" in line for line in info)


def file_system(folder):
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def disk(folder):
    """The kind of the disk below, as far as the kernel knows it."""
    device = os.stat(folder).st_dev
    place = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    real = os.path.realpath(place)
    if not os.path.isdir(os.path.join(real, "queue")):
        real = os.path.dirname(real)
    rotational = read(os.path.join(real, "queue", "rotational"))
    cache = read(os.path.join(real, "queue", "write_cache"))
    kind = {"0": "no heads", "1": "heads"}.get(rotational, "unknown")
    bus = "virtio, " if "virtio" in real else ""
    return f"{bus}{kind}, {cache or 'unknown cache'}"


class OthersAtWork:
    """How much of all cores went to others (kernel threads among them, which write back what was measured) since it was made."""

    def __init__(self):
        self._started = self._now()

    def share(self):
        """Of all cores, 0 to 1."""
        total, busy, own = (now - then for now, then in zip(self._now(), self._started))
        return max(0.0, busy - own) / total if total else 0.0

    @staticmethod
    def _now():
        with open("/proc/stat") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
        per_second = os.sysconf("SC_CLK_TCK")
        idle = ticks[3] + ticks[4]
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return sum(ticks) / per_second, (sum(ticks) - idle) / per_second, own


def wait_until_idle(patience_s, log):
    """Waits until others leave the machine alone, but not for ever."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        others = OthersAtWork()
        time.sleep(LOOK_S)
        if others.share() <= 1 - IDLE_SHARE:
            return
        log(f"    others use {others.share():.0%} of the cores; waiting")


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
