"""Writes stream records and catalogue changes to the archive's Parquet files, exactly once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import structlog

from feed.domain import ArchiveError, ConflictError
from feed.storage.archive_engine import open_duckdb
from feed.storage.archive_files import DAMAGED, finish_swap, is_whole, settled, table_files
from feed.storage.archive_ledger import (
    EMPTY,
    START,
    Commit,
    Ledger,
    NumberTakenError,
)
from feed.storage.archive_parquet import write_lines
from feed.storage.archive_schema import ARTICLES, article_line, record_lines
from feed.storage.data_place import sync_directory
from feed.storage.records import CatalogueChange, StreamRecord

log = structlog.get_logger(__name__)

Reread = Callable[[int, str, str], list[StreamRecord]]
"""Reads a partition's records after one stream id up to and including another."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit will add: records by partition, and catalogue changes.

    `catalogue` is the change log's position after `changes`, or "" if they were not read.
    `logged_at` (epoch seconds) is the time at which the changes were read.
    """

    records: Mapping[int, Sequence[StreamRecord]] = field(default_factory=dict)
    changes: Sequence[CatalogueChange] = ()
    catalogue: str = ""
    logged_at: float = 0.0

    def __len__(self) -> int:
        return sum(len(records) for records in self.records.values()) + len(self.changes)


class ArchiveWriter:
    """A writer of an archive directory; each partition has one writer at a time.

    A commit has four steps. The writer writes every file to `staging` and waits for the disk. It
    creates the ledger entry, which names the files and the stream positions reached; this entry
    is the commit. It moves the files into place. Only then may the stream be trimmed. A crash
    before the entry leaves only a staging directory, which is deleted. A crash after the entry
    leaves files that `recover` moves. So every record is in the archive exactly once, whenever
    the writer dies.

    Several writers share one ledger. A commit that finds its number taken gets the next number, if
    the other commits in between left its partitions where it found them.
    """

    def __init__(self, archive_dir: Path, owner: str) -> None:
        self._dir = archive_dir
        self._owner = owner
        self._ledger = Ledger(archive_dir)
        self._last = EMPTY
        self._unsettled: tuple[Path, Commit] | None = None
        self._duckdb: duckdb.DuckDBPyConnection | None = None

    @property
    def positions(self) -> Mapping[int, str]:
        """The last archived stream id of each partition that has one."""
        return self._last.positions

    @property
    def catalogue(self) -> str:
        """The change-log position reached; "" when the whole catalogue must be logged."""
        return self._last.catalogue

    def refresh(self) -> None:
        """Look how far the other writers have come.

        Raises:
            ArchiveError: the ledger cannot be read.
        """
        with archive_errors("read the archive"):
            last = self._ledger.last()
            self._last = last if last.number > self._last.number else self._last

    def recover(self, reread: Reread, live: Collection[str] = ()) -> None:
        """Finish or undo what a dead writer left, and set damaged files aside.

        The records of a damaged file are archived again if the stream still has them.

        Args:
            reread: reads what a damaged file held.
            live: writers that are at work; their unfinished commits are left alone.

        Raises:
            ArchiveError: the directory cannot be read or written.
        """
        with archive_errors("recover the archive"):
            finish_swap(self._dir)
            with settled(self._dir):
                entries = {entry.number: entry for entry in self._ledger.entries()}
                self._last = entries[max(entries)] if entries else EMPTY
                self._clear_staging(entries, live)
            self._set_damaged_aside(entries, reread)

    def _clear_staging(self, entries: Mapping[int, Commit], live: Collection[str]) -> None:
        for staged in sorted((self._dir / "staging").glob("*-*")):
            number, _, owner = staged.name.partition("-")
            entry = entries.get(int(number))
            if entry is not None and entry.owner == owner:
                self._settle(staged, entry)
            elif owner not in live:
                shutil.rmtree(staged)

    def commit(self, batch: Batch) -> Commit:
        """Add a batch; when this returns it is on disk.

        Raises:
            ArchiveError: nothing was added (disk full, directory not writable ...).
            ConflictError: another writer is at work; this one must stop.
        """
        with archive_errors("write to the archive"):
            if self._unsettled is not None:
                self._ledger.sync()
                self._settle(*self._unsettled)
            self._follow(batch)
            number = self._last.number + 1
            staged = self._staging(number)
            try:
                files = self._stage(staged, batch, number)
                while True:
                    try:
                        return self._add(staged, batch, files)
                    except NumberTakenError:
                        self._follow(batch)
                        staged, files = self._renumbered(staged, files)
            except BaseException:
                if self._unsettled is None:
                    shutil.rmtree(staged, ignore_errors=True)
                raise

    def _add(self, staged: Path, batch: Batch, files: dict[str, int]) -> Commit:
        """Make the commit of what is staged."""
        entry = self._entry(self._last, batch, files)
        with settled(self._dir):
            if not all((staged / name).exists() for name in entry.files):
                raise ConflictError("this writer was taken for dead")
            try:
                self._ledger.add(entry)
            except OSError:
                if self._ledger.has(entry):  # then its files must not be lost
                    self._unsettled = (staged, entry)
                raise
            self._last = entry
            self._unsettled = (staged, entry)
            self._settle(staged, entry)
        return entry

    def _staging(self, number: int) -> Path:
        return self._dir / "staging" / f"{number:012d}-{self._owner}"

    def _renumbered(self, staged: Path, files: dict[str, int]) -> tuple[Path, dict[str, int]]:
        """Give what is staged the next number, and wait for the disk: it is not written again."""
        old, new = staged.name.partition("-")[0], self._last.number + 1
        target = self._staging(new)
        shutil.rmtree(target, ignore_errors=True)
        staged.replace(target)
        renamed: dict[str, int] = {}
        for name, rows in files.items():
            path = target / name
            moved = path.replace(path.with_name(path.name.replace(old, f"{new:012d}")))
            sync_directory(moved.parent)
            renamed[moved.relative_to(target).as_posix()] = rows
        sync_directory(target.parent)
        return target, renamed

    def _follow(self, batch: Batch) -> None:
        """Take over what others have committed.

        Raises:
            ConflictError: what is in the batch is no longer what follows.
        """
        last, known = self._ledger.last(), self._last
        if last.number == known.number:
            return
        moved = any(last.positions.get(p) != known.positions.get(p) for p in batch.records)
        if moved or (batch.catalogue and last.catalogue != known.catalogue):
            self._last = last
            raise ConflictError("another writer has archived these records")
        self._last = last

    def _stage(self, staged: Path, batch: Batch, number: int) -> dict[str, int]:
        lines = {ARTICLES: [article_line(change, batch.logged_at) for change in batch.changes]}
        for partition, records in batch.records.items():
            for name, found in record_lines(partition, records).items():
                lines.setdefault(name, []).extend(found)
        shutil.rmtree(staged, ignore_errors=True)
        files: dict[str, int] = {}
        connection, self._duckdb = self._duckdb or open_duckdb(), None
        for name, found in lines.items():
            if found:
                files |= write_lines(connection, staged, name, found, f"{number:012d}")
        self._duckdb = connection  # after an error a new one: a fatal one leaves it useless
        return files

    def _entry(self, last: Commit, batch: Batch, files: dict[str, int]) -> Commit:
        """Return the commit of a batch after the last one."""
        ranges = {
            partition: (last.positions.get(partition, START), records[-1].stream_id)
            for partition, records in batch.records.items()
            if records
        }
        reached = {partition: end for partition, (_, end) in ranges.items()}
        return Commit(
            number=last.number + 1,
            owner=self._owner,
            positions={**last.positions, **reached},
            catalogue=batch.catalogue or last.catalogue,
            ranges=ranges,
            files=files,
        )

    def _settle(self, staged: Path, entry: Commit) -> None:
        """Move the files of a commit into place; harmless when some or all are there already."""
        for name in entry.files:
            source, target = staged / name, self._dir / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # it is there already
                source.replace(target)
                sync_directory(target.parent)
        shutil.rmtree(staged, ignore_errors=True)
        self._unsettled = None

    def _set_damaged_aside(self, entries: Mapping[int, Commit], reread: Reread) -> None:
        by_file = {name: entry for entry in entries.values() for name in entry.files}
        for path in table_files(self._dir):
            if is_whole(path):
                continue
            name = path.relative_to(self._dir).as_posix()
            aside = self._dir / DAMAGED / name
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside)
            rows = self._archive_again(name, by_file[name], reread) if name in by_file else 0
            expected = by_file[name].files[name] if name in by_file else None
            log.error("archive_file_damaged", file=name, rows=expected, rows_archived_again=rows)

    def _archive_again(self, name: str, entry: Commit, reread: Reread) -> int:
        if name.startswith(ARTICLES):
            self._last = _without_catalogue(self._last)
            return 0
        records = {
            partition: reread(partition, after, last)
            for partition, (after, last) in entry.ranges.items()
        }
        staged = self._dir / "staging" / f"{entry.number:012d}-again"
        files = self._stage(staged, Batch(records), entry.number)
        if name in files:
            (staged / name).replace(self._dir / name)
            sync_directory((self._dir / name).parent)
        shutil.rmtree(staged, ignore_errors=True)
        return files.get(name, 0)


def _without_catalogue(entry: Commit) -> Commit:
    return Commit(entry.number, entry.owner, entry.positions, "", entry.ranges, entry.files)


@contextmanager
def archive_errors(what: str) -> Iterator[None]:
    """Turn errors of DuckDB and of the disk into one of the archive that says what failed."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise ArchiveError(f"cannot {what}: {error}") from error
