"""Which articles are read far more than expected, and which labels are already on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from feed.arrays import Flags, Floats, Rows
from feed.config import RankingConfig
from feed.domain import TrendingEntry
from feed.features.counters import HALF_LIVES_S
from feed.features.ids import IdMap
from feed.features.languages import matching_codes
from feed.features.pool import ArticlePool
from feed.features.request_context import asked_section
from feed.features.surprise import SLOW, Surprise, TrendingRules, measure_surprise
from feed.features.trend_tests import FEWEST_READERS, MOST_TESTS, TrendTest, TrendTests

WEIGHED = 0.5
"""Decayed readers from untrusted callers from which an article's label depends on them."""


class ClickCounters(Protocol):
    """What the test needs from the counters: those of the site, or of a simulated world.

    `began_at`: when the earliest counted click occurred, epoch seconds.
    """

    began_at: float

    def clicks(self, rows: Rows, now: float) -> Floats:
        """Return decayed distinct readers, shape [k, half-lives]."""
        ...

    def site_clicks(self, now: float) -> Floats:
        """Return the same summed over the site, shape [half-lives]."""
        ...


class WithheldReaders(Protocol):
    """What the test needs from the bound on networks, real or in a simulated world."""

    def withheld(self, rows: Rows, now: float) -> Floats:
        """Return the decayed readers that do not count, shape [k, half-lives]."""
        ...

    def site_withheld(self, now: float) -> Floats:
        """Return the same summed over the site, shape [half-lives]."""
        ...

    def readers(self, rows: Rows, now: float) -> Floats:
        """Return the decayed readers that were weighted, shape [k]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TrendingState:
    """The trending articles at one moment.

    `entries` are sorted, best first, and include rising articles without the label. `rows`,
    `scores` and `flags` hold the same by pool row, `rows` ascending. Rows are valid only in this
    process; the serialised form holds article ids.
    """

    at: float = 0.0
    entries: tuple[TrendingEntry, ...] = ()
    rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    scores: Floats = field(default_factory=lambda: np.empty(0))
    flags: Flags = field(default_factory=lambda: np.empty(0, np.bool_))
    ranked_rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))

    def score(self, rows: Rows) -> Floats:
        """Return the trending score in [0, 1] of pool rows; 0 for what does not trend."""
        found, at = self._find(rows)
        return np.where(found, self.scores[at], 0.0) if self.rows.size else np.zeros(len(rows))

    def labelled(self, rows: Rows) -> Flags:
        """Return which pool rows carry the label."""
        found, at = self._find(rows)
        return found & self.flags[at] if self.rows.size else np.zeros(len(rows), np.bool_)

    def entry(self, row: int) -> TrendingEntry | None:
        """Return the entry of one pool row, or None."""
        found = np.flatnonzero(self.ranked_rows == row)
        return self.entries[found[0]] if found.size else None

    def select(
        self, pool: ArticlePool, section: str = "", language: str = ""
    ) -> tuple[TrendingEntry, ...]:
        """Return the entries, best first, of one section and/or language ("" for all)."""
        keep = (self.ranked_rows >= 0) & (self.ranked_rows < pool.size)
        at = np.where(keep, self.ranked_rows, 0)
        if not self.entries or pool.size == 0:
            return ()
        keep &= pool.live[at]
        if section:
            keep &= pool.stand_in(at, [asked_section(pool.sections, section)])
        if language:
            keep &= np.isin(pool.language[at], matching_codes(pool.languages, [language]))
        return tuple(self.entries[i] for i in np.flatnonzero(keep))

    def to_bytes(self) -> bytes:
        """Return the state as JSON, articles by id."""
        content = {"at": self.at, "entries": [asdict(entry) for entry in self.entries]}
        return json.dumps(content, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, ids: IdMap) -> TrendingState:
        """Return the state that `to_bytes` wrote, with the row numbers of `ids`.

        An article that `ids` does not know stays in `entries` and has no row.
        """
        content = json.loads(data)
        return build_state(
            content["at"], [TrendingEntry(**entry) for entry in content["entries"]], ids
        )

    def _find(self, rows: Rows) -> tuple[Flags, Rows]:
        if not self.rows.size:
            return np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.int64)
        at = np.minimum(np.searchsorted(self.rows, rows), self.rows.size - 1)
        return self.rows[at] == rows, at


def build_state(at: float, entries: Sequence[TrendingEntry], ids: IdMap) -> TrendingState:
    """Return the state of these entries (best first) with the row numbers of `ids`."""
    ranked = np.array([ids.row(entry.article_id) for entry in entries], dtype=np.int64)
    known = np.flatnonzero(ranked >= 0)
    order = known[np.argsort(ranked[known])]
    scores = np.array([entry.score for entry in entries], dtype=np.float64)
    flags = np.array([entry.labelled for entry in entries], dtype=np.bool_)
    return TrendingState(at, tuple(entries), ranked[order], scores[order], flags[order], ranked)


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What one update looked at and found; arrays of shape [k], `came` before the bound."""

    at: float
    window_minutes: int
    rows: Rows
    came: Floats
    surprise: Surprise
    is_met: Flags
    ids: IdMap


