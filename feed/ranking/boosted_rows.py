"""BoostedRows: the boosts of editors by article row, made once per snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from feed.arrays import Floats, Rows
from feed.editorial.boosts import Boost
from feed.features.ids import find
from feed.features.pool import ArticlePool


def _no_rows() -> Rows:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class BoostedRows:
    """Articles that editors have boosted or buried.

    Attributes:
        rows: pool rows, ascending, none twice, int64 [n].
        factors: what multiplies the score of each, f64 [n].
        starts_at: from when that holds, epoch seconds, f64 [n].
        ends_at: until when, f64 [n].
    """

    rows: Rows = field(default_factory=_no_rows)
    factors: Floats = field(default_factory=lambda: np.empty(0))
    starts_at: Floats = field(default_factory=lambda: np.empty(0))
    ends_at: Floats = field(default_factory=lambda: np.empty(0))

    def factor(self, rows: Rows, now: float) -> Floats:
        """Return what multiplies the scores of pool rows at a time, f64 [k]; 1 without a boost."""
        if not self.rows.size:
            return np.ones(len(rows))
        at = find(self.rows, rows)
        return np.where(at >= 0, self._present(now)[at], 1.0)

    def raised(self, now: float) -> Rows:
        """Return the rows that are boosted at a time, the most boosted first."""
        if not self.rows.size:
            return self.rows
        factors = self._present(now)
        up = np.flatnonzero(factors > 1.0)
        ordered: Rows = self.rows[up[np.argsort(-factors[up], kind="stable")]]
        return ordered

    def _present(self, now: float) -> Floats:
        holds = (self.starts_at <= now) & (now < self.ends_at)
        return np.where(holds, self.factors, 1.0)


NO_BOOSTS = BoostedRows()


def build_boosted_rows(boosts: Iterable[Boost], pool: ArticlePool) -> BoostedRows:
    """Return boosts by the rows of a pool; those of unknown articles are left out.

    The boost of an article holds for the twin that is shown in its place, too. Of several for one
    row, the one that was decided last counts.
    """
    by_row: dict[int, Boost] = {}
    for boost in sorted(boosts, key=lambda b: (b.starts_at, b.article_id)):
        row = pool.leader_of(pool.ids.row(boost.article_id))
        if 0 <= row < pool.size:
            by_row[row] = boost
    if not by_row:
        return NO_BOOSTS
    rows = sorted(by_row)
    ordered = [by_row[row] for row in rows]
    return BoostedRows(
        rows=np.array(rows, np.int64),
        factors=np.array([boost.factor for boost in ordered]),
        starts_at=np.array([boost.starts_at for boost in ordered]),
        ends_at=np.array([boost.ends_at for boost in ordered]),
    )
