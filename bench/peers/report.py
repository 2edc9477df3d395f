"""Writes PERFORMANCE.md from the raw figures. Whether a bar is met is worked out here, from them."""

import json
import subprocess
from statistics import median

import rows
import tools
from bars import LEAST_ROUNDS, Figure
from errors import BenchError
from reasons import reason_for

PICTURE = "performance.svg"
# The disk's own threads take a few percent.
BUSY_SHARE = 0.15


def write(results, folder, results_path, *, plot=True):
    if not results["rows"]:
        raise BenchError("there are no results to report; run without --report-only first")
    folder.mkdir(parents=True, exist_ok=True)
    judged = [(row, results["rows"].get(row.key), figures_of(row, results["rows"].get(row.key))) for row in rows.ALL]
    text = "\n".join(page(results, judged))
    (folder / "PERFORMANCE.md").write_text(text + "\n")
    if plot:
        draw(judged, folder / PICTURE)
    tools.log(f"written: {folder / 'PERFORMANCE.md'}, from {results_path}")


def figures_of(row, entry):
    """The figures of a row, each with a reason where it has no value."""
    if entry is None or "reason" in entry:
        reason = entry["reason"] if entry else "not in the results"
        return [Figure("all figures", "at least", None, reason=reason)]
    return row.figures(entry)


def page(results, judged):
    yield "# Performance"
    yield ""
    yield "Written by `bench/peers/run.py` from `bench/peers/results.json`, which has the raw times of every round; `bench/README.md` says how to run it again. Nothing "
    yield "in the tables is written by hand but the reasons of what is missed (`bench/peers/reasons.py`)."
    yield ""
    yield from warnings(results, judged)
    yield "## What has to be reached, and what was"
    yield ""
    yield from summary(judged)
    yield ""
    yield f"![Every figure by its bar]({PICTURE})"
    yield ""
    yield from missed(judged)
    yield from method()
    yield from details(judged)
    yield from surroundings(results)


def warnings(results, judged):
    entries = [entry for _, entry, _ in judged if entry]
    scaled = sorted({entry["scale"] for entry in entries if entry["scale"] != 1})
    if scaled:
        yield f"**This is a smoke run: sizes were scaled by {', '.join(map(str, scaled))}. Its figures say nothing about the bars.**"
        yield ""
    optioned = sorted({entry["encrypt_options"] for entry in entries if entry["encrypt_options"]})
    if optioned:
        yield f"**Every in-place encrypt had more options: `{'`, `'.join(optioned)}`.**"
        yield ""
    busy = [f"`{row.key}` ({entry['others_share']:.0%})" for row, entry, _ in judged if entry and entry["others_share"] > BUSY_SHARE]
    if busy:
        yield f"**Others worked on the machine meanwhile, so these rows are to be measured again: {', '.join(busy)} of the cores.**"
        yield ""
    commits = sorted({entry["commit"] for entry in entries})
    yield f"pageseal of commit {', '.join(commits)}."
    yield ""


def summary(judged):
    yield "Ratios are those of medians; the range is that of the single rounds' ratios."
    yield ""
    yield "| work | figure | measured | range | bar | |"
    yield "|---|---|---|---|---|---|"
    for row, _, figures in judged:
        work = row.work
        for figure in figures:
            yield f"| {work} | {figure.name} | {shown(figure.value, figure)} | {spread(figure)} | {bar(figure)} | {bold(figure)} |"
            work = ""


def shown(value, figure):
    if value is None:
        return "–"
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{value:.1f}{unit}" if abs(value) >= 10 else f"{value:.2f}{unit}"


def spread(figure):
    return "–" if figure.low is None else f"{shown(figure.low, figure)} to {shown(figure.high, figure)}"


def bar(figure):
    return "–" if figure.bound is None else f"{figure.relation} {shown(figure.bound, figure)}"


def bold(figure):
    verdict = figure.verdict()
    return f"**{verdict}**" if figure.missed() else verdict