class TrendingDetector:
    """Computes trending states from counters, and remembers which labels are on and since when."""

    def __init__(
        self,
        config: RankingConfig | None = None,
        rules: TrendingRules | None = None,
        previous: TrendingState | None = None,
    ) -> None:
        half_life_s = (config or RankingConfig()).trending_half_life_minutes * 60
        distances = [abs(np.log(half_life_s / h)) for h in HALF_LIVES_S[:SLOW]]
        self._fast = int(np.argmin(distances))
        self._rules = rules or TrendingRules()
        self._since: dict[str, float] = {}
        self._waiting: dict[str, float] = {}
        self._judged: _Judged | None = None
        if previous is not None:
            self.restore(previous)

    def restore(self, state: TrendingState) -> None:
        """Go on from an earlier state (after a restart) instead of from no labels."""
        self._since = {e.article_id: e.since or state.at for e in state.entries if e.labelled}

    def update(
        self,
        counters: ClickCounters,
        pool: ArticlePool,
        now: float,
        bound: WithheldReaders | None = None,
    ) -> TrendingState:
        """Return what trends now; labels that were on may stay on (hysteresis).

        A sponsored article never trends: its readers may have been paid for.

        Args:
            counters: decayed distinct readers, by row.
            pool: the articles; only live ones that are not sponsored are considered.
            now: epoch seconds.
            bound: how many of those readers do not count, where that was weighed; the same rows.
        """
        rows = np.flatnonzero(pool.live[: pool.size] & ~pool.sponsored[: pool.size])
        clicks = counters.clicks(rows, now)
        came, site = clicks[:, self._fast], counters.site_clicks(now)
        weighed = np.zeros(len(rows), np.bool_)
        if bound is not None:
            clicks = np.maximum(clicks - bound.withheld(rows, now), 0.0)
            site = np.maximum(site - bound.site_withheld(now), 0.0)
            weighed = bound.readers(rows, now) > WEIGHED
        started = np.maximum(pool.published_at[rows], counters.began_at)
        half_life_s = HALF_LIVES_S[self._fast]
        surprise = measure_surprise(
            clicks[:, self._fast],
            clicks[:, SLOW],
            now - started,
            (float(site[self._fast]), float(site[SLOW])),
            half_life_s,
            self._rules,
        )
        window_minutes = round(half_life_s / np.log(2) / 60)
        state, is_met = self._label(surprise, rows, weighed, pool.ids, now, window_minutes)
        self._judged = _Judged(now, window_minutes, rows, came, surprise, is_met, pool.ids)
        return state

    def tests(self) -> TrendTests | None:
        """Return what the last update found for each article that is read; None before it."""
        judged = self._judged
        if judged is None:
            return None
        read = np.flatnonzero(judged.came >= FEWEST_READERS)
        read = read[np.argsort(-judged.came[read], kind="stable")[:MOST_TESTS]]
        names = [judged.ids.ids[row] for row in judged.rows[read].tolist()]
        found = judged.surprise
        columns = (judged.came, found.readers, found.expected, found.lift, found.p_value)
        values: list[list[Any]] = [one[read].tolist() for one in (*columns, judged.is_met)]
        waits = [None if name in self._since else self._waiting.get(name) for name in names]
        tests = [TrendTest(*row) for row in zip(names, *values, waits, strict=True)]
        return TrendTests(judged.at, judged.window_minutes, tests)

    def _label(
        self,
        surprise: Surprise,
        rows: Rows,
        weighed: Flags,
        ids: IdMap,
        now: float,
        window_minutes: int,
    ) -> tuple[TrendingState, Flags]:
        """Return the state, and which articles satisfy the rule, whether they have waited or not.

        The second is of shape [k].
        """
        rules = self._rules
        held = np.zeros(len(rows), np.bool_)
        held[np.isin(rows, ids.rows(list(self._since)))] = bool(self._since)
        starts = (
            (surprise.p_value < rules.p_on)
            & (surprise.lift >= rules.lift_on)
            & (surprise.readers >= rules.min_readers)
        )
        stays = (
            held
            & (surprise.p_value < rules.p_off)
            & (surprise.lift >= rules.lift_off)
            & (surprise.readers >= rules.min_readers / 2)
        )
        is_met = starts | stays
        young = np.flatnonzero(starts & ~stays & weighed)
        starts[young] = self._settled(rows[young], ids, now)
        on = np.flatnonzero(starts | stays)
        favoured = surprise.score[on] * np.where(held[on], 1.25, 1.0)
        on = on[np.argsort(-favoured, kind="stable")[: rules.max_labels]]
        self._since = {ids.ids[rows[i]]: self._since.get(ids.ids[rows[i]], now) for i in on}
        listed = np.flatnonzero(surprise.score > 0.01)
        listed = np.union1d(listed, on)
        listed = listed[np.argsort(-surprise.score[listed], kind="stable")[: rules.max_entries]]
        entries = [self._entry(surprise, i, ids.ids[rows[i]], window_minutes) for i in listed]
        return build_state(now, entries, ids), is_met

    def _settled(self, rows: Rows, ids: IdMap, now: float) -> Flags:
        """Return which articles have met the rule for long enough, of all that meet it now."""
        names = [ids.ids[row] for row in rows]
        self._waiting = {name: min(self._waiting.get(name, now), now) for name in names}
        met_s = now - np.array([*self._waiting.values()], np.float64)
        long_enough: Flags = met_s >= self._rules.settle_s
        return long_enough

    def _entry(
        self, surprise: Surprise, at: np.int64, article_id: str, window_minutes: int
    ) -> TrendingEntry:
        since = self._since.get(article_id)
        return TrendingEntry(
            article_id=article_id,
            score=float(surprise.score[at]),
            readers=float(surprise.readers[at]),
            expected=float(surprise.expected[at]),
            lift=float(surprise.lift[at]),
            p_value=float(surprise.p_value[at]),
            labelled=since is not None,
            since=since,
            window_minutes=window_minutes,
        )
