"""Writes stream records and catalogue changes to the archive, in commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
import structlog

from feed.config import DAY_S, Settings
from feed.domain import ArchiveError
from feed.storage.archive_ledger import START
from feed.storage.archive_object_writer import open_writer
from feed.storage.archive_schema import day_of
from feed.storage.archive_upkeep import compact, erase_users, expire, expire_articles
from feed.storage.archive_writer import Batch
from feed.storage.records import CatalogueChange, RecordType, StreamRecord
from feed.storage.redis_store import RedisStore
from feed.worker.worker_metrics import ARCHIVE_FAILURES, ARCHIVED, WAITING

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
"""Pause after the archive could not be written; the stream keeps everything meanwhile."""

UPKEEP_SECONDS = 60.0
REREAD_COUNT = 10_000
ARTICLES_PER_COMMIT = 5_000
"""A whole catalogue at once would be gigabytes in memory."""


class ArchiveFeeder:
    """Moves the records of the streams into the archive, in commits of bounded size.

    Args:
        store: where the streams are.
        settings: `data_dir`, `archive_seconds`, `archive_events`, `retention_days`.
        owner: name of this worker run.
    """

    articles_per_commit = ARTICLES_PER_COMMIT

    def __init__(self, store: RedisStore, settings: Settings, owner: str) -> None:
        self._store = store
        self._settings = settings
        self._dir = settings.data_dir / "archive"
        self._writer = open_writer(self._dir, owner)
        self._share = max(1, settings.archive_events // store.partitions)
        self._started = False
        self._due_at = self._upkeep_at = float("-inf")
        self._expired_before = ""
        self._left = 0
        self.failing = False

    @property
    def archived(self) -> Mapping[int, str]:
        """The last archived stream id of each partition."""
        return self._writer.positions

    def start(self) -> None:
        """Recover what a dead writer left.

        Raises:
            ArchiveError: the archive cannot be read.
        """
        self._writer.recover(self._reread)
        self._started = True

    def tick(self, now: float) -> int:
        """Archive what is waiting, if it is due; return the number of records and changes archived.

        If the disk fails, that is logged and tried again later. Nothing is lost, because the
        streams keep their records until they are archived.
        """
        if not self._is_due(now):
            return 0
        try:
            if not self._started:
                self.start()
            archived = self._archive(now)
            self._keep_up(now)
        except ArchiveError as error:
            if not self.failing:
                log.error("archive_failed", error=str(error), retry_s=RETRY_SECONDS)
            ARCHIVE_FAILURES.inc()
            self.failing = True
            self._due_at = now + RETRY_SECONDS
            return 0
        if self.failing:
            log.info("archive_works_again")
        self.failing = False
        full = archived >= self._settings.archive_events
        self._due_at = now if full else now + self._settings.archive_seconds
        self._left = self._waiting()
        return archived

    def _is_due(self, now: float) -> bool:
        soon = self._due_at - now
        if soon <= 0 or soon > max(RETRY_SECONDS, self._settings.archive_seconds):
            return True  # the second: the clock was set back
        fresh = self._waiting() - self._left
        return not self.failing and fresh >= self._settings.archive_events

    def _waiting(self) -> int:
        """Return how many records the streams hold, archived ones that await trimming too."""
        waiting = sum(self._store.stream_lengths())
        WAITING.set(waiting)
        return waiting

    def _archive(self, now: float) -> int:
        """Archive what waits by now; what comes meanwhile waits for the next file."""
        total = 0
        while total < self._settings.archive_events:
            batch = self._next_batch(now)
            if not len(batch):
                break
            erased = _erased(batch.records)
            if erased:
                files = erase_users(self._dir, erased)
                log.info("readers_erased", readers=len(erased), files=files)
            self._writer.commit(batch)
            ARCHIVED.inc(len(batch))
            total += len(batch)
            if not self._more_waits(batch):
                break
        return total

    def _more_waits(self, batch: Batch) -> bool:
        """Return whether a batch was full for a partition or for the catalogue."""
        longest = max(map(len, batch.records.values()), default=0)
        return longest >= self._share or len(batch.changes) >= self.articles_per_commit

    def _next_batch(self, now: float) -> Batch:
        """Return up to `archive_events` records, an equal share of each partition."""
        partitions = range(self._store.partitions)
        after = {p: self._writer.positions.get(p, START) for p in partitions}
        found = self._store.read_streams(after, self._share)
        records = {p: r for p, r in found.items() if r}
        changes, position = self._changes(now)
        return Batch(records, changes, position, now)

    def _changes(self, now: float) -> tuple[Sequence[CatalogueChange], str]:
        """Return catalogue changes not yet archived; at first and after a gap, everything.

        Of everything all but the last articles are archived here, some thousands at a time.
        """
        position = self._writer.catalogue
        if position:
            batch = self._store.changes_after(position)
            if not batch.gap:
                return batch.changes, batch.position
        position = self._store.catalogue_position()
        changes: list[CatalogueChange] = []
        for stored in self._store.scan_articles():
            if len(changes) == self.articles_per_commit:
                self._writer.commit(Batch({}, changes, "", now))
                changes = []
            changes.append(CatalogueChange(stored.article.article_id, stored))
        return changes, position

    def _keep_up(self, now: float) -> None:
        if 0 <= now - self._upkeep_at < UPKEEP_SECONDS:
            return
        merged = compact(self._dir, day_of(now))
        if merged:
            log.info("archive_compacted", files=merged)
            return  # more may wait: look again at the next tick
        if self._settings.retention_days:
            before = day_of(now - self._settings.retention_days * DAY_S)
            for day in expire(self._dir, before):
                log.info("archive_expired", day=day)
            if before != self._expired_before:
                expire_articles(self._dir, before)
                self._expired_before = before
        self._upkeep_at = now

    def _reread(self, partition: int, after_id: str, last_id: str) -> list[StreamRecord]:
        records: list[StreamRecord] = []
        while True:
            more = self._store.read_stream_range(partition, after_id, last_id, REREAD_COUNT)
            records += more
            if len(more) < REREAD_COUNT:
                return records
            after_id = more[-1].stream_id


def _erased(records: Mapping[int, Sequence[StreamRecord]]) -> set[str]:
    return {
        orjson.loads(record.payload)["user_id"]
        for batch in records.values()
        for record in batch
        if record.type is RecordType.ERASE
    }
