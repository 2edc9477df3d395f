"""The contenders of a row, in alternating rounds."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from errors import NotRun
from tools import log


@dataclass
class Context:
    """What every row is given."""

    tools: object
    workspace: object
    rounds: int
    scale: float
    threads: int
    identity: object
    recipient: str
    encrypt_options: list
    row_limit_s: float

    def size(self, length):
        """`length` bytes of the table, made smaller in a smoke run, in whole MiB."""
        return max(16 << 20, int(length * self.scale) >> 20 << 20)

    def encrypt(self, path, *more):
        return [self.tools.pageseal, "encrypt", "-q", "-r", self.recipient, *more, path]

    def encrypt_in_place(self, path):
        """As the row's bar is about: without options, but for those that whoever runs this wants to try."""
        return self.encrypt(path, *self.encrypt_options)

    def decrypt(self, path, *more):
        return [self.tools.pageseal, "decrypt", "-q", "-i", self.identity, *more, path]

    def verify(self, path):
        return [self.tools.pageseal, "verify", "-q", "-i", self.identity, path]


@dataclass
class Step:
    """One contender. `action` brings everything into the state that it starts from, runs it once, and returns seconds by the
    name of the series; `series` names all of them."""

    name: str
    series: list
    action: Callable


@dataclass
class Measured:
    """What a row found: raw seconds of every round, by series, and everything else that its figures need."""

    times: dict = field(default_factory=dict)
    not_run: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    checks: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def alternate(context, measured, steps, *, rotate=True, rounds=None):
    """Runs each step once a round. The first one changes from round to round, so that none always runs after the same other;
    not where one step makes what the next one needs. A step that fails once is left out from then on, with its reason."""
    rounds = rounds or context.rounds
    deadline = time.monotonic() + context.row_limit_s
    left = list(steps)
    for number in range(rounds):
        if time.monotonic() > deadline:
            measured.notes.append(f"stopped after {number} of {rounds} rounds: the row's time was up")
            break
        order = left[number % len(left) :] + left[: number % len(left)] if rotate and left else list(left)
        for step in order:
            try:
                found = step.action()
            except NotRun as reason:
                log(f"    {step.name}: not run: {reason}")
                left.remove(step)
                for series in step.series:
                    measured.times.pop(series, None)
                    measured.not_run[series] = str(reason)
                continue
            for series, seconds in found.items():
                measured.times.setdefault(series, []).append(seconds)
            shown = ", ".join(f"{series} {seconds:.4g} s" for series, seconds in found.items())
            log(f"    round {number + 1}: {shown}")
    return measured
