"""Judges what is trending, from what all workers have counted; the worker that leads does so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import orjson

from feed.catalogue.ranking_changes import read_in_force
from feed.config import RankingConfig
from feed.domain import ConflictError
from feed.features.counters import Counters
from feed.features.ids import IdMap
from feed.features.network_bound import NetworkBound
from feed.features.pool import PoolBuilder
from feed.features.signal_sums import SummedCounters
from feed.features.state import LiveSignals
from feed.features.stories import GROUPED_AT_A_TIME, GROUPED_AT_MOST, StoryFinder
from feed.features.story_readers import in_company, repeated_reads, stories_of
from feed.features.trending import TrendingDetector, TrendingState
from feed.storage.records import RecordType, StoredArticle
from feed.storage.redis_store import RedisStore
from feed.worker.membership import Membership
from feed.worker.publication import (
    BOUND_BLOB,
    START,
    TREND_TESTS_BLOB,
    TRENDING_BLOB,
    Publication,
)
from feed.worker.signals import RECORDS_PER_READ, ClickSpan, WeighedClick, weighed_clicks
from feed.worker.signals_follower import WorkerCopies, stream_order

TRENDING_SECONDS = 1.0
TREND_TESTS_SECONDS = 10.0
STILL_READ = 0.5
"""Decayed readers (half-life one day) from which an old article stays in the catalogue."""


class TrendingJudge:
    """Finds what is trending on the sum of all workers' counters, while its worker leads.

    How much a reader counts depends on all readers of the same network, so the weights cannot be
    computed by each worker for its own readers. Nor does each worker know which articles tell one
    story: the judge groups them, as a web process does. It weighs the clicks of all partitions:
    its own worker's directly, those of others from their deltas, and what it has missed from the
    streams. It remembers for each partition the last record weighed, so each click is weighed
    once, whoever counted it.

    Args:
        store: what is read and published.
        membership: of this worker, which leads.
        ids: the numbering of articles, that of the worker's signals.
        ranking: says which half-life the trending rate has where the newsroom says nothing.
    """

    def __init__(
        self, store: RedisStore, membership: Membership, ids: IdMap, ranking: RankingConfig
    ) -> None:
        self._store = store
        self._membership = membership
        self._ids = ids
        self._stories = StoryFinder(GROUPED_AT_A_TIME, GROUPED_AT_MOST)
        self._builder = PoolBuilder(ids, stories=self._stories, keeps_vectors=False)
        self._pool = self._builder.snapshot()
        self._catalogue_position = ""
        self._base = self._ranking = ranking
        self._copies: WorkerCopies | None = None
        self._judged_at = self._tests_at = float("-inf")
        self._positions: dict[int, str] = {}
        self._kept: dict[int, str] = {}
        self.bound = NetworkBound(ids)
        self._state: TrendingState | None = None
        self._detector = TrendingDetector(ranking)
        self._resume()
        self._follow_catalogue()

    @property
    def weighed(self) -> Mapping[int, str]:
        """The last record of each partition in the stored bound."""
        return self._kept

    def feed(self, spans: Sequence[ClickSpan]) -> None:
        """Take the clicks of one span of each of some partitions, those not yet weighed."""
        news: list[WeighedClick] = []
        for partition, after, last, clicks in spans:
            held = stream_order(self._positions.get(partition, START))
            first = stream_order(after)
            if first > held:
                continue  # records before these are missing; `judge` reads all of them
            news += [c for c in clicks if first == held or stream_order(c[1]) > held]
            if stream_order(last) > held:
                self._positions[partition] = last
        self._weigh(news)

    def judge(self, now: float, signals: LiveSignals, positions: Mapping[int, str]) -> None:
        """Publish what is trending, if it is due.

        Args:
            now: epoch seconds.
            signals: what this worker has counted.
            positions: up to where, of its partitions.

        Raises:
            ConflictError: this worker does not lead any more.
        """
        if 0 <= now - self._judged_at < TRENDING_SECONDS:
            return
        self._judged_at = now
        self._follow_catalogue()
        self._follow_others()
        self._catch_up(positions)
        self._follow_settings()
        counters = SummedCounters([signals.counters, *self._others()])
        state = self._detector.update(counters, self._pool, now, self.bound)
        self._state = state
        self._publish(TRENDING_BLOB, state.to_bytes())
        self._publish_tests(now)

    def checkpoint(self, now: float) -> None:
        """Keep the bound, and up to where each partition is weighed in it.

        Raises:
            ConflictError: this worker does not lead any more.
        """
        positions = dict(self._positions)
        run = self._membership.run
        kept = Publication(
            generation=run, previous="", positions=positions, at=now, body=self.bound.dump(now)
        )
        self._publish(BOUND_BLOB, kept.to_bytes())
        self._kept = positions

    def positions(self, own: Mapping[int, str]) -> dict[int, str]:
        """Return up to where each partition is counted, as far as this worker knows."""
        known = dict(self._membership.table.counted)
        copies = self._copies.copies.values() if self._copies else ()
        for positions in (*(copy.positions for copy in copies), own):
            for partition, position in positions.items():
                if stream_order(position) > stream_order(known.get(partition, START)):
                    known[partition] = position
        return known

    def still_read(self, signals: LiveSignals, article_ids: Sequence[str], now: float) -> set[str]:
        """Return which of some articles had a reader in about the last day."""
        rows = self._ids.rows(article_ids)
        clicks = SummedCounters([signals.counters, *self._others()]).clicks(rows, now)[:, -1]
        return {a for a, n in zip(article_ids, clicks, strict=True) if n > STILL_READ}

    def _resume(self) -> None:
        """Go on from what the last worker that led has kept."""
        data = self._store.read_blob(BOUND_BLOB)
        if data is not None:
            kept = Publication.from_bytes(data)
            self.bound = NetworkBound.load(kept.body, self._ids)
            self._positions = dict(kept.positions)
            self._kept = dict(kept.positions)
        trending = self._store.read_blob(TRENDING_BLOB)
        if trending is not None:
            self._state = TrendingState.from_bytes(trending, self._ids)
            self._detector = TrendingDetector(self._ranking, previous=self._state)

    def _follow_others(self) -> None:
        """Read what the other workers have published; nothing if there are none."""
        run = self._membership.run
        if all(one == run for one in self._membership.table.shares):
            self._copies = None
            return
        if self._copies is None:
            self._copies = WorkerCopies(self._store, self._ids, without=run, only_counters=True)
        for delta in self._copies.follow().deltas:
            for partition, since in delta.since.items():
                clicks = [click for click in delta.clicks if click[0] == partition]
                last = delta.positions.get(partition, since)
                self.feed([ClickSpan(partition, since, last, clicks)])

    def _others(self) -> list[Counters]:
        copies = self._copies.copies.values() if self._copies else ()
        return [copy.signals.counters for copy in copies if not copy.is_own]

    def _catch_up(self, own: Mapping[int, str]) -> None:
        """Weigh from the streams what is counted and was not weighed."""
        for partition, target in self.positions(own).items():
            after = self._positions.get(partition, START)
            while stream_order(after) < stream_order(target):
                records = self._store.read_stream_range(partition, after, target, RECORDS_PER_READ)
                events = [
                    (record.stream_id, orjson.loads(record.payload))
                    for record in records
                    if record.type is RecordType.EVENT and b'"first":true' in record.payload
                ]
                self._weigh(weighed_clicks(partition, events))
                after = records[-1].stream_id if len(records) == RECORDS_PER_READ else target
                self._positions[partition] = after
                self._membership.renew()  # there may be much to read

    def _weigh(self, clicks: Sequence[WeighedClick]) -> None:
        """Withhold of some clicks what does not count."""
        if not clicks:
            return
        _, _, article_ids, networks, fresh, occurred, received, before = zip(*clicks, strict=True)
        rows = self._ids.add_all(article_ids)
        again, stories = np.zeros(len(rows), np.bool_), self._pool.stories
        told = np.flatnonzero(in_company(stories, rows))  # most articles are alone in their story
        if len(told):
            befores = [before[i] for i in told.tolist()]
            counts = np.array([len(some) for some in befores], np.int64)
            known = self._ids.rows([one[0] for one in chain.from_iterable(befores)])
            again[told] = repeated_reads(stories, rows[told], known, counts)
            repeats = np.flatnonzero(again).tolist()
            self.bound.add_repeats(rows[repeats].tolist(), [occurred[i] for i in repeats])
        own = [i for i, network in enumerate(networks) if network is not None and not again[i]]
        if not own:
            return
        self.bound.add_readers(
            rows[own].tolist(),
            [networks[i] for i in own],
            [fresh[i] for i in own],
            [occurred[i] for i in own],
            [received[i] for i in own],
            stories_of(self._pool.stories, rows[own]).tolist(),
        )

    def _publish_tests(self, now: float) -> None:
        """Keep the tests for the desk; seldom, because they are many and nothing waits for them."""
        if 0 <= now - self._tests_at < TREND_TESTS_SECONDS:
            return
        if (tests := self._detector.tests()) is not None:
            self._tests_at = now
            self._publish(TREND_TESTS_BLOB, tests.to_bytes())

    def _publish(self, name: str, data: bytes) -> None:
        membership = self._membership
        if not self._store.publish_blob(name, data, membership.run, membership.lead):
            raise ConflictError("another worker leads")

    def _follow_settings(self) -> None:
        """Take over another half-life that the newsroom has set; labels stay on."""
        ranking = read_in_force(self._store, self._base).config
        if ranking.trending_half_life_minutes != self._ranking.trending_half_life_minutes:
            self._detector = TrendingDetector(ranking, previous=self._state)
        self._ranking = ranking

    def _follow_catalogue(self) -> None:
        has_news = not self._catalogue_position
        if has_news:
            self._scan_catalogue()
        while True:
            batch = self._store.changes_after(self._catalogue_position)
            if batch.gap:
                self._scan_catalogue()
                has_news = True
                continue
            self._catalogue_position = batch.position
            if not batch.changes:
                break
            has_news = True
            for change in batch.changes:
                if change.stored is None:
                    self._builder.remove(change.article_id)
                else:
                    self._add(change.stored)
        if has_news or self._stories.has_waiting:
            before, self._pool = self._pool.space, self._builder.snapshot()
            if before and before != self._pool.space:  # whoever starts now needs no earlier vector
                self._store.drop_earlier_vectors()

    def _scan_catalogue(self) -> None:
        self._catalogue_position = self._store.catalogue_position()
        for earlier in self._store.earlier_vectors():
            self._builder.recall(earlier.article.article_id, earlier.embedding, earlier.encoder)
        for stored in self._store.scan_articles():
            self._add(stored)
        while self._stories.has_waiting:  # until then, a story's readers would not be added up
            self._builder.snapshot()
            self._membership.renew()

    def _add(self, stored: StoredArticle) -> None:
        self._builder.add(
            stored.article, stored.embedding, stored.added_at, stored.fresh_at, stored.encoder
        )
