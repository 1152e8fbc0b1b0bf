"""What a plugin must be: one small protocol for each kind.

An entry point names a class that is made without arguments, once for each process. Its group says
of which kind it is (`GROUPS`). The object that serves requests is also asked in replay, training,
evaluation and on the desk, so it must be a pure function of what it is given: no clock, no chance
without a fixed seed, and nothing kept of earlier calls. It may read files of its own when it is
made, if they hold nothing that was learned from later than what it will be asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy.typing as npt

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.plugins.moments import Moment

GROUPS = {
    "feed.candidates": "candidate source",
    "feed.features": "feature",
    "feed.rankers": "ranker",
    "feed.rules": "rule",
}
"""Groups of entry points, and what their plugins are. A method of `feed evaluate` is an
`OwnMethod`, in the group `feed.methods`."""


class PluginSource(Protocol):
    """Proposes candidates.

    Attributes:
        name: lower-case letters, digits and `_`; no other source has it.
        reason: a sentence for readers that is true of every article it proposes. It is the reason
            of an article that no other source proposed.
    """

    name: str
    reason: str

    def propose(self, moment: Moment, limit: int) -> npt.ArrayLike:
        """Return positions in `moment.articles`, best first, none twice, at most `limit`."""
        ...


class PluginFeature(Protocol):
    """A column that the ranker learns from, beside the built-in ones.

    Attributes:
        name: lower-case letters, digits and `_`; no other feature has it.
        doc: what it is, with its unit, in a few words.
        weight: its weight in the day-one ranker, log-odds per unit; 0 if only trees shall use it.
        neutral: the value that speaks neither for nor against an article.
    """

    name: str
    doc: str
    weight: float
    neutral: float

    def compute(self, moment: Moment) -> npt.ArrayLike:
        """Return a number for each of `moment.articles`, NaN where it is not known."""
        ...


class PluginRule(Protocol):
    """Re-orders or filters what was ranked, before the limits and pins of editors, which stay.

    Attributes:
        name: lower-case letters, digits and `_`; no other rule has it.
    """

    name: str

    def apply(self, moment: Moment, scores: Floats) -> npt.ArrayLike:
        """Return positions in `moment.articles` in the order wanted; others are not shown.

        Args:
            moment: its articles are the ranked ones, best first.
            scores: of each, f64 [k], read-only.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PluginExamples:
    """What a ranker learns from: lists that readers saw, oldest first.

    Attributes:
        features: f32 [n, F]; NaN is unknown. Lists stand one after the other.
        names: of the F features.
        clicked: bool [n].
        sizes: how many rows each list has, int64; their sum is n.
        head: "pool" to tell what is clicked of everything, "slate" to order editors' lists.
        seed: for all draws.
    """

    features: Matrix
    names: tuple[str, ...]
    clicked: Flags
    sizes: Rows
    head: str
    seed: int


class FittedPlugin(Protocol):
    """A ranker that has learned."""

    def margin(self, features: Matrix) -> npt.ArrayLike:
        """Return a finite score in log-odds for each row of features f32 [k, F]."""
        ...

    def save(self) -> bytes:
        """Return everything learned, in a format that runs no code when it is read: no pickle."""
        ...


class PluginRanker(Protocol):
    """Learns to rank, instead of the built-in trees.

    Attributes:
        name: lower-case letters, digits and `_`.
    """

    name: str

    def fit(self, examples: PluginExamples) -> FittedPlugin | None:
        """Return a ranker that has learned, or None if there is too little to learn from."""
        ...

    def load(self, data: bytes) -> FittedPlugin:
        """Return the ranker that `FittedPlugin.save` wrote.

        Raises:
            ValueError: the bytes are none of its own.
        """
        ...
