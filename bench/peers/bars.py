"""Figures and their bars. Nothing here is written by hand into the report: a figure is met or missed by what was measured."""

from dataclasses import dataclass
from statistics import median

# Fewer rounds are no measurement.
LEAST_ROUNDS = 5


@dataclass
class Figure:
    """A number, its spread, and the bar that it has to reach. `value` is None if it could not be had, for `reason`."""

    name: str
    relation: str
    bound: float | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    reason: str = ""
    rounds: int = 0

    def verdict(self):
        if self.value is None:
            return f"not run: {self.reason}"
        if self.bound is None:
            return "no bar"
        met = self.value >= self.bound if self.relation == "at least" else self.value <= self.bound
        few = "" if self.rounds >= LEAST_ROUNDS else f" ({self.rounds} rounds are too few)"
        return ("met" if met else "missed") + few

    def missed(self):
        return self.verdict().startswith("missed")

    def share_of_bar(self):
        """1 is just met, more is better, whichever way the bar points."""
        if self.value is None or not self.bound or not self.value:
            return None
        return self.value / self.bound if self.relation == "at least" else self.bound / self.value


def ratio(row, name, above, below, relation, bound, factor=1.0):
    """Median of the series `above` by median of the series `below`. The spread is that of the single rounds' ratios."""
    times, not_run = row["times"], row["not_run"]
    for series in (above, below):
        if series not in times:
            reason = not_run.get(series, "nothing was measured")
            return Figure(name, relation, bound, reason=f"{series}: {reason}")
    pairs = list(zip(times[above], times[below]))
    singles = [factor * first / second for first, second in pairs]
    value = factor * median(times[above]) / median(times[below])
    return Figure(name, relation, bound, value, min(singles), max(singles), rounds=len(pairs))


def faster(row, name, other, ours, bound):
    """How many times faster `ours` is."""
    return ratio(row, name, other, ours, "at least", bound)


def share(row, name, ours, other, bound):
    """Which share of the other's time `ours` takes."""
    return ratio(row, name, ours, other, "at most", bound)
