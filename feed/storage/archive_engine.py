"""The query engine of the archive: whoever only asks which files there are does not load it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb


def open_duckdb(*, memory_mb: int = 1000, threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection in UTC with bounded memory."""
    connection = duckdb.connect(
        config={
            "threads": threads,
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": str(Path(tempfile.gettempdir()) / "feed-duckdb"),
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # it would draw one among the log's lines
    connection.execute("SET partitioned_write_max_open_files = 10000")  # one file for each day
    return connection
