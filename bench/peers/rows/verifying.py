"""`verify` against what reading and the suite allow."""

from statistics import median

from bars import Figure
from files import InPlaceFile, read_in
from processes import run
from rounds import Measured, Step, alternate
from tools import cipher_rates


class Verify:
    key = "verify"
    work = "`verify`, cached, against what pread into a tile plus the suite's speed, both measured alone in that run, allow"
    method = (
        "4 GiB, sealed. Reading alone is `bench/helpers/pread_tile.c`: the same number of threads, each with a tile of 512 KiB, timed from "
        "outside. The suite alone is what `pageseal bench cipher` says of opening in memory, with the same number of threads. What both "
        "allow is the size by the sum of their times."
    )

    def disk_bytes(self, context):
        return context.size(4 << 30)

    def measure(self, context):
        length = context.size(4 << 30)
        measured = Measured(facts={"bytes": length})
        file = InPlaceFile(context.workspace, "verified.bin", length)
        run(context.encrypt_in_place(file.path))
        context.workspace.settle()
        read_in(file.sealed)

        def verify():
            return {"verify": run(context.verify(file.sealed)).seconds}

        def pread():
            return {"pread": run([context.tools.helper("pread-tile"), file.sealed, context.threads]).seconds}

        def cipher():
            rate = cipher_rates(context.tools.pageseal, context.threads)["aegis-256x2 open"]
            return {"suite": length / rate / 1e9}

        steps = [Step("verify", ["verify"], verify), Step("pread", ["pread"], pread), Step("suite", ["suite"], cipher)]
        alternate(context, measured, steps)
        measured.checks.append("`verify` authenticates every byte in every round")
        return measured

    def figures(self, row):
        times, name = row["times"], "share of the allowed rate"
        missing = [series for series in ("verify", "pread", "suite") if series not in times]
        if missing:
            reason = "; ".join(f"{series}: {row['not_run'].get(series, 'nothing was measured')}" for series in missing)
            return [Figure(name, "at least", 0.8, reason=reason)]
        singles = [(p + s) / v for p, s, v in zip(times["pread"], times["suite"], times["verify"])]
        value = (median(times["pread"]) + median(times["suite"])) / median(times["verify"])
        return [Figure(name, "at least", 0.8, value, min(singles), max(singles), rounds=len(singles))]
