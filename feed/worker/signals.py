"""Counts stream records, and publishes the counters as deltas and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson
import structlog

from feed.domain import ConflictError
from feed.features.ids import IdMap
from feed.features.signal_sums import sum_rooms
from feed.features.state import LiveSignals
from feed.storage.records import RecordType
from feed.storage.redis_store import RedisStore
from feed.storage.worker_part import Handover
from feed.worker.membership import Membership
from feed.worker.publication import BOUND_BLOB, DELTAS_KEPT, START, Publication

log = structlog.get_logger(__name__)

RECORDS_PER_READ = 2_000
"""Records read from one partition at a time, at most."""

READ_SECONDS = 2.0
"""Counting what was read at a time should take no longer: a lease is renewed in between."""

CHECKPOINT_SECONDS = 30.0
CHECKPOINT_RECORDS = 100_000
"""Records after which a checkpoint is made early, so that the streams can be trimmed."""

CHECKPOINT_BYTES = 32_000_000
"""Deltas since the last checkpoint after which one is made early; twice as much may be kept."""

CHECKPOINT_SHARE = 0.05
"""Part of the worker's time that checkpoints may take; large ones are made less often."""

SIGN_SECONDS = 1.0
"""Of several workers, one that has nothing to count says so this often."""

WeighedClick = Sequence[Any]
"""Partition, stream id, article id, network, whether fresh, occurred at, received at."""


class ClickJudge(Protocol):
    """What must see the clicks of untrusted callers: the judge, if this worker leads."""

    def feed(self, partition: int, after: str, last: str, clicks: Sequence[WeighedClick]) -> None:
        """Take the clicks among the records of a partition after one id up to another."""
        ...


