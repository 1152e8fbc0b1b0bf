"""Counts stream records, and publishes the counters as deltas and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import structlog

from feed.catalogue.ranking_changes import read_in_force
from feed.config import RankingConfig
from feed.domain import ConflictError
from feed.features.ids import IdMap
from feed.features.network_bound import NetworkBound
from feed.features.pool import PoolBuilder
from feed.features.state import LiveSignals
from feed.features.trending import TrendingDetector, TrendingState
from feed.storage.records import RecordType, StoredArticle
from feed.storage.redis_store import RedisStore
from feed.worker.publication import (
    DELTAS_KEPT,
    SIGNALS_BLOB,
    START,
    TREND_TESTS_BLOB,
    TRENDING_BLOB,
    Publication,
)

log = structlog.get_logger(__name__)

RECORDS_PER_READ = 2_000
"""Records read from one partition at a time."""

CHECKPOINT_SECONDS = 30.0
CHECKPOINT_RECORDS = 100_000
"""Records after which a checkpoint is made early, so that the streams can be trimmed."""

CHECKPOINT_BYTES = 32_000_000
"""Deltas since the last checkpoint after which one is made early; twice as much may be kept."""

CHECKPOINT_SHARE = 0.05
"""Part of the worker's time that checkpoints may take; large ones are made less often."""

TRENDING_SECONDS = 1.0
TREND_TESTS_SECONDS = 10.0
STILL_READ = 0.5
"""Decayed readers (half-life one day) from which an old article stays in the catalogue."""


