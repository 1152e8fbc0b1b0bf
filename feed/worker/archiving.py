"""Writes stream records and catalogue changes to the archive, in commits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import orjson
import structlog

from feed.config import DAY_S, Settings
from feed.domain import ArchiveError, ConflictError
from feed.storage.archive_files import upkeep
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
READ_AT_ONCE = 2_000
"""Records of one round trip: what a reply holds besides them is soon free again."""
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
        self._partitions: Sequence[int] = range(store.partitions)
        self._leads = True
        self._started = False
        self._due_at = self._upkeep_at = float("-inf")
        self._expired_before = ""
        self._left = 0
        self.failing = False

    @property
    def archived(self) -> Mapping[int, str]:
        """The last archived stream id of each partition."""
        return self._writer.positions

    def start(self, live: Collection[str]) -> bool:
        """Recover what a dead writer left; return False while another process does upkeep.

        Args:
            live: the runs whose unfinished files must be left alone.

        Raises:
            ArchiveError: the archive cannot be read.
        """
        with upkeep(self._dir) as may_work:
            if may_work:
                self._writer.recover(self._reread, live)
                self._started = True
        return self._started

    def tick(
        self,
        now: float,
        partitions: Sequence[int] | None = None,
        live: Collection[str] = (),
        *,
        leads: bool = True,
    ) -> int:
        """Archive what is waiting, if it is due; return the number of records and changes archived.

        Args:
            now: epoch seconds.
            partitions: whose records to archive; None: of all.
            live: the runs of live workers.
            leads: whether to archive catalogue changes and maintain the archive, too.

        If the disk fails, that is logged and tried again later. Nothing is lost, because the
        streams keep their records until they are archived.
        """
        if partitions is not None:
            self._partitions = partitions
        self._leads = leads
        if not self._is_due(now):
            return 0
        try:
            if not self._started and not self.start(live):
                return 0
            archived = self._archive(now)
            if leads:
                self._keep_up(now)
        except ConflictError as error:
            log.warning("archive_commit_refused", reason=str(error))
            return 0  # what follows the other worker's commit is read next time
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
        """Return how many records our streams hold, archived ones that await trimming too."""
        lengths = self._store.stream_lengths()
        WAITING.set(sum(lengths))
        return sum(lengths[partition] for partition in self._partitions)

    def _archive(self, now: float) -> int:
        """Archive what waits by now; what comes meanwhile waits for the next file."""
        self._writer.refresh()
        total = 0
        while total < self._settings.archive_events:
            batch = self._next_batch(now)
            if not len(batch):
                break
            if not self._erase(_erased(batch.records)):
                break
            self._writer.commit(batch)
            ARCHIVED.inc(len(batch))
            total += len(batch)
            if not self._more_waits(batch):
                break
        return total

    def _erase(self, readers: Collection[str]) -> bool:
        """Erase readers; return False while another process maintains the archive."""
        if not readers:
            return True
        with upkeep(self._dir) as may_work:
            if may_work:
                files = erase_users(self._dir, readers)
                log.info("readers_erased", readers=len(readers), files=files)
            return may_work

    def _more_waits(self, batch: Batch) -> bool:
        """Return whether a batch was full of records or of articles."""
        is_full = sum(map(len, batch.records.values())) >= self._settings.archive_events
        return is_full or len(batch.changes) >= self.articles_per_commit

    def _next_batch(self, now: float) -> Batch:
        """Return what waits in each partition, up to `archive_events` records in all."""
        after = {p: self._writer.positions.get(p, START) for p in self._partitions}
        records: dict[int, list[StreamRecord]] = defaultdict(list)
        for found in self._store.follow_streams(after, self._settings.archive_events, READ_AT_ONCE):
            for partition, some in found.items():
                if some:
                    records[partition] += some
        changes, position = self._changes(now) if self._leads else ((), "")
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
        with upkeep(self._dir) as may_work:
            if may_work:
                self._maintain(now)

    def _maintain(self, now: float) -> None:
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
