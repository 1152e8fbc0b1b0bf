"""Which articles are read far more than expected just now: the test, the label, the score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import special

from feed.config import HOUR_S, RankingConfig
from feed.domain import TrendingEntry
from feed.features.counters import HALF_LIVES_S
from feed.features.ids import IdMap
from feed.features.pool import ArticlePool

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SLOW = 2
"""Column of the counters that holds the slow clicks (half-life 6 h)."""
AGE_EDGES_S = np.array([1, 3, 6, 12, 24, 48], dtype=np.float64) * HOUR_S
"""Articles between two of these ages share one prior."""


class ClickCounters(Protocol):
    """What the test needs of the counters, live or a snapshot.

    `began_at`: when the earliest counted click occurred, epoch seconds.
    """

    began_at: float

    def clicks(self, rows: Rows, now: float) -> Floats:
        """Return decayed distinct readers, shape [k, half-lives]."""
        ...

    def site_clicks(self, now: float) -> Floats:
        """Return the same summed over the site, shape [half-lives]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendingRules:
    """When the label goes on and off. `scripts/bench_trending.py` measures what they lead to.

    Attributes:
        p_on: tail probability under which the label goes on.
        p_off: tail probability above which it goes off.
        lift_on: least ratio of readers to expected readers to go on.
        lift_off: ratio under which it goes off.
        min_readers: least distinct readers in about one window to go on; half of it to stay on.
        max_labels: labels on at once, strongest first, those already on favoured.
        max_entries: articles listed in a state, labelled or rising.
        prior_readers: least readers in one window that a new article is expected to have.
        dispersion: squared relative spread of an article's usual rate that is never believed
            away, however long its history (clicks come in clusters; Poisson is too narrow).
        season_limit: the site's rhythm scales expectations by at most this factor, either way.
    """

    p_on: float = 1e-5
    p_off: float = 1e-2
    lift_on: float = 2.0
    lift_off: float = 1.3
    min_readers: float = 10.0
    max_labels: int = 10
    max_entries: int = 200
    prior_readers: float = 1.0
    dispersion: float = 0.03
    season_limit: float = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class TrendingState:
    """What trends at one moment.

    `entries` are best first, rising articles without the label included; `rows`, `scores` and
    `flags` say the same by pool row, `rows` ascending. Rows are this process's own: the bytes
    carry article ids.
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
            keep &= pool.section[at] == pool.sections.row(section)
        if language:
            keep &= pool.language[at] == pool.languages.row(language)
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
class Surprise:
    """How surprising the present rate of some articles is; arrays of shape [k].

    `readers` (decayed sum of distinct readers), `expected`, `lift`, `p_value`, `score`.
    """

    readers: Floats
    expected: Floats
    lift: Floats
    p_value: Floats
    score: Floats


def measure_surprise(
    fast: Floats,
    slow: Floats,
    age_s: Floats,
    site: tuple[float, float],
    half_life_s: float,
    rules: TrendingRules,
    slow_half_life_s: float = HALF_LIVES_S[SLOW],
) -> Surprise:
    """Compare each article's recent readers with what its past, the site and its age foretell.

    With `tau = half_life / ln 2`, a Poisson stream of rate r gives a decayed sum of mean
    `r * tau * (1 - x)` and variance `r * tau * (1 - x^2) / 2`, where `x = 2^(-age/half_life)`
    (Campbell's theorem); so `2 / (1 + x)` times the sum has the mean and variance of a Poisson
    count. `slow - fast` weights the past by a kernel that leaves the present out: it gives the
    usual rate, with a Gamma prior from articles of like age. Past and prior make the rate
    Gamma(a, b), and the recent count negative binomial: `P(N >= n) = I_q(n, a)` with
    `q = exposure / (b + exposure)` and I the regularised incomplete beta function.

    Args:
        fast: decayed distinct readers, half-life `half_life_s`, shape [k].
        slow: the same with `slow_half_life_s`, shape [k].
        age_s: seconds since the article could first be read, shape [k].
        site: the site's fast and slow sums.
        half_life_s: half-life of `fast`, seconds.
        rules: thresholds and priors.
        slow_half_life_s: half-life of `slow`, seconds.

    Returns:
        One value per article; `score` grows with evidence, lift and readers, in [0, 1].
    """
    tau, tau_slow = half_life_s / np.log(2), slow_half_life_s / np.log(2)
    age = np.maximum(age_s, 1.0)
    left = np.exp2(-age / half_life_s)
    span = tau * (1 - left)
    past_span = np.maximum(tau_slow * (1 - np.exp2(-age / slow_half_life_s)) - span, 0.0)
    past = np.maximum(slow - fast, 0.0)
    prior = _prior_rate(fast, span, age, rules.prior_readers / tau)
    shape, per_second = 1 + 2 * past, 1 / prior + 2 * past_span
    rate = shape / per_second
    shape = np.minimum(shape, 1 / rules.dispersion)
    span = span * _season(fast, slow, site, tau, tau_slow, rules.season_limit)
    to_count = 2 / (1 + left)
    exposure = to_count * span
    p_value = special.betainc(
        np.maximum(to_count * fast, 1e-9), shape, exposure / (shape / rate + exposure)
    )
    expected = rate * span
    lift = (fast + 1) / (expected + 1)
    evidence = np.minimum(-np.log10(np.maximum(p_value, 1e-12)) / 12, 1.0)
    score = evidence * np.maximum(1 - 1 / lift, 0) * np.minimum(fast / rules.min_readers, 1.0)
    return Surprise(fast, expected, lift, p_value, score)


def _prior_rate(fast: Floats, span: Floats, age: Floats, floor: float) -> Floats:
    """Readers per second of the *other* articles of like age: a burst is not its own prior."""
    bucket = np.searchsorted(AGE_EDGES_S, age)
    readers = np.bincount(bucket, fast, minlength=AGE_EDGES_S.size + 1)
    spans = np.bincount(bucket, span, minlength=AGE_EDGES_S.size + 1)
    others = np.maximum(spans[bucket] - span, 0.0)
    rate = np.maximum(readers[bucket] - fast, 0.0) / np.maximum(others, 1.0)
    return np.maximum(rate, floor)


def _season(
    fast: Floats,
    slow: Floats,
    site: tuple[float, float],
    tau: float,
    tau_slow: float,
    limit: float,
) -> Floats:
    """Return how busy the rest of the site is now against its past few hours."""
    now_rate = (np.maximum(site[0] - fast, 0.0) + 1) / tau
    past = np.maximum(site[1] - site[0] - (slow - fast), 0.0)
    past_rate = (past + (tau_slow - tau) / tau) / (tau_slow - tau)
    return np.clip(now_rate / past_rate, 1 / limit, limit)


class TrendingDetector:
    """Turns counters into trending states, remembering which labels are on and since when."""

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
        if previous is not None:
            self.restore(previous)

    def restore(self, state: TrendingState) -> None:
        """Go on from an earlier state (after a restart) instead of from no labels."""
        self._since = {e.article_id: e.since or state.at for e in state.entries if e.labelled}

    def update(self, counters: ClickCounters, pool: ArticlePool, now: float) -> TrendingState:
        """Return what trends now; labels that were on may stay on (hysteresis).

        Args:
            counters: decayed distinct readers, by row.
            pool: the articles; only live ones are considered.
            now: epoch seconds.
        """
        rows = np.flatnonzero(pool.live[: pool.size])
        clicks = counters.clicks(rows, now)
        site = counters.site_clicks(now)
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
        return self._label(surprise, rows, pool.ids, now, round(half_life_s / np.log(2) / 60))

    def _label(
        self, surprise: Surprise, rows: Rows, ids: IdMap, now: float, window_minutes: int
    ) -> TrendingState:
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
        on = np.flatnonzero(starts | stays)
        favoured = surprise.score[on] * np.where(held[on], 1.25, 1.0)
        on = on[np.argsort(-favoured, kind="stable")[: rules.max_labels]]
        self._since = {ids.ids[rows[i]]: self._since.get(ids.ids[rows[i]], now) for i in on}
        listed = np.flatnonzero(surprise.score > 0.01)
        listed = np.union1d(listed, on)
        listed = listed[np.argsort(-surprise.score[listed], kind="stable")[: rules.max_entries]]
        entries = [self._entry(surprise, i, ids.ids[rows[i]], window_minutes) for i in listed]
        return build_state(now, entries, ids)

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