class SignalsPublisher:
    """Counts every stream record exactly once and publishes the result.

    A checkpoint holds the signals *and* the stream positions they include, in one value that is
    replaced whole. A new worker continues from there, so nothing is counted twice or left out.

    Args:
        store: the store from which streams are read and to which results are published.
        owner: name of this worker run, which also holds the lease.
        lease: name of the lease that must be held for anything to be published.
        memory_s: seconds after which `start` forgets an article that is neither shown nor
            clicked; 0: never.
        ranking: says which half-life the trending rate has where the newsroom says nothing.
    """

    deltas_kept = DELTAS_KEPT

    def __init__(
        self,
        store: RedisStore,
        owner: str,
        lease: str,
        memory_s: float,
        ranking: RankingConfig,
    ) -> None:
        self._store = store
        self._memory_s = memory_s
        self._owner = owner
        self._lease = lease
        self._ids = IdMap()
        self._pool = PoolBuilder(self._ids)
        self._catalogue_position = ""
        self.signals = LiveSignals(self._ids)
        self.bound = NetworkBound(self._ids)
        self._positions: dict[int, str] = {}
        self._checkpointed: dict[int, str] = {}
        self._last_delta = self._checkpoint_delta = START
        self._unsent: list[bytes] = []  # deltas that the store refused are sent again
        self._checkpoint_at = self._tests_at = self._trending_at = float("-inf")
        self._checkpoint_cost_s = 0.0
        self._uncheckpointed = self._bytes = 0
        self._base = self._ranking = ranking
        self._detector = TrendingDetector(ranking)
        self._state: TrendingState | None = None

    @property
    def checkpointed(self) -> Mapping[int, str]:
        """Stream positions that the stored checkpoint includes; streams may be trimmed to there."""
        return self._checkpointed

    @property
    def positions(self) -> Mapping[int, str]:
        """The last counted record of each partition."""
        return dict(self._positions)

    def start(self, now: float) -> None:
        """Load the last checkpoint, announce this run and publish a checkpoint of its own."""
        data = self._store.read_blob(SIGNALS_BLOB)
        if data is not None:
            checkpoint = Publication.from_bytes(data)
            since = now - self._memory_s if self._memory_s else float("-inf")
            self.signals = LiveSignals.load(checkpoint.body, self._ids, since)
            if checkpoint.bound:
                self.bound = NetworkBound.load(checkpoint.bound, self._ids)
            self._positions = dict(checkpoint.positions)
        trending = self._store.read_blob(TRENDING_BLOB)
        if trending is not None:
            self._state = TrendingState.from_bytes(trending, self._ids)
            self._detector = TrendingDetector(self._ranking, previous=self._state)
        self._publish_delta(b"", now)
        self._checkpoint(now)

    def tick(self, now: float) -> int:
        """Count what is new, publish what changed; return the number of records counted."""
        counted, events = self._read_streams()
        if events or self.signals.has_changes:
            self._unsent.append(self.signals.delta())
        elif counted:  # served feeds change no counter: their delta holds the new position alone
            self._unsent.append(b"")
        while self._unsent:
            self._publish_delta(self._unsent[0], now)
            del self._unsent[0]
        if now - self._trending_at >= TRENDING_SECONDS or now < self._trending_at:
            self._trending_at = now
            self._follow_catalogue()
            self._follow_settings()
            state = self._detector.update(
                self.signals.counters, self._pool.snapshot(), now, self.bound
            )
            self._state = state
            self._store.write_blob(TRENDING_BLOB, state.to_bytes())
            self._write_trend_tests(now)
        self._uncheckpointed += counted
        if self._checkpoint_is_due(now):
            self._checkpoint(now)
        return counted

    def _write_trend_tests(self, now: float) -> None:
        """Keep the tests for the desk; seldom, because they are many and nothing waits for them."""
        if 0 <= now - self._tests_at < TREND_TESTS_SECONDS:
            return
        if (tests := self._detector.tests()) is not None:
            self._tests_at = now
            self._store.write_blob(TREND_TESTS_BLOB, tests.to_bytes())

    def stop(self, now: float) -> None:
        """Publish a last checkpoint, so that the next run need not count anything again."""
        self._checkpoint(now)

    def still_read(self, article_ids: Sequence[str], now: float) -> set[str]:
        """Return which of some articles had a reader in about the last day."""
        rows = self._ids.rows(article_ids)
        clicks = self.signals.counters.clicks(rows, now)[:, -1]
        return {a for a, n in zip(article_ids, clicks, strict=True) if n > STILL_READ}

    def _read_streams(self) -> tuple[int, int]:
        """Count what is new; return how many records, and how many that change a counter."""
        after = {p: self._positions.get(p, START) for p in range(self._store.partitions)}
        payloads: list[Any] = []
        merges: list[Any] = []
        counted = 0
        for partition, records in self._store.read_streams(after, RECORDS_PER_READ).items():
            payloads += [orjson.loads(r.payload) for r in records if r.type is RecordType.EVENT]
            merges += [orjson.loads(r.payload) for r in records if r.type is RecordType.IDENTITY]
            if records:
                self._positions[partition] = records[-1].stream_id
                counted += len(records)
        self.signals.apply_events(payloads)
        for merge in merges:
            self.signals.apply_merge(merge)
        self._weigh_readers(payloads)
        return counted, len(payloads) + len(merges)

    def _weigh_readers(self, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Give the network bound the first clicks that came from readers' own devices."""
        weighed = [p for p in payloads if "network" in p and p["first"]]
        if weighed:
            self.bound.add_readers(
                [self._ids.add(p["article_id"]) for p in weighed],
                [p["network"] for p in weighed],
                [p["fresh"] for p in weighed],
                [p["occurred_at"] for p in weighed],
                [p["received_at"] for p in weighed],
            )

    def _checkpoint_is_due(self, now: float) -> bool:
        age_s = now - self._checkpoint_at
        if not 0 <= age_s < max(CHECKPOINT_SECONDS, self._checkpoint_cost_s / CHECKPOINT_SHARE):
            return True
        many = self._uncheckpointed >= CHECKPOINT_RECORDS or self._bytes >= CHECKPOINT_BYTES
        return many and age_s >= self._checkpoint_cost_s / CHECKPOINT_SHARE

    def _publish_delta(self, body: bytes, now: float) -> None:
        data = self._publication(body, now).to_bytes()
        delta_id = self._store.publish_delta(data, self.deltas_kept, self._lease, self._owner)
        if delta_id is None:
            raise ConflictError("another worker holds the lease")
        self._last_delta = delta_id
        self._bytes += len(data)

    def _checkpoint(self, now: float) -> None:
        begun = time.perf_counter()
        positions = dict(self._positions)
        held = self._publication(self.signals.dump(), now)
        data = replace(held, bound=self.bound.dump(now)).to_bytes()
        if self._store.publish_blob(SIGNALS_BLOB, data, self._lease, self._owner):
            self._checkpointed = positions
            self._uncheckpointed = self._bytes = 0
            self._store.trim_deltas(self._checkpoint_delta)
            self._checkpoint_delta = self._last_delta
        self._checkpoint_at = now
        self._checkpoint_cost_s = time.perf_counter() - begun

    def _publication(self, body: bytes, now: float) -> Publication:
        return Publication(
            generation=self._owner,
            previous=self._last_delta,
            positions=self._positions,
            at=now,
            body=body,
        )

    def _follow_settings(self) -> None:
        """Take over another half-life that the newsroom has set; labels stay on."""
        ranking = read_in_force(self._store, self._base).config
        if ranking.trending_half_life_minutes != self._ranking.trending_half_life_minutes:
            self._detector = TrendingDetector(ranking, previous=self._state)
        self._ranking = ranking

    def _follow_catalogue(self) -> None:
        if not self._catalogue_position:
            self._scan_catalogue()
        while True:
            batch = self._store.changes_after(self._catalogue_position)
            if batch.gap:
                self._scan_catalogue()
                continue
            self._catalogue_position = batch.position
            if not batch.changes:
                return
            for change in batch.changes:
                if change.stored is None:
                    self._pool.remove(change.article_id)
                else:
                    self._add(change.stored)

    def _scan_catalogue(self) -> None:
        self._catalogue_position = self._store.catalogue_position()
        for stored in self._store.scan_articles():
            self._add(stored)

    def _add(self, stored: StoredArticle) -> None:
        self._pool.add(stored.article, None, stored.added_at, stored.fresh_at)
