"""Whether the instructions that are found at run time make up for those that were not compiled in."""

from bars import ratio
from rounds import Measured, Step, alternate
from tools import cipher_rates, native_pageseal

SUITES = ["aegis-256x2", "xaes-256-gcm", "xchacha20-poly1305"]
WORKS = [f"{suite} {work}" for suite in SUITES for work in ("seal", "open")] + ["fingerprints"]


class Dispatch:
    key = "dispatch"
    work = "the release build for any processor of this architecture, against one compiled for this very processor"
    method = (
        "`pageseal bench cipher --threads 1` of both, the second built with `-C target-cpu=native` and, for the C in it, `-march=native`. "
        "The times are those of a gigabyte."
    )

    def disk_bytes(self, context):
        return 0

    def measure(self, context):
        measured = Measured(facts={"bytes": 10**9})
        native = native_pageseal()

        def build(name, program):
            def action():
                rates = cipher_rates(program, 1)
                return {f"{name}: {work}": 1 / rates[work] for work in WORKS}

            return Step(name, [f"{name}: {work}" for work in WORKS], action)

        alternate(context, measured, [build("plain", context.tools.pageseal), build("native", native)])
        return measured

    def figures(self, row):
        name = "rate, as a share of the native one's: "
        return [ratio(row, name + work, f"native: {work}", f"plain: {work}", "at least", 0.95) for work in WORKS]
