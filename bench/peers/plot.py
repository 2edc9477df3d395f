"""Draws every figure by its bar. Run by report.py with an interpreter that has matplotlib; reads its points from standard input."""

import json
import sys

import matplotlib

matplotlib.use("svg")
# The same picture for the same figures, and text that stays text.
matplotlib.rcParams.update({"svg.hashsalt": "pageseal", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"})

from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

MET, MISSED, BAR = "#2a7f4f", "#b5382a", "#444444"
TICKS = [0.25, 0.5, 1, 2, 4, 8, 16, 32]


def main():
    points = json.load(sys.stdin)
    height = 1.1 + 0.24 * len(points)
    figure, axes = pyplot.subplots(figsize=(9.5, height))
    rows = [f"{point['row']}: {point['name'].replace('`', '')}" for point in points]
    places = range(len(points))
    for place, point in zip(places, points):
        colour = MET if point["met"] else MISSED
        if point["range"]:
            axes.plot(point["range"], [place, place], color=colour, linewidth=1.2, alpha=0.55, solid_capstyle="butt")
        axes.plot(point["share"], place, "o" if point["met"] else "X", color=colour, markersize=6)
    low = min(min(point["range"] or [point["share"]]) for point in points)
    high = max(max(point["range"] or [point["share"]]) for point in points)
    axes.set_xscale("log")
    axes.set_xlim(min(0.8, low * 0.9), max(1.6, high * 1.1))
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.axvline(1, color=BAR, linewidth=1)
    axes.set_yticks(list(places), rows)
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    right = axes.twinx()
    right.set_ylim(axes.get_ylim())
    right.set_yticks(list(places), [point["label"] for point in points])
    right.tick_params(axis="y", length=0, colors="#555555")
    for side in ("top", "right", "left", "bottom"):
        right.spines[side].set_visible(False)
    axes.set_xlabel("how far beyond its bar (1× is just met, right is better); lines: single rounds")
    figure.savefig(sys.argv[1], bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
