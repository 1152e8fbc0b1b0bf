"""Counts stream records, and publishes the counters as deltas and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple, Protocol

import orjson
import structlog

from feed.domain import ConflictError
from feed.features.ids import IdMap
from feed.features.signal_sums import sum_rooms
from feed.features.state import LiveSignals, active_articles, named_articles
from feed.storage.records import RecordType, StreamRecord
from feed.storage.redis_store import RedisStore
from feed.storage.worker_part import Handover
from feed.worker.membership import Membership
from feed.worker.publication import BOUND_BLOB, DELTAS_KEPT, START, Publication

log = structlog.get_logger(__name__)

RECORDS_PER_READ = 2_000
"""Records read from one partition at a time, where nothing else bounds them."""

RECORDS_PER_TICK = 32_000
"""Records after which a tick ends, although more may wait."""

COUNTED_AT_ONCE = 1_000
"""Records read, decoded and counted at once. Decoded, each takes some 3 kB: of more, the processor
waits for its memory and the kernel clears page after page."""

BACKLOG_SECONDS = 3.0
"""Time between two deltas while more waits to be counted than one tick takes: each of them holds
most of the articles, however few records lie between."""

CHECKPOINT_SECONDS = 30.0
CHECKPOINT_RECORDS = 100_000
"""Records after which a checkpoint is made early, so that the streams can be trimmed."""

CHECKPOINT_BYTES = 32_000_000
"""Deltas since the last checkpoint after which one is made early; twice as much may be kept."""

CHECKPOINT_SHARE = 0.05
"""Part of the worker's time that checkpoints may take; large ones are made less often."""

SIGN_SECONDS = 1.0
"""Of several workers, one that has nothing to count says so this often."""

_EVENT = RecordType.EVENT

WeighedClick = Sequence[Any]
"""Partition, stream id, article id, network (None: a trusted caller sent it), whether fresh,
occurred at, received at, and what the reader had clicked before, each beginning with its id."""


class ClickSpan(NamedTuple):
    """The clicks that must be weighed among a partition's records after one id up to another."""

    partition: int
    after: str
    last: str
    clicks: Sequence[WeighedClick]


class ClickJudge(Protocol):
    """What must see the clicks that may not count whole: the judge, if this worker leads."""

    def feed(self, spans: Sequence[ClickSpan]) -> None:
        """Take the clicks of one span of each of some partitions."""
        ...


