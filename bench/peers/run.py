#!/usr/bin/env python3
"""Compares pageseal with its peers, row by row of a table with bars, and writes docs/PERFORMANCE.md with its plot.

Python 3.11 or newer, its standard library alone. See bench/README.md.
"""

import argparse
import contextlib
import datetime
import json
import os
import re
import signal
import sys
from pathlib import Path

import machine
import report
import rows
import tools
from errors import BenchError, NotRun
from files import Workspace
from processes import run
from rounds import Context

FORMAT = 1
RESULTS = tools.REPOSITORY / "bench" / "peers" / "results.json"
DOCS = tools.REPOSITORY / "docs"
# Where a smoke run leaves its results, so that it is never taken for a measurement.
SMOKE = tools.BUILT / "smoke"


def main():
    arguments = parse_arguments()
    # SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if not arguments.report_only:
            measure(arguments)
        report.write(load_results(arguments.results), arguments.docs, arguments.results, plot=arguments.plot)
    except BenchError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; rows that were complete are kept, test files are gone")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", help="only these, by comma: " + ",".join(row.key for row in rows.ALL))
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each row (default 5; fewer are marked as too few)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of all sizes, for a smoke run (0.05, say)")
    parser.add_argument("--dir", default="/var/tmp", help="where test files are made (default /var/tmp)")
    parser.add_argument("--pageseal", help="a program that is built already")
    parser.add_argument("--commit", help="what to call the program's commit in the report")
    parser.add_argument("--encrypt-options", default="", help="more options for every in-place encrypt, as one argument")
    parser.add_argument("--row-minutes", type=float, default=15, help="a row stops after its current round then (default 15)")
    parser.add_argument("--wait-minutes", type=float, default=2, help="wait so long for an idle machine before a row (default 2)")
    parser.add_argument("--results", type=Path, help="raw figures; other rows in the file are kept")
    parser.add_argument("--docs", type=Path, help="folder of PERFORMANCE.md and performance.svg")
    parser.add_argument("--no-install", dest="install", action="store_false", help="take only peers that are installed")
    parser.add_argument("--no-plot", dest="plot", action="store_false", help="leave the plot as it is")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, write the report of what is there")
    arguments = parser.parse_args()
    if not 0 < arguments.scale <= 1:
        parser.error("--scale must be above 0 and at most 1")
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    is_smoke = arguments.scale != 1 or arguments.encrypt_options
    arguments.results = arguments.results or (SMOKE / "results.json" if is_smoke else RESULTS)
    arguments.docs = arguments.docs or (SMOKE if is_smoke else DOCS)
    arguments.chosen = choose_rows(parser, arguments.rows)
    return arguments


def choose_rows(parser, names):
    known = {row.key: row for row in rows.ALL}
    if not names:
        return rows.ALL
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def measure(arguments):
    used = tools.prepare(arguments)
    results = load_results(arguments.results)
    with Workspace(arguments.dir) as workspace:
        here = machine.describe(workspace.folder)
        if results.setdefault("machine", here) != here:
            raise BenchError(f"{arguments.results} is of another machine; name another file with --results")
        context = make_context(arguments, used, workspace)
        for row in arguments.chosen:
            tools.log(f"== {row.key}")
            results["rows"][row.key] = measure_row(row, context, arguments)
            # After every row, so that a stop loses one row at most.
            save(results, arguments.results)
            workspace.clear()


def make_context(arguments, used, workspace):
    identity = workspace.path("identity.key")
    run([used.pageseal, "keygen", "-o", identity])
    recipient = re.search(r"\bage1[a-z0-9]+", identity.read_text())
    if not recipient:
        raise BenchError("pageseal keygen made a key without its public part")
    return Context(
        tools=used,
        workspace=workspace,
        rounds=arguments.rounds,
        scale=arguments.scale,
        threads=len(os.sched_getaffinity(0)),
        identity=identity,
        recipient=recipient.group(),
        encrypt_options=arguments.encrypt_options.split(),
        row_limit_s=arguments.row_minutes * 60,
    )


def measure_row(row, context, arguments):
    entry = {
        "times": {},
        "not_run": {},
        "facts": {},
        "checks": [],
        "notes": [],
        "rounds": context.rounds,
        "scale": context.scale,
        "encrypt_options": arguments.encrypt_options,
        "threads": context.threads,
        "commit": context.tools.commit,
        "versions": context.tools.versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }
    machine.wait_until_idle(arguments.wait_minutes * 60, tools.log)
    others = machine.OthersAtWork()
    try:
        needed, free = row.disk_bytes(context), context.workspace.free_bytes()
        if needed > free:
            raise NotRun(f"needs {needed >> 20} MiB of disk, {free >> 20} MiB are free")
        measured = row.measure(context)
        entry.update(vars(measured))
    except NotRun as reason:
        tools.log(f"    not run: {reason}")
        entry["reason"] = str(reason)
    entry["others_share"] = round(others.share(), 3)
    return entry


def load_results(path):
    if not path.exists():
        return {"format": FORMAT, "rows": {}}
    results = json.loads(path.read_text())
    if results.get("format") != FORMAT:
        raise BenchError(f"{path} has format {results.get('format')}, this script knows {FORMAT}")
    return results


def save(results, path):
    """Whole or not at all: a stop must not cost the rows that are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


if __name__ == "__main__":
    main()
