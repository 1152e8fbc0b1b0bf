"""ScoreBook: holds the lists of a period until its rankers are trained, then scores them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats, Integers, Matrix, Rows
from feed.models.ranker import LearnedRanker, logistic
from feed.models.schema import feature_index
from feed.models.view import RankingView
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.event_log import Seen
from feed.offline.log_source import LogSource
from feed.offline.methods import MODEL, RANDOM, SERVED, score_all
from feed.offline.metric_values import EARLIER, ListFacts, MetricValues
from feed.offline.own_methods import OwnMethods
from feed.offline.ranking_metrics import RankedLists, sort_lists
from feed.offline.reads import SatisfiedReads
from feed.offline.score_file import ScoreFile
from feed.offline.spread import TOP, Spread

_SHARE = feature_index()["clicks_24h"]

CHUNK_ROWS = 100_000
"""Candidates that are scored together."""
WAITING_CHUNKS = 4
"""Chunks that may wait for a ranker and be scored beside the walk; beyond, the walk waits."""
SOURCE_DEPTH = 100
"""How deep each candidate source is asked when its recall is measured."""
SPREAD_EVERY = 3
"""Of so many lists one is looked at beyond accuracy."""
SPREAD_METHODS = (MODEL, SERVED, "clicks, half-life 30 min", "newest")
"""Methods whose first places are looked at beyond accuracy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _WaitingPool:
    seen: Seen
    features: Matrix
    rows: Rows
    clicked: Flags
    factors: Floats
    trending: Flags
    wanted: Rows
    pool_size: int
    reader_clicks: int
    in_pool: int
    source_hits: dict[str, float]
    view: RankingView
    own: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class _Tally:
    """What some lists of the pool were scored; `wanted` f64 [lists] counts their clicks.

    `scored` has the scores of every method, f64 of one list after the other.
    """

    facts: ListFacts
    scored: dict[str, Floats]
    sizes: Integers
    wanted: Floats