class SignalsPublisher:
    """Counts every stream record of its partitions exactly once and publishes the result.

    A checkpoint is replaced at the same moment as the positions that it includes. Whoever takes
    over a partition goes on from its position, so nothing is counted twice or left out.

    Args:
        store: the store from which streams are read and to which results are published.
        membership: the partitions, and the leases that must be held for anything to be published.
        ids: the numbering of articles.
        memory_s: seconds after which an article is forgotten that no worker's readers are shown or
            click, when a checkpoint is taken over, as every day; 0: never.
    """

    deltas_kept = DELTAS_KEPT

    def __init__(
        self, store: RedisStore, membership: Membership, ids: IdMap, memory_s: float
    ) -> None:
        self._store = store
        self._membership = membership
        self._memory_s = memory_s
        self._ids = ids
        self._adoptions = 0
        self.signals = LiveSignals(ids)
        self._positions: dict[int, str] = {}
        self._checkpointed: dict[int, str] = {}
        self._last_delta = ""
        self._since = START
        self._unsent: list[Publication] = []  # deltas that the store refused are sent again
        self._told: dict[int, str] = {}
        self._clicks: list[WeighedClick] = []
        self._checkpoint_at = self._sent_at = float("-inf")
        self._checkpoint_cost_s = 0.0
        self._uncheckpointed = self._bytes = 0
        self.judge: ClickJudge | None = None

    @property
    def generation(self) -> str:
        """What followers know this run by; another one after every adoption."""
        run = self._membership.run
        return f"{run}+{self._adoptions}" if self._adoptions else run

    @property
    def checkpointed(self) -> Mapping[int, str]:
        """Stream positions up to which this run has made checkpoints, or found them made."""
        return self._checkpointed

    @property
    def checkpointed_at(self) -> float:
        """When this run last made a checkpoint, epoch seconds."""
        return self._checkpoint_at

    @property
    def positions(self) -> Mapping[int, str]:
        """The last counted record of each partition that this run holds."""
        return dict(self._positions)

    def adopt(self, orphans: Sequence[str], now: float) -> None:
        """Publish a checkpoint that holds those of dead runs, too; their partitions become free.

        Raises:
            ConflictError: another run did so first, or this run is over.
        """
        if self._last_delta:  # what was counted under the old generation
            self._tell(now)
        first: dict[int, str] = {}
        continues = None
        still_active = self._still_active(now) if orphans and self._memory_s else None
        for run in orphans:
            data = self._store.read_checkpoint(run)
            if data is None:
                raise ConflictError("another worker has adopted this checkpoint")
            checkpoint = Publication.from_bytes(data)
            is_whole = still_active is None or named_articles(checkpoint.body) <= still_active
            if is_whole and len(orphans) == 1 and self._is_empty():
                continues = checkpoint.generation, checkpoint.previous
            self._add(LiveSignals.load(checkpoint.body, self._ids, still_active))
            if not run:
                first = dict(checkpoint.positions)
                self._keep_bound(checkpoint)
            self._membership.renew()  # this is progress, and the next one may take as long
        self._adoptions += bool(orphans)
        self._last_delta = ""
        self._write_checkpoint(now, Handover(dict(self._positions), adopted=orphans, first=first))
        self._publish(replace(self._delta(b"", now), continues=continues), now)
        if orphans:
            log.info("checkpoints_adopted", runs=orphans, owner=self._membership.run)

    def take(self, positions: Mapping[int, str]) -> None:
        """Go on counting partitions from where they were left."""
        for known in (self._positions, self._told, self._checkpointed):
            known.update(positions)

    def give_back(self, partitions: frozenset[int], now: float) -> None:
        """Publish a checkpoint and free partitions with it."""
        if partitions:
            self.checkpoint(now, partitions)
            self._membership.drop(partitions)
            for partition in partitions:
                del self._positions[partition], self._told[partition]

    def tick(self, now: float) -> int:
        """Count what is new, publish what changed; return the number of records counted."""
        counted, more_waits = self._read_streams()
        if not (more_waits and 0 <= now - self._sent_at < BACKLOG_SECONDS):
            self._tell(now)
        self._uncheckpointed += counted
        if self._checkpoint_is_due(now):
            self.checkpoint(now)
        return counted

    def stop(self, now: float) -> None:
        """Publish a last checkpoint, so that the next run need not count anything again."""
        self.give_back(frozenset(self._positions), now)

    def checkpoint(self, now: float, freed: frozenset[int] = frozenset()) -> None:
        """Replace the checkpoint, and free some partitions with it.

        Raises:
            ConflictError: this run is over.
        """
        self._tell(now)  # a delta that came after its checkpoint would take values back
        self._write_checkpoint(now, Handover(dict(self._positions), freed))

    def _write_checkpoint(self, now: float, handover: Handover) -> None:
        begun, membership = time.perf_counter(), self._membership
        data = self._delta(self.signals.dump(), now).to_bytes()
        newest = self._store.write_checkpoint(
            membership.run, data, self._since, membership.leases, handover
        )
        if newest is None:
            raise ConflictError("this worker's run is over")
        self._checkpointed = {**self._checkpointed, **handover.positions}
        self._since = newest
        self._uncheckpointed = self._bytes = 0
        self._checkpoint_at = now
        self._checkpoint_cost_s = time.perf_counter() - begun

    def _still_active(self, now: float) -> set[str]:
        """Return the articles that somebody was shown or read lately, whichever worker says so."""
        _, checkpoints = self._store.read_shares()
        bodies = (Publication.from_bytes(data).body for data in checkpoints)
        return {one for body in bodies for one in active_articles(body, now - self._memory_s)}

    def _add(self, found: LiveSignals) -> None:
        """Add what a dead run has counted to what this one has."""
        if self._is_empty():
            self.signals = found
        else:
            self.signals.apply_packed(sum_rooms([self.signals.pack(), found.pack()]))

    def _is_empty(self) -> bool:
        return not len(self.signals.pack()["counters"]["ids"])

    def _keep_bound(self, checkpoint: Publication) -> None:
        """Keep the bound on networks of an earlier version, which the judge will go on with."""
        if checkpoint.bound and self._store.read_blob(BOUND_BLOB) is None:
            kept = Publication(
                generation=checkpoint.generation,
                previous="",
                positions=checkpoint.positions,
                at=checkpoint.at,
                body=checkpoint.bound,
            )
            self._store.write_blob(BOUND_BLOB, kept.to_bytes())

    def _read_streams(self) -> tuple[int, bool]:
        """Count what is new; return how many records, and whether more of them may wait."""
        total = 0
        for found in self._store.follow_streams(self._positions, RECORDS_PER_TICK, COUNTED_AT_ONCE):
            self._count(found)
            total += sum(map(len, found.values()))
        return total, total >= RECORDS_PER_TICK

    def _count(self, found: Mapping[int, Sequence[StreamRecord]]) -> None:
        """Count the next records of partitions; let the judge see their clicks."""
        payloads: list[Mapping[str, Any]] = []
        merges: list[Mapping[str, Any]] = []
        erasures: list[Mapping[str, Any]] = []
        spans: list[ClickSpan] = []
        for partition, records in found.items():
            if not records:
                continue
            events = [(i, orjson.loads(data)) for i, kind, data in records if kind is _EVENT]
            payloads += [payload for _, payload in events]
            after, last = self._positions[partition], records[-1].stream_id
            spans.append(ClickSpan(partition, after, last, weighed_clicks(partition, events)))
            merges += [orjson.loads(d) for _, kind, d in records if kind is RecordType.IDENTITY]
            erasures += [orjson.loads(d) for _, kind, d in records if kind is RecordType.ERASE]
            self._positions[partition] = last
        if self.judge is not None:
            self.judge.feed(spans)
        elif self._has_others:
            self._clicks += chain.from_iterable(span.clicks for span in spans)
        self.signals.apply_events(payloads)
        for merge in merges:
            self.signals.apply_merge(merge)
        for erasure in erasures:
            self.signals.apply_erasure(erasure)

    def _checkpoint_is_due(self, now: float) -> bool:
        age_s = now - self._checkpoint_at
        if not 0 <= age_s < max(CHECKPOINT_SECONDS, self._checkpoint_cost_s / CHECKPOINT_SHARE):
            return True
        many = self._uncheckpointed >= CHECKPOINT_RECORDS or self._bytes >= CHECKPOINT_BYTES
        return many and age_s >= self._checkpoint_cost_s / CHECKPOINT_SHARE

    @property
    def _has_others(self) -> bool:
        return len(self._membership.table.live) > 1

    def _tell(self, now: float) -> None:
        """Publish what no delta has told yet, if there is anything."""
        is_sign = self._has_others and not 0 <= now - self._sent_at < SIGN_SECONDS
        has_changes = self.signals.has_changes
        if has_changes or self._told != self._positions or is_sign:
            # served feeds change no counter: their delta holds the new position alone
            self._unsent.append(self._delta(self.signals.delta() if has_changes else b"", now))
            self._told, self._clicks = dict(self._positions), []
        while self._unsent:
            self._publish(self._unsent[0], now)
            del self._unsent[0]

    def _publish(self, delta: Publication, now: float) -> None:
        membership = self._membership
        data = replace(delta, previous=self._last_delta).to_bytes()
        keep = self.deltas_kept * max(1, len(membership.table.live))
        delta_id = self._store.publish_delta(membership.run, data, keep, membership.leases)
        if delta_id is None:
            raise ConflictError("this worker's run is over")
        self._last_delta, self._sent_at = delta_id, now
        self._bytes += len(data)

    def _delta(self, body: bytes, now: float) -> Publication:
        is_judged_elsewhere = self._has_others and self.judge is None
        return Publication(
            generation=self.generation,
            previous=self._last_delta,
            positions=dict(self._positions),
            at=now,
            body=body,
            since=self._told if is_judged_elsewhere else {},
            clicks=self._clicks if is_judged_elsewhere else (),
        )


def weighed_clicks(
    partition: int, events: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[WeighedClick]:
    """Return the first clicks that may not count whole, of (stream id, payload).

    Those are clicks from readers' own devices, and clicks of readers who had clicked other
    articles before, which may be of the same story.
    """
    return [
        (
            partition,
            stream_id,
            p["article_id"],
            p.get("network"),
            p.get("fresh", False),
            p["occurred_at"],
            p["received_at"],
            p.get("previous") or (),
        )
        for stream_id, p in events
        if p.get("first") and ("network" in p or p.get("previous"))
    ]
