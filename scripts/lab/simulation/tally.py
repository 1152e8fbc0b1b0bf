"""Counting how often something happened in repeated trials."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import binomtest

from feed.experiments.statistics.effects import Interval


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened.

    Attributes:
        hits: Times it happened; a fraction where a trial counts in part.
        trials: Times it could have.
    """

    hits: float = 0.0
    trials: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Join two sets of trials."""
        return Tally(self.hits + other.hits, self.trials + other.trials)

    @property
    def rate(self) -> float | None:
        """Share of the trials; None without any."""
        return self.hits / self.trials if self.trials else None

    def interval(self, level: float = 0.95) -> Interval | None:
        """What the true rate may be, given that the trials are finite; exact binomial."""
        if not self.trials:
            return None
        bounds = binomtest(round(self.hits), self.trials).proportion_ci(level, "exact")
        return Interval(float(bounds.low), float(bounds.high))


class Counter:
    """Tallies by name, filled while trials run."""

    def __init__(self) -> None:
        self._hits: dict[str, list[float]] = {}

    def note(self, name: str, happened: float) -> None:
        """Note one trial.

        Args:
            name: What was tried.
            happened: True, False or, for a rate within the trial, a fraction.
        """
        self._hits.setdefault(name, []).append(float(happened))

    def tallies(self) -> dict[str, Tally]:
        """Everything noted so far."""
        return {name: Tally(math.fsum(hits), len(hits)) for name, hits in self._hits.items()}


def join_tallies(parts: Iterable[dict[str, Tally]]) -> dict[str, Tally]:
    """Add up the tallies of several batches of trials, by name."""
    joined: dict[str, Tally] = {}
    for part in parts:
        for name, tally in part.items():
            joined[name] = joined.get(name, Tally()) + tally
    return joined
