"""The archive as three views in DuckDB, whatever part of it is there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from feed.config import DAY_S
from feed.domain import ArchiveError

_SCHEMAS = {
    "events": "event_id VARCHAR, user_id VARCHAR, article_id VARCHAR, kind VARCHAR,"
    " occurred_at TIMESTAMPTZ, received_at TIMESTAMPTZ, dwell_s DOUBLE, request_id VARCHAR,"
    " position INTEGER",
    "served": "request_id VARCHAR, user_id VARCHAR, served_at TIMESTAMPTZ, mode VARCHAR,"
    " rung VARCHAR, model_version VARCHAR, experiments VARCHAR, position INTEGER,"
    " article_id VARCHAR, sources VARCHAR, reason VARCHAR, trending BOOLEAN, explored BOOLEAN,"
    " language VARCHAR, platform VARCHAR, latency_ms DOUBLE",
    "articles": "article_id VARCHAR, section VARCHAR, ai_generated VARCHAR, logged_at TIMESTAMPTZ",
}
"""The columns that analyses read, by table."""

_LATE_DAYS = 1
"""Events are filed by the day they came; some come a day after they happened."""


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
    data_dir: Path, from_at: float, to_at: float, *, memory_mb: int = 1500, threads: int = 2
) -> Iterator[Log]:
    """Open the archive of a data directory for a window.

    Args:
        data_dir: The installation's data directory.
        from_at: Begin of the window, epoch seconds.
        to_at: End of the window, not included.
        memory_mb: Memory that queries may take before they go to disk, megabytes.
        threads: Threads of the query engine.

    Raises:
        ArchiveError: there is no archive, or a file of it is damaged.
    """
    archive = data_dir / "archive"
    if not archive.is_dir():
        raise ArchiveError(f"there is no archive in {data_dir}")
    with tempfile.TemporaryDirectory(prefix="feed-analysis-") as spill:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_mb}MB",
            "threads": threads,
            "temp_directory": spill,
            "preserve_insertion_order": False,
        }
        connection = duckdb.connect(config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            wanted = _days_between(from_at, to_at + _LATE_DAYS * DAY_S)
            days = {table: _create_view(connection, archive, table, wanted) for table in _SCHEMAS}
            yield Log(connection, days)
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise ArchiveError(f"the archive in {data_dir} cannot be read: {error}") from error
        finally:
            connection.close()


def day_name(day: int) -> str:
    """Return the ISO date of a day counted from the epoch."""
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()


def _days_between(from_at: float, to_at: float) -> set[str]:
    first = datetime.fromtimestamp(max(from_at, 0.0), UTC).date()
    last = datetime.fromtimestamp(max(to_at, 0.0), UTC).date()
    return {(first + timedelta(days=i)).isoformat() for i in range((last - first).days + 1)}


def _create_view(
    connection: duckdb.DuckDBPyConnection, archive: Path, table: str, wanted: set[str]
) -> frozenset[str]:
    everything = table == "articles"
    files = [
        path
        for folder in sorted((archive / table).glob("day=*"))
        if everything or folder.name.removeprefix("day=") in wanted
        for path in sorted(folder.glob("*.parquet"))
    ]
    columns = [column.strip().split(" ") for column in _SCHEMAS[table].split(",")]
    connection.execute(f"CREATE TABLE empty_{table} ({_SCHEMAS[table]})")
    if files:
        relation = connection.read_parquet(
            [str(path) for path in files], union_by_name=True, hive_partitioning=False
        )
        present = set(relation.columns)
        relation.select(
            *(
                duckdb.ColumnExpression(name).cast(kind).alias(name)
                if name in present
                else duckdb.ConstantExpression(None).cast(kind).alias(name)
                for name, kind in columns
            )
        ).create_view(table)
    else:
        connection.table(f"empty_{table}").create_view(table)
    return frozenset(path.parent.name.removeprefix("day=") for path in files)
