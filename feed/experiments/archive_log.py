"""The archive opened for an analysis, and the days that it holds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from feed.config import DAY_S
from feed.storage.archive import Archive
from feed.storage.archive_files import day_name as day_of_file
from feed.storage.archive_files import table_files

TABLES = ("served", "events")
"""Tables that every day of an experiment should have."""


@dataclass(frozen=True, slots=True)
class Log:
    """An open archive.

    Attributes:
        connection: With the views `events`, `served` and `articles`.
        days: Days (ISO dates) that have a file, by table.
    """

    connection: duckdb.DuckDBPyConnection
    days: dict[str, frozenset[str]]


@contextmanager
def open_log(
    data_dir: Path, from_at: float, *, memory_mb: int = 1500, threads: int = 2
) -> Iterator[Log]:
    """Open the archive of a data directory from a time on.

    Args:
        data_dir: The installation's data directory; without an archive the log is empty.
        from_at: Begin, epoch seconds.
        memory_mb: Memory that queries may take before they go to disk, megabytes.
        threads: Threads of the query engine.

    Raises:
        ArchiveError: a file of the archive is damaged.
    """
    folder = data_dir / "archive"
    archive = Archive(folder, memory_mb=memory_mb, threads=threads)
    with (
        tempfile.TemporaryDirectory(prefix="feed-analysis-") as spill,
        archive.query(from_at) as connection,
    ):
        connection.execute("SET temp_directory = ?", [spill])
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        days = {
            table: frozenset(day_of_file(path) for path in table_files(folder, table))
            for table in TABLES
        }
        yield Log(connection, days)


def day_name(day: int) -> str:
    """Return the ISO date of a day counted from the epoch."""
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