def missed(judged):
    found = [(row, figure) for row, _, figures in judged for figure in figures if figure.missed()]
    judged_count = sum(1 for _, _, figures in judged for figure in figures if figure.bound and figure.value is not None)
    yield "## What is missed, and why"
    yield ""
    if not found:
        yield f"None of the {judged_count} figures that have a bar and were measured."
        yield ""
        return
    yield f"{len(found)} of the {judged_count} figures that have a bar and were measured."
    yield ""
    for row, figure in found:
        yield f"- `{row.key}`, {figure.name}: {shown(figure.value, figure)}, {bar(figure)}. Why: {reason_for(row.key, figure.name)}."
    yield ""


def method():
    yield "## Method"
    yield ""
    yield f"Every row is one run of alternating rounds, at least {LEAST_ROUNDS}; the contender that begins changes from round to round. Times are taken from outside of the process, from its start to "
    yield "its end, unless a row says otherwise. The files hold random bytes. Before each contender the file is brought into the state that the row names (read into the page cache with readahead, "
    yield "or written back and taken out of it, checked with mincore), and the file system is synced, so that nobody pays for another's writes. An in-place file is made plain again by cutting off "
    yield "the trailer: its ciphertext is as good as any random bytes. Before contenders that write a new file (`cached`, `out-of-place`), a file of its length is written, synced and removed, "
    yield "for on a virtual machine the host may have taken free memory back, and whoever gets it next waits for it; what became free last is handed out first. Once a row the result is checked."
    yield ""


def details(judged):
    yield "## The rows"
    yield ""
    for row, entry, figures in judged:
        yield f"### `{row.key}`: {row.work}"
        yield ""
        yield row.method
        yield ""
        if entry is None or "reason" in entry:
            yield f"Not run: {figures[0].reason}."
            yield ""
            continue
        yield from contenders(entry)
        others = f"others (kernel threads among them) used {entry['others_share']:.0%} of the cores meanwhile"
        facts = [entry["date"], f"commit {entry['commit']}", others]
        yield "; ".join([*facts, *entry["checks"], *entry["notes"]]) + "."
        yield ""


def contenders(entry):
    yield "| | median | fastest | slowest | rounds | GiB/s |"
    yield "|---|---|---|---|---|---|"
    for series, times in entry["times"].items():
        cells = [seconds_shown(value) for value in (median(times), min(times), max(times))]
        yield f"| {series} | {' | '.join(cells)} | {len(times)} | {rate(entry, series, median(times))} |"
    for series, reason in entry["not_run"].items():
        yield f"| {series} | not run: {reason} | | | | |"
    yield ""


def seconds_shown(seconds):
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def rate(entry, series, seconds):
    length = entry["facts"].get("bytes")
    if isinstance(length, dict):
        gib = series.split(",")[0].removeprefix("dd ").removesuffix(" GiB")
        length = length.get(gib)
    return f"{length / seconds / (1 << 30):.2f}" if length and series != "info" else ""


def surroundings(results):
    here = results["machine"]
    yield "## The machine"
    yield ""
    virtual = ", virtual" if here["virtual"] else ""
    write_back = ", ".join(f"{name} {value}" for name, value in here["write_back"].items())
    yield f"{here['cores']} cores of {here['processor']}{virtual}; {here['memory_gib']} GiB of memory; {here['kernel']}; {here['file_system']} on a disk ({here['disk']}); {write_back}."
    yield ""
    versions = {}
    for entry in results["rows"].values():
        for name, version in entry["versions"].items():
            versions.setdefault(name, set()).add(version)
    for name, found in sorted(versions.items()):
        yield f"- {name}: {'; '.join(sorted(found))}"


def draw(judged, path):
    points = [
        {
            "row": row.key,
            "name": figure.name,
            "share": figure.share_of_bar(),
            "met": not figure.missed(),
            "label": f"{shown(figure.value, figure)} ({bar(figure)})",
            "range": range_of_bar(figure),
        }
        for row, entry, figures in judged
        for figure in figures
        if figure.share_of_bar() is not None
    ]
    if not points:
        tools.log("no figure with a bar was measured, so there is no plot")
        return
    script = tools.REPOSITORY / "bench" / "peers" / "plot.py"
    command = [str(tools.plot_python()), str(script), str(path)]
    if subprocess.run(command, input=json.dumps(points), text=True).returncode != 0:
        raise BenchError("the plot could not be drawn")


def range_of_bar(figure):
    shares = [Figure("", figure.relation, figure.bound, value).share_of_bar() for value in (figure.low, figure.high)]
    return sorted(shares) if None not in shares else None