class ScoreBook:
    """Gathers lists, scores them with the period's rankers, and tallies every method.

    Args:
        log: the log.
        scores: file of every score, or None.
        own: further methods.
        reads: which clicks of the measured lists were satisfied reads, if the log says so.
        seed: of what is drawn at random.
    """

    def __init__(
        self,
        log: LogSource,
        scores: ScoreFile | None = None,
        own: OwnMethods | None = None,
        reads: SatisfiedReads | None = None,
        seed: int = 3,
    ) -> None:
        self.metrics = MetricValues()
        self.spreads = {name: Spread() for name in SPREAD_METHODS}
        self.pool_sizes: list[int] = []
        self.candidate_counts: list[int] = []
        self._log: LogSource | None = log
        self._file = scores
        self._own = own
        self._reads = reads or None
        self._rankers: Rankers = {}
        self._beside: Executor | None = None
        self._running: deque[Future[None]] = deque()
        self._slates: list[tuple[SlateList, dict[str, Floats]]] = []
        self._pools: list[_WaitingPool] = []
        self._earlier: list[_WaitingPool] = []
        self._waiting = 0
        self._rng = np.random.default_rng(seed)

    def score_beside(self, executor: Executor | None) -> None:
        """Score on a thread of `executor` (it must have one only) while the walk goes on."""
        self._beside = executor

    def use_rankers(self, rankers: Rankers) -> None:
        """Score what is added from now on with these, once they are trained."""
        self.flush()
        self._rankers = rankers

    def add_slate(self, entry: SlateList) -> None:
        """Take one list of the slate protocol."""
        self._slates.append((entry, self._score_own(entry.seen, entry.seen.shown)))
        self._count(len(entry.seen.shown))

    def add_pool(self, entry: PoolList) -> None:
        """Take one list of the pool protocol; measure its sources at once."""
        found = entry.found
        waiting = _WaitingPool(
            seen=entry.seen,
            features=entry.features,
            rows=found.rows,
            clicked=entry.clicked,
            factors=entry.factors,
            trending=found.context.trending.labelled(found.rows),
            wanted=entry.wanted,
            pool_size=found.pool_size,
            reader_clicks=entry.reader_clicks,
            in_pool=int(found.eligible[entry.wanted].sum()),
            source_hits=_count_hits(entry),
            view=found.context.view,
            own=self._score_own(entry.seen, found.rows),
        )
        if entry.earlier:
            self._earlier.append(waiting)
        else:
            self._pools.append(waiting)
            self.pool_sizes.append(found.pool_size)
            self.candidate_counts.append(len(found.rows))
            for spread in self.spreads.values():
                spread.add_pool(found.rows)
        self._count(len(found.rows))

    def flush(self) -> None:
        """Send everything that waits to be scored and tallied."""
        waiting = self._slates, self._pools, self._earlier, self._rankers
        self._slates, self._pools, self._earlier, self._waiting = [], [], [], 0
        if self._beside is None:
            self._score(*waiting)
            return
        self._running.append(self._beside.submit(self._score, *waiting))
        self._settle(WAITING_CHUNKS)

    def finish(self) -> None:
        """Score and measure everything that waits, and come back when it is done."""
        self.flush()
        self._settle(0)
        self._beside = None

    def closed(self) -> ScoreBook:
        """Return the book as numbers alone, without log, file and rankers, to be sent on."""
        self._log, self._file, self._rankers, self._beside, self._own = None, None, {}, None, None
        self._reads = None
        return self

    def merge(self, others: Sequence[ScoreBook]) -> ScoreBook:
        """Take in the books of other protocols; return this one."""
        for other in others:
            self.metrics.merge(other.metrics)
            self.pool_sizes += other.pool_sizes
            self.candidate_counts += other.candidate_counts
            if other.pool_sizes:
                self.spreads = other.spreads
        return self

    def _score_own(self, seen: Seen, rows: Rows) -> dict[str, Floats]:
        return {} if self._own is None else self._own.score(seen, rows)

    def _count(self, rows: int) -> None:
        self._waiting += rows
        if self._waiting >= CHUNK_ROWS:
            self.flush()

    def _settle(self, left: int) -> None:
        while len(self._running) > left:
            self._running.popleft().result()

    def _score(
        self,
        slates: list[tuple[SlateList, dict[str, Floats]]],
        pools: list[_WaitingPool],
        earlier: list[_WaitingPool],
        rankers: Rankers,
    ) -> None:
        if slates:
            self._score_slates(slates, _trained(rankers, "slate"))
        if pools:
            self._score_pools(pools, _trained(rankers, "pool"))
        if earlier:
            self._tally(EARLIER, earlier, _trained(rankers, "pool"))

    def _score_slates(
        self, scored_own: list[tuple[SlateList, dict[str, Floats]]], ranker: LearnedRanker | None
    ) -> None:
        waiting = [entry for entry, _ in scored_own]
        features = np.concatenate([w.features for w in waiting])
        lists = [w.seen for w in waiting]
        clicked = np.concatenate([seen.clicked for seen in lists])
        rows = np.concatenate([seen.shown for seen in lists])
        sizes = np.array([len(seen.shown) for seen in lists])
        first = np.array([_first_clicked(seen) for seen in lists], np.int64)
        facts = self._facts(lists, [w.reader_clicks for w in waiting], first)
        self.metrics.add_facts("slate", facts)
        scored = score_all(features, ranker, self._rng) | _join([own for _, own in scored_own])
        reads = self._find_reads(lists, [seen.shown for seen in lists])
        for method, scores in scored.items():
            self.metrics.add("slate", method, sort_lists(scores, clicked, sizes))
            if reads is not None:
                self.metrics.add_reads(
                    "slate", method, sort_lists(scores, reads[0], sizes, reads[1])
                )
        if self._file is not None:
            self._file.add("slate", lists, sizes, rows, scored[MODEL])

    def _score_pools(self, waiting: list[_WaitingPool], ranker: LearnedRanker | None) -> None:
        tally = self._tally("pool", waiting, ranker)
        self.metrics.add("pool", RANDOM, self._random_lists(waiting, tally.wanted))
        self.metrics.add_facts("sources", tally.facts)
        self._add_sources(waiting, tally.wanted)
        self._add_spread(waiting, tally.scored, tally.sizes)
        if self._file is not None:
            rows = np.concatenate([w.rows for w in waiting])
            lists = [w.seen for w in waiting]
            self._file.add("pool", lists, tally.sizes, rows, tally.scored[MODEL])

    def _tally(
        self, protocol: str, waiting: list[_WaitingPool], ranker: LearnedRanker | None
    ) -> _Tally:
        """Score lists of the pool by every method but chance, and measure them."""
        features = np.concatenate([w.features for w in waiting])
        clicked = np.concatenate([w.clicked for w in waiting])
        sizes = np.array([len(w.rows) for w in waiting])
        wanted = np.array([float(len(w.wanted)) for w in waiting])
        lists = [w.seen for w in waiting]
        first = np.array([w.wanted[0] for w in waiting])
        facts = self._facts(lists, [w.reader_clicks for w in waiting], first)
        self.metrics.add_facts(protocol, facts)
        scored = score_all(features, ranker, None) | _join([w.own for w in waiting])
        factors = np.concatenate([w.factors for w in waiting])
        scored[SERVED] = logistic(scored[MODEL]) * factors
        reads = self._find_reads(lists, [w.rows for w in waiting])
        for method, scores in scored.items():
            self.metrics.add(protocol, method, sort_lists(scores, clicked, sizes, wanted))
            if reads is not None and protocol == "pool":
                read = sort_lists(scores, reads[0], sizes, reads[1])
                self.metrics.add_reads(protocol, method, read)
        return _Tally(facts, scored, sizes, wanted)

    def _find_reads(self, lists: list[Seen], rows: list[Rows]) -> tuple[Flags, Floats] | None:
        """Return which candidates of each list were satisfied reads, and how many it had in all.

        None if the log does not say how long readers stayed.
        """
        if self._reads is None:
            return None
        wanted = [seen.shown[self._reads.satisfied(seen)] for seen in lists]
        found = [np.isin(own, of_list) for own, of_list in zip(rows, wanted, strict=True)]
        return np.concatenate(found), np.array([float(len(of_list)) for of_list in wanted])

    def _random_lists(self, waiting: list[_WaitingPool], wanted: Floats) -> RankedLists:
        """Return the clicked articles of each pool at ranks drawn at random from all of it."""
        counts = np.array([w.in_pool for w in waiting])
        draws = [
            self._rng.choice(w.pool_size, w.in_pool, replace=False) for w in waiting if w.in_pool
        ]
        ranks = np.concatenate(draws or [np.zeros(0, np.int64)])
        sizes = np.array([float(w.pool_size) for w in waiting])
        lists = np.repeat(np.arange(len(waiting)), counts)
        return RankedLists(lists, ranks, sizes[lists] - ranks, sizes, wanted)

    def _add_sources(self, waiting: list[_WaitingPool], wanted: Floats) -> None:
        in_pool = np.array([float(w.in_pool) for w in waiting])
        for name in waiting[0].source_hits:
            hits = np.array([w.source_hits[name] for w in waiting])
            share = np.where(in_pool > 0, hits / np.maximum(in_pool, 1.0), np.nan)
            self.metrics.add_values("sources", name, "recall@100 of the pool", share)
            self.metrics.add_values("sources", name, "recall@100 of all clicks", hits / wanted)

    def _add_spread(
        self, waiting: list[_WaitingPool], scored: dict[str, Floats], sizes: Integers
    ) -> None:
        starts = np.concatenate([[0], np.cumsum(sizes)])
        for name, spread in self.spreads.items():
            for place in range(0, len(waiting), SPREAD_EVERY):
                entry = waiting[place]
                part = scored[name][starts[place] : starts[place + 1]]
                best = np.argsort(-part, kind="stable")[:TOP]
                rows = entry.rows[best]
                share = np.expm1(entry.features[best, _SHARE]) / 1000.0
                pool = entry.view.pool
                sections = pool.section[rows]
                spread.add(rows, share, entry.view.content[rows], sections, entry.trending[best])

    def _facts(self, lists: list[Seen], reader_clicks: list[int], first: Rows) -> ListFacts:
        """Return the facts of some lists, of which `first` names a clicked article (-1: none)."""
        assert self._log is not None  # noqa: S101 - a closed book takes nothing more
        at = np.array([seen.at for seen in lists])
        age = np.where(first >= 0, at - self._log.first_seen_at[first], np.nan) / 3600.0
        users = np.array([seen.user for seen in lists], np.int64)
        numbers = np.array([seen.number for seen in lists], np.int64)
        return ListFacts(users, np.array(reader_clicks), age, at, numbers)


def _join(own: list[dict[str, Floats]]) -> dict[str, Floats]:
    """Return the scores of many lists by each of the further methods, one after the other."""
    return {name: np.concatenate([scores[name] for scores in own]) for name in own[0]}


def _first_clicked(seen: Seen) -> int:
    places = np.flatnonzero(seen.clicked)
    return int(seen.shown[places[0]]) if len(places) else -1


def _trained(rankers: Rankers, head: str) -> LearnedRanker | None:
    future = rankers.get(head)
    return None if future is None else future.result()


def _count_hits(entry: PoolList) -> dict[str, float]:
    """Return how many of the clicked articles each source proposed, all of them, and the union."""
    proposals = [rows[:SOURCE_DEPTH] for rows in entry.found.proposals.values()]
    same = np.concatenate(proposals) == entry.wanted[:, None]
    up_to = np.concatenate([[0.0], np.cumsum(same.sum(axis=0))])
    found = np.diff(up_to[np.cumsum([0, *map(len, proposals)])])
    hits: dict[str, float] = dict(zip(entry.found.proposals, found.tolist(), strict=True))
    hits["union"] = float(same.any(axis=1).sum())
    hits["union, capped"] = float(entry.clicked.sum())
    return hits