class SignalsPublisher:
    """Counts every stream record of its partitions exactly once and publishes the result.

    A checkpoint is replaced at the same moment as the positions that it includes. Whoever takes
    over a partition goes on from its position, so nothing is counted twice or left out.

    Args:
        store: the store from which streams are read and to which results are published.
        membership: the partitions, and the leases that must be held for anything to be published.
        ids: the numbering of articles.
        memory_s: seconds after which an article is forgotten that is neither shown nor clicked,
            when a lone worker takes over the checkpoint of everything; 0: never.
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
        self._unsent: list[tuple[bytes, dict[int, str], list[WeighedClick]]] = []
        self._checkpoint_at = self._sent_at = float("-inf")
        self._checkpoint_cost_s = 0.0
        self._records_per_read = RECORDS_PER_READ
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
        self._send(now)
        first: dict[int, str] = {}
        for run in orphans:
            data = self._store.read_checkpoint(run)
            if data is None:
                raise ConflictError("another worker has adopted this checkpoint")
            checkpoint = Publication.from_bytes(data)
            is_all = len(orphans) == len(self._membership.table.live) == 1
            since = now - self._memory_s if is_all and self._memory_s else float("-inf")
            self._add(checkpoint, since)
            if not run:
                first = dict(checkpoint.positions)
                self._keep_bound(checkpoint)
            self._membership.renew()  # loading may have taken seconds
        self._adoptions += bool(orphans)
        self._last_delta = ""
        self.checkpoint(now, adopted=orphans, first=first)
        self._publish(b"", now)
        if orphans:
            log.info("checkpoints_adopted", runs=orphans, owner=self._membership.run)

    def take(self, positions: Mapping[int, str]) -> None:
        """Go on counting partitions from where they were left."""
        self._positions.update(positions)
        self._checkpointed.update(positions)

    def give_back(self, partitions: frozenset[int], now: float) -> None:
        """Publish a checkpoint and free partitions with it."""
        if partitions:
            self.checkpoint(now, freed=partitions)
            self._membership.drop(partitions)
            for partition in partitions:
                del self._positions[partition]

    def tick(self, now: float) -> int:
        """Count what is new, publish what changed; return the number of records counted."""
        before, begun = dict(self._positions), time.perf_counter()
        counted, events, clicks = self._read_streams()
        self._pace(time.perf_counter() - begun)
        if counted or self.signals.has_changes:
            # served feeds change no counter: their delta holds the new position alone
            body = self.signals.delta() if events or self.signals.has_changes else b""
            self._unsent.append((body, before, clicks))
        elif len(self._membership.table.live) > 1 and not 0 <= now - self._sent_at < SIGN_SECONDS:
            self._unsent.append((b"", before, []))
        self._send(now)
        self._uncheckpointed += counted
        if self._checkpoint_is_due(now):
            self.checkpoint(now)
        return counted

    def stop(self, now: float) -> None:
        """Publish a last checkpoint, so that the next run need not count anything again."""
        self.give_back(frozenset(self._positions), now)

    def checkpoint(
        self,
        now: float,
        *,
        freed: frozenset[int] = frozenset(),
        adopted: Sequence[str] = (),
        first: Mapping[int, str] | None = None,
    ) -> None:
        """Replace the checkpoint; see `Handover`.

        Raises:
            ConflictError: this run is over, or the adopted ones are not there any more.
        """
        begun = time.perf_counter()
        self._send(now)  # a delta that came after its checkpoint would take values back
        positions = dict(self._positions)
        data = self._publication(self.signals.dump(), now).to_bytes()
        handover = Handover(positions, freed, adopted, first or {})
        membership = self._membership
        newest = self._store.write_checkpoint(
            membership.run, data, self._since, membership.leases, handover
        )
        if newest is None:
            raise ConflictError("this worker's run is over")
        self._checkpointed = {**self._checkpointed, **positions}
        self._since = newest
        self._uncheckpointed = self._bytes = 0
        self._checkpoint_at = now
        self._checkpoint_cost_s = time.perf_counter() - begun

    def _add(self, checkpoint: Publication, since: float) -> None:
        """Add what a dead run has counted to what this one has.

        Articles that nobody reads since a time (epoch seconds) are left out. Only a checkpoint of
        everything can tell: of an article, several hold a part each.
        """
        found = LiveSignals.load(checkpoint.body, self._ids, since)
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

    def _read_streams(self) -> tuple[int, int, list[WeighedClick]]:
        """Count what is new.

        Returns:
            How many records, how many that change a counter, and the clicks to be weighed.
        """
        payloads: list[Any] = []
        merges: list[Any] = []
        clicks: list[WeighedClick] = []
        counted = 0
        found = self._store.read_streams(dict(self._positions), self._records_per_read)
        for partition, records in found.items():
            if not records:
                continue
            events = [
                (r.stream_id, orjson.loads(r.payload))
                for r in records
                if r.type is RecordType.EVENT
            ]
            payloads += [payload for _, payload in events]
            merges += [orjson.loads(r.payload) for r in records if r.type is RecordType.IDENTITY]
            weighed = weighed_clicks(partition, events)
            after, last = self._positions[partition], records[-1].stream_id
            if self.judge is not None:
                self.judge.feed(partition, after, last, weighed)
            else:
                clicks += weighed
            self._positions[partition] = last
            counted += len(records)
        self.signals.apply_events(payloads)
        for merge in merges:
            self.signals.apply_merge(merge)
        return counted, len(payloads) + len(merges), clicks

    def _pace(self, seconds: float) -> None:
        """Read less at a time where counting takes long, and more again where it does not."""
        if seconds > READ_SECONDS:
            self._records_per_read = max(1, self._records_per_read // 2)
        elif seconds < READ_SECONDS / 4:
            self._records_per_read = min(RECORDS_PER_READ, 2 * self._records_per_read)

    def _checkpoint_is_due(self, now: float) -> bool:
        age_s = now - self._checkpoint_at
        if not 0 <= age_s < max(CHECKPOINT_SECONDS, self._checkpoint_cost_s / CHECKPOINT_SHARE):
            return True
        many = self._uncheckpointed >= CHECKPOINT_RECORDS or self._bytes >= CHECKPOINT_BYTES
        return many and age_s >= self._checkpoint_cost_s / CHECKPOINT_SHARE

    def _send(self, now: float) -> None:
        """Publish the deltas that wait; one that the store refuses is sent again."""
        while self._unsent:
            body, since, clicks = self._unsent[0]
            self._publish(body, now, since, clicks)
            del self._unsent[0]

    def _publish(
        self,
        body: bytes,
        now: float,
        since: Mapping[int, str] | None = None,
        clicks: Sequence[WeighedClick] = (),
    ) -> None:
        membership = self._membership
        others = len(membership.table.live)
        wanted = since if since is not None and others > 1 and self.judge is None else {}
        data = self._publication(body, now, wanted, clicks).to_bytes()
        delta_id = self._store.publish_delta(
            membership.run, data, self.deltas_kept * max(others, 1), membership.leases
        )
        if delta_id is None:
            raise ConflictError("this worker's run is over")
        self._last_delta, self._sent_at = delta_id, now
        self._bytes += len(data)

    def _publication(
        self,
        body: bytes,
        now: float,
        since: Mapping[int, str] | None = None,
        clicks: Sequence[WeighedClick] = (),
    ) -> Publication:
        return Publication(
            generation=self.generation,
            previous=self._last_delta,
            positions=self._positions,
            at=now,
            body=body,
            since=since or {},
            clicks=clicks,
        )


def weighed_clicks(
    partition: int, events: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[WeighedClick]:
    """Return the first clicks that came from readers' own devices, of (stream id, payload)."""
    return [
        (
            partition,
            stream_id,
            p["article_id"],
            p["network"],
            p["fresh"],
            p["occurred_at"],
            p["received_at"],
        )
        for stream_id, p in events
        if "network" in p and p["first"]
    ]
