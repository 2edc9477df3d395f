"""What the figures were had on. No names of hosts, users or folders."""

import os
import platform
import subprocess


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


def load():
    return round(os.getloadavg()[0], 2)


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
