"""Work in a shared mapping: the textbook's program, and the floor of the `mmap` store."""

from bars import faster, ratio
from errors import NotRun
from files import InPlaceFile
from processes import run
from rounds import Measured, Step, alternate
from rows.checks import in_place_round_trip
from rows.states import PAGES, in_both_states
from tools import parse_json

# Each takes milliseconds, so more rounds than for the others cost nothing.
ROUNDS_FACTOR = 4


class Textbook:
    key = "textbook"
    work = (
        "64 MiB already mapped and dirty, in place, AEAD, 2 threads, against the textbook's byte-wise XOR loop through a "
        "struct pointer in C, gcc -O2, 4 threads"
    )
    method = (
        "`pageseal demo --json --threads 2` and `bench/textbook`. Both make the file, map and fill it, and time the work in the mapping "
        "alone, so here each program's own clock is taken: no clock outside can tell that part from the rest. The floor is "
        "`bench/helpers/xor_floor.c`: the same XOR with vector instructions and as many threads as the product, on its own clock too."
    )

    def disk_bytes(self, context):
        return 256 << 20

    def measure(self, context):
        measured = Measured(facts={"bytes": 64 << 20})
        folder = context.workspace.folder

        def textbook():
            report = parse_json(run([context.tools.helper("textbook-xor"), folder]).stdout, "textbook-xor")
            return {"textbook": report["seconds"]}

        def demo():
            command = [context.tools.pageseal, "demo", "--json", "--threads", "2", "--dir", folder]
            report = parse_json(run(command).stdout, "pageseal demo")
            if not (report["xor"]["verified"] and report["aead"]["verified"]):
                raise NotRun("pageseal demo did not verify its result")
            return {"pageseal AEAD": report["aead"]["seconds"], "pageseal XOR": report["xor"]["seconds"]}

        def floor():
            report = parse_json(run([context.tools.helper("xor-floor"), folder, 2]).stdout, "xor-floor")
            return {"floor": report["seconds"]}

        steps = [
            Step("textbook", ["textbook"], textbook),
            Step("floor", ["floor"], floor),
            Step("pageseal", ["pageseal AEAD", "pageseal XOR"], demo),
        ]
        alternate(context, measured, steps, rounds=context.rounds * ROUNDS_FACTOR)
        measured.checks.append("both programs check every byte of their result in every round")
        return measured

    def figures(self, row):
        return [
            faster(row, "AEAD, times faster", "textbook", "pageseal AEAD", 8),
            faster(row, "XOR, times faster", "textbook", "pageseal XOR", 10),
            faster(row, "floor, times faster", "textbook", "floor", None),
        ]


class Mapped:
    key = "mmap"
    work = "cached 2 GiB, `--io mmap --resilience process`, without the final sync, against a populated XOR in the mapping"
    method = (
        "The XOR is `bench/helpers/mapped_xor.c`: every 2 MiB populated with `MADV_POPULATE_WRITE`, then XORed by the same number of threads. "
        "pageseal has no option that leaves its final sync away, so `bench/helpers/nosync.c` is preloaded, which makes its fsync and fdatasync return at "
        "once (the one of the folder still happens); with all its syncs it is timed too. The file is read in with readahead and in *single pages*, as in row `cached`."
    )

    def disk_bytes(self, context):
        return 2 * context.size(2 << 30)

    def measure(self, context):
        length = context.size(2 << 30)
        measured = Measured(facts={"bytes": length})
        file = InPlaceFile(context.workspace, "mapped.bin", length)
        options = ["--io", "mmap", "--resilience", "process"]
        in_place_round_trip(context, measured, file, *options)
        log_path = context.workspace.path("skipped-syncs.log")

        def without_sync():
            log_path.unlink(missing_ok=True)
            environment = {"LD_PRELOAD": context.tools.helper("nosync.so"), "NOSYNC_LOG": log_path}
            done = run(context.encrypt(file.path, *options), environment={k: str(v) for k, v in environment.items()})
            skipped = log_path.read_text().splitlines() if log_path.exists() else []
            # One before the job, for the old content, and one at its end.
            if sum(line.endswith("/" + file.path.name) for line in skipped) < 2:
                raise NotRun("pageseal syncs in a way that the preloaded library does not see")
            return done.seconds

        def with_sync():
            return run(context.encrypt(file.path, *options)).seconds

        def xor():
            return run([context.tools.helper("mapped-xor"), file.path, context.threads]).seconds

        steps = [
            in_both_states(file, "pageseal without syncs", without_sync),
            in_both_states(file, "populated XOR", xor),
            in_both_states(file, "pageseal", with_sync),
        ]
        alternate(context, measured, steps)
        return measured

    def figures(self, row):
        found = []
        for state in PAGES:
            name, xor = f"rate, as a share of the XOR's{state}", f"populated XOR{state}"
            found.append(ratio(row, name, xor, f"pageseal without syncs{state}", "at least", 0.6))
            found.append(ratio(row, f"{name}, all syncs included", xor, f"pageseal{state}", "at least", None))
        return found
