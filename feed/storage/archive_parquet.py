"""Writes Parquet files of the archive, one for each day, and waits until they are on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import duckdb
import structlog

from feed.storage.archive_files import REJECTED
from feed.storage.archive_schema import TABLES
from feed.storage.data_place import sync_directory, sync_file, write_durably

log = structlog.get_logger(__name__)


def write_lines(
    connection: duckdb.DuckDBPyConnection,
    directory: Path,
    table: str,
    lines: Sequence[bytes],
    stem: str,
) -> dict[str, int]:
    """Write JSON lines as Parquet files, one for each day, durably; return rows by file name.

    A line that cannot become a row, for example because a number is out of range, must not block
    the lines that follow. It is kept unchanged in `rejected`, beside the tables.
    """
    directory.mkdir(parents=True, exist_ok=True)
    rejected: list[bytes] = []
    if not _try_lines(connection, directory, table, lines, stem):
        good: list[bytes] = []
        _sort_out(connection, directory, table, lines, good, rejected)
        shutil.rmtree(directory / table, ignore_errors=True)
        if good:
            _try_lines(connection, directory, table, good, stem)
    files = _rows_by_file(connection, directory, table)
    if rejected:
        name = f"{REJECTED}/{table}-{stem}.ndjson"
        (directory / REJECTED).mkdir(exist_ok=True)
        write_durably(directory / name, b"\n".join(rejected))
        log.error("archive_lines_rejected", table=table, lines=len(rejected), file=name)
        files[name] = len(rejected)
    return files


def _try_lines(
    connection: duckdb.DuckDBPyConnection,
    directory: Path,
    table: str,
    lines: Sequence[bytes],
    stem: str,
) -> bool:
    """Write lines; return False if the data, not the disk, is at fault."""
    source = directory / f"{table}.ndjson"
    source.write_bytes(b"\n".join(lines))
    try:
        _write_days(connection, directory, table, stem, source)
    except (duckdb.IOException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error:
        return False
    finally:
        source.unlink()
    return True


def _sort_out(
    connection: duckdb.DuckDBPyConnection,
    directory: Path,
    table: str,
    lines: Sequence[bytes],
    good: list[bytes],
    bad: list[bytes],
) -> None:
    """Tell lines that can be rows from those that cannot, by halves."""
    shutil.rmtree(directory / table, ignore_errors=True)
    if _try_lines(connection, directory, table, lines, "trial"):
        good.extend(lines)
    elif len(lines) == 1:
        bad.extend(lines)
    else:
        middle = len(lines) // 2
        _sort_out(connection, directory, table, lines[:middle], good, bad)
        _sort_out(connection, directory, table, lines[middle:], good, bad)


def write_file(connection: duckdb.DuckDBPyConnection, path: Path, query: str) -> int:
    """Write the rows of a query as one Parquet file, durably; return how many rows."""
    copy = f"COPY ({query}) TO '{_sql_text(path)}' (FORMAT parquet, COMPRESSION zstd)"
    rows: int = connection.execute(copy).fetchall()[0][0]
    sync_file(path)
    sync_directory(path.parent)
    return rows


def _write_days(
    connection: duckdb.DuckDBPyConnection, directory: Path, table: str, stem: str, source: Path
) -> None:
    """Write a file of JSON lines as `<directory>/<table>/day=.../<stem>.parquet`, durably."""
    spec = TABLES[table]
    connection.execute(
        f"COPY (SELECT *, strftime({spec.day}, '%Y-%m-%d') AS day FROM ({spec.select_lines()}))"
        f" TO '{_sql_text(directory / table)}' (FORMAT parquet, COMPRESSION zstd,"
        " PARTITION_BY (day), FILENAME_PATTERN 'part-{i}', OVERWRITE_OR_IGNORE)",
        {"path": str(source)},
    )
    for folder in sorted((directory / table).glob("day=*")):
        for number, path in enumerate(sorted(folder.glob("part-*.parquet"))):
            target = path.with_name(f"{stem}.{number}.parquet" if number else f"{stem}.parquet")
            path.replace(target)
            sync_file(target)


def _rows_by_file(
    connection: duckdb.DuckDBPyConnection, directory: Path, table: str
) -> dict[str, int]:
    if not any((directory / table).glob("*/*.parquet")):
        return {}  # every line was a feed without slots
    pattern = _sql_text(directory / table / "*" / "*.parquet")
    rows = connection.execute(
        f"SELECT file_name, num_rows FROM parquet_file_metadata('{pattern}')"
    ).fetchall()
    return {Path(name).relative_to(directory).as_posix(): count for name, count in rows}


def _sql_text(path: Path) -> str:
    return str(path).replace("'", "''")
