"""Whether cost and memory grow with the file."""

from statistics import median

from bars import Figure
from files import InPlaceFile
from processes import run
from rounds import Measured, Step, alternate
from rows.checks import sealed_is_good

SIZES_GIB = (2, 8, 32)
# The noise is taken from the smallest size, so that one is run more often.
SMALLEST_REPEATED = 2
MEMORY_BAR_MIB = 128
INFO_BAR_MS = 10
INFO_REPEATED = 5


class Sizes:
    key = "sizes"
    work = "cost per byte at 2, 8 and 32 GiB; private memory at 32 GiB; `info` on a 32 GiB file"
    method = (
        "`encrypt`, in place and durable, of files that are not in the page cache, since the largest does not fit into it. The noise is the slowest of all runs at 2 GiB by "
        "their median. dd over the whole file, cold too, shows what the disk itself makes of the size. Private memory is the highest RssAnon seen in "
        "/proc/PID/status every 20 ms. `info` is timed from outside, start of the process included."
    )

    def disk_bytes(self, context):
        return sum(context.size(gib << 30) for gib in SIZES_GIB)

    def measure(self, context):
        lengths = {gib: context.size(gib << 30) for gib in SIZES_GIB}
        measured = Measured(facts={"bytes": {str(gib): length for gib, length in lengths.items()}, "rss_anon_bytes": []})
        files = {gib: InPlaceFile(context.workspace, f"size-{gib}.bin", length) for gib, length in lengths.items()}
        small, *larger = SIZES_GIB
        steps = [self._dd(files[gib], gib, "") for gib in SIZES_GIB]
        steps += [self._encrypt(context, measured, files[gib], gib, "") for gib in SIZES_GIB]
        steps += [self._encrypt(context, measured, files[small], small, f", repeated {n + 1}") for n in range(SMALLEST_REPEATED)]
        return alternate(context, measured, steps)

    def _encrypt(self, context, measured, file, gib, suffix):
        series = [f"{gib} GiB{suffix}"]
        is_largest = gib == SIZES_GIB[-1]
        if is_largest:
            series.append("info")

        def action():
            file.reset_cold()
            done = run(context.encrypt_in_place(file.path), sample_memory=is_largest)
            found = {series[0]: done.seconds}
            if is_largest:
                measured.facts["rss_anon_bytes"].append(done.peak_rss_anon_bytes)
                command = [context.tools.pageseal, "info", file.sealed]
                found["info"] = median(run(command).seconds for _ in range(INFO_REPEATED))
                if not measured.checks:
                    sealed_is_good(context, measured, file)
            return found

        return Step(series[0], series, action)

    def _dd(self, file, gib, suffix):
        def action():
            file.reset_cold()
            command = ["dd", f"if={file.path}", f"of={file.path}", "conv=notrunc,fdatasync", "bs=4M", "status=none"]
            return {f"dd {gib} GiB": run(command).seconds}

        return Step(f"dd {gib} GiB", [f"dd {gib} GiB"], action)

    def figures(self, row):
        return [*self._growth(row), self._memory(row), self._info(row)]

    def _growth(self, row):
        times, lengths = row["times"], row["facts"]["bytes"]
        small, *larger = SIZES_GIB
        repeated = [s for series, seconds in times.items() if series.startswith(f"{small} GiB") for s in seconds]
        found = []
        for gib in larger:
            name = f"cost per byte at {gib} GiB, by that at {small} GiB"
            if not repeated or f"{gib} GiB" not in times:
                found.append(Figure(name, "at most", 1.0, reason=row["not_run"].get(f"{gib} GiB", "nothing was measured")))
                continue
            noise = max(repeated) / median(repeated)
            scale = lengths[str(small)] / lengths[str(gib)] / median(repeated)
            singles = [seconds * scale for seconds in times[f"{gib} GiB"]]
            found.append(Figure(name, "at most", noise, median(singles), min(singles), max(singles), rounds=len(singles)))
            if f"dd {gib} GiB" in times and f"dd {small} GiB" in times:
                scale = lengths[str(small)] / lengths[str(gib)] / median(times[f"dd {small} GiB"])
                singles = [seconds * scale for seconds in times[f"dd {gib} GiB"]]
                label = f"the same of dd, at {gib} GiB"
                found.append(Figure(label, "at most", None, median(singles), min(singles), max(singles), rounds=len(singles)))
        return found

    def _memory(self, row):
        peaks = [peak / (1 << 20) for peak in row["facts"]["rss_anon_bytes"]]
        name = f"private memory at {SIZES_GIB[-1]} GiB"
        if not peaks:
            return Figure(name, "at most", MEMORY_BAR_MIB, unit="MiB", reason="nothing was measured")
        # The most that was ever seen, not the median: the bar is a promise.
        return Figure(name, "at most", MEMORY_BAR_MIB, max(peaks), min(peaks), max(peaks), unit="MiB", rounds=len(peaks))

    def _info(self, row):
        times = [seconds * 1000 for seconds in row["times"].get("info", [])]
        name = f"`info` on {SIZES_GIB[-1]} GiB"
        if not times:
            return Figure(name, "at most", INFO_BAR_MS, unit="ms", reason=row["not_run"].get("info", "nothing was measured"))
        return Figure(name, "at most", INFO_BAR_MS, median(times), min(times), max(times), unit="ms", rounds=len(times))
