"""Files of the archive that an earlier version wrote, alone and beside newer ones."""

from __future__ import annotations

from pathlib import Path

import duckdb
import orjson
import pytest

from feed.storage.archive import Archive
from feed.storage.archive_files import table_files
from feed.storage.archive_schema import TABLES
from feed.storage.archive_upkeep import compact, erase_users
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import RecordType, StreamRecord

NOW = 1_780_000_000.0
LATER = {"events": ("name", "value")}
"""Columns that the tables did not have at first."""


def commit(directory: Path, number: int, **fields: object) -> None:
    payload = {
        "event_id": f"e{number}", "user_id": f"u{number}", "article_id": "a", "kind": "click",
        "occurred_at": NOW, "received_at": NOW, "dwell_s": None, "request_id": None,
        "position": None, "context": {}, "first": True, **fields,
    }  # fmt: skip
    writer = ArchiveWriter(directory, "w")
    writer.recover(lambda *_: [])
    record = StreamRecord(f"{number}-0", RecordType.EVENT, orjson.dumps(payload))
    writer.commit(Batch({0: [record]}))


def make_old(directory: Path) -> None:
    """Take the later columns out of every file."""
    with duckdb.connect() as connection:
        for table, columns in LATER.items():
            for path in table_files(directory, table):
                rows = connection.sql(
                    f"SELECT * EXCLUDE ({', '.join(columns)})"
                    f" FROM read_parquet('{path}', hive_partitioning = false)"
                )
                draft = path.with_suffix(".draft")
                rows.write_parquet(str(draft))
                draft.replace(path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An archive with the files of two commits of an earlier version."""
    for number in (1, 2):
        commit(tmp_path, number)
    make_old(tmp_path)
    return tmp_path


def named(directory: Path) -> list[tuple[object, ...]]:
    with Archive(directory).query() as connection:
        return connection.execute(
            "SELECT event_id, name, value FROM events ORDER BY event_id"
        ).fetchall()


OLD = [("e1", "", None), ("e2", "", None)]
MIXED = [*OLD, ("e3", "subscribed", 4.5)]


def test_old_files_have_every_column(directory: Path) -> None:
    assert named(directory) == OLD
    columns = Archive(directory).event_columns(0, 1e11)
    assert list(columns) == [column.name for column in TABLES["events"].columns]
    assert columns["name"].tolist() == ["", ""]


def test_old_and_new_files_are_read_together(directory: Path) -> None:
    commit(directory, 3, kind="custom", name="subscribed", value=4.5)
    assert named(directory) == MIXED
    (row,) = Archive(directory).export_user("u1")["events"]
    assert (row["name"], row["value"]) == ("", None)


@pytest.mark.parametrize("newer", [False, True])
def test_old_files_are_compacted(directory: Path, newer: bool) -> None:
    if newer:
        commit(directory, 3, kind="custom", name="subscribed", value=4.5)
    assert compact(directory, "2100-01-01") == 2 + newer
    assert named(directory) == (MIXED if newer else OLD)
    with duckdb.connect() as connection:
        (path,) = table_files(directory, "events")
        found = connection.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()
    assert {column[0] for column in found} >= {"name", "value"}


def test_a_reader_is_erased_from_old_files(directory: Path) -> None:
    assert erase_users(directory, ["u1"]) == 1
    assert named(directory) == OLD[1:]
