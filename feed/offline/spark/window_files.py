"""The archive's files where they are: in a directory of every process, or in an object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feed.domain import ArchiveError
from feed.offline.spark.spark_session import file_address, tasks_of
from feed.storage.archive import Archive
from feed.storage.archive_schema import EVENTS, SERVED
from feed.storage.working_copy import object_place, place_of, remote_of

FOOTER_BYTES = 65_536
"""What is read of a file's end at first: the whole footer, if it has few row groups."""
_PARALLEL = 8
_TYPES = {
    "string": pa.string(),
    "double": pa.float64(),
    "int": pa.int32(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


class FileReplacedError(ArchiveError):
    """A file of the archive was replaced by another after it was listed."""


@dataclass(frozen=True, slots=True)
class ArchiveFiles:
    """Files that may hold what happened in a window.

    Attributes:
        directory: Of the archive, or of its working copy.
        url: Of the objects; None if the directory itself holds the files.
        names: By table, below either.
    """

    directory: Path
    url: str | None
    names: Mapping[str, Sequence[str]]

    @classmethod
    def listed(cls, archive: Archive, from_at: float) -> ArchiveFiles:
        """Return the files of a window, of which none is fetched."""
        place, directory = remote_of(archive.directory), archive.directory
        found = archive.listed((EVENTS, SERVED), from_at)
        names = {t: [p.relative_to(directory).as_posix() for p in ps] for t, ps in found.items()}
        return cls(directory, None if place is None else place.url, names)

    def count_events(self) -> int:
        """Return how many rows the table `events` has."""
        return sum(footer.num_rows for footer in self._footers())

    def last_event_at(self) -> float | None:
        """Return when the last event occurred, epoch seconds; None without any."""
        found = []
        for footer in self._footers():
            column = footer.schema.names.index("occurred_at")
            groups = [footer.row_group(n).column(column) for n in range(footer.num_row_groups)]
            found += [group.statistics.max for group in groups]
        last: datetime | None = max(found, default=None)
        return None if last is None else last.timestamp()

    def read(self, session: Any, table: str, columns: str) -> Any:
        """Return a DataFrame of a table, read by the processes that work on it.

        Spark reads a directory by itself. Objects are read by the code that reads them everywhere,
        so that Spark need not know the store: each process fetches those of its part, one at a
        time, into a file of its own, and compares it with its digest.

        Args:
            session: the Spark session.
            table: its name.
            columns: `name type, ...`; a column that a file does not have is null.
        """
        names = self.names[table]
        if not names:
            return session.createDataFrame([], columns)
        if self.url is None:
            paths = [file_address(self.directory / name) for name in names]
            return session.read.schema(columns).parquet(*paths)
        parts = session.sparkContext.parallelize(
            [(name,) for name in names], min(len(names), tasks_of(session))
        )
        url = self.url
        return parts.toDF("name string").mapInArrow(
            lambda batches: _fetched(batches, url, _schema(columns)), columns
        )

    def _footers(self) -> list[pq.FileMetaData]:
        place = place_of(self.directory)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return list(pool.map(lambda n: _footer(n, place.read_end), self.names[EVENTS]))


def _footer(name: str, read_end: Callable[[str, int], bytes | None]) -> pq.FileMetaData:
    end = read_end(name, FOOTER_BYTES)
    length = 0 if end is None else int.from_bytes(end[-8:-4], "little") + 8
    if end is not None and length > len(end):
        end = read_end(name, length)
    if end is None:
        raise FileReplacedError(f"the file {name} is not there any more")
    try:
        return pq.read_metadata(pa.BufferReader(end))
    except pa.ArrowException as error:
        raise ArchiveError(f"the file {name} cannot be read: {error}") from error


def _schema(columns: str) -> pa.Schema:
    pairs = (column.split() for column in columns.split(","))
    return pa.schema([(name, _TYPES[kind]) for name, kind in pairs])


def _fetched(
    batches: Iterator[pa.RecordBatch], url: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the objects that are named in one partition."""
    place = object_place(url)
    with TemporaryDirectory(prefix="feed-") as folder:
        for name in (name for batch in batches for name in batch.column("name").to_pylist()):
            path = Path(folder, "fetched.parquet")
            try:
                place.download(name, path, Path(name).stem.rpartition(".")[2])
            except FileNotFoundError as error:
                raise FileReplacedError(f"the file {name} is not there any more") from error
            yield from _rows(path, schema)


def _rows(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        known = set(file.schema_arrow.names)
        for batch in file.iter_batches(columns=[n for n in schema.names if n in known]):
            columns = [
                batch.column(field.name).cast(field.type)
                if field.name in known
                else pa.nulls(batch.num_rows, field.type)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
