"""Slate: the ranked articles of one request, and how each came to its slot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from feed.arrays import Flags, Floats, Rows
from feed.domain import Mode, Reason, Rung
from feed.ranking.eligibility import PERSONAL_RULES, Eligibility
from feed.ranking.front_page_limits import LimitState


@dataclass(slots=True)
class Trace:
    """How a slate came about: counts, and seconds per stage where a clock was given.

    `window_hours` is the age limit if it had to be raised, None otherwise.

    `explore_rows` are the articles that exploration drew from, `explore_chances` the probability
    that each of them comes to a given one of the slots that are drawn for.

    `limits` says what became of the newsroom's limits; empty where none hold.
    """

    dropped: dict[str, int] = field(default_factory=dict)
    proposed: dict[str, int] = field(default_factory=dict)
    eligible: int = 0
    window_hours: float | None = None
    candidates: int = 0
    duplicates: int = 0
    explore_pool: int = 0
    explore_rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    explore_chances: Floats = field(default_factory=lambda: np.empty(0))
    limits: tuple[LimitState, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, eligible: Eligibility) -> None:
        """Keep how many articles the rules left, and why not more."""
        self.dropped, self.eligible = eligible.dropped, eligible.count
        self.window_hours = eligible.window_hours

    @property
    def left_out_for_reader(self) -> bool:
        """Whether what the reader did or chose left any article out."""
        return any(self.dropped.get(rule) for rule in PERSONAL_RULES)


class StageTimer:
    """Writes how long each stage took into a trace, if there is a clock."""

    def __init__(self, trace: Trace, clock: Callable[[], float] | None) -> None:
        self._trace = trace
        self._clock = clock
        self._last = clock() if clock else 0.0

    def done(self, stage: str) -> None:
        """Say that a stage has ended."""
        if self._clock:
            now = self._clock()
            self._trace.seconds[stage] = now - self._last
            self._last = now


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Slate:
    """What a request gets, best first; arrays and tuples have one element per slot.

    Attributes:
        rows: article rows, none twice.
        scores: final scores; they fall with the slot except where diversity, limits, pins or
            exploration say otherwise.
        reasons: why each article stands there, strongest first, at least one.
        sources: candidate sources that proposed it.
        trending: it carries the trending label, which of a story only the first one has.
        explored: it was drawn by chance.
        pinned: an editor put it there.
        propensities: P(this article at this slot | context), 1 where nothing was left to chance.
        factors: what `scores` are the product of: "ranker", "trending", "followed", "fatigue",
            "editorial", "wishes", "story", "diversity"; empty in modes without a reader.
        mode: the mode asked for.
        rung: how it was served.
        personalized: the reader's history or preferences changed what stands where, in any mode.
        trace: counts and times.
    """

    rows: Rows
    scores: Floats
    reasons: tuple[tuple[Reason, ...], ...]
    sources: tuple[tuple[str, ...], ...]
    trending: Flags
    explored: Flags
    pinned: Flags
    propensities: Floats
    factors: dict[str, Floats]
    mode: Mode
    rung: Rung
    personalized: bool
    trace: Trace

    def __len__(self) -> int:
        return len(self.rows)
