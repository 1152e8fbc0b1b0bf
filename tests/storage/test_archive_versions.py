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
LATER = {"events": ("name", "value"), "served": ("attributes",)}
"""Columns that the tables did not have at first."""


def commit(directory: Path, number: int, **fields: object) -> None:
    event = {
        "event_id": f"e{number}", "user_id": f"u{number}", "article_id": "a", "kind": "click",
        "occurred_at": NOW, "received_at": NOW, "dwell_s": None, "request_id": None,
        "position": None, "context": {}, "first": True, **fields,
    }  # fmt: skip
    attributes = {"region": "north"} if "name" in fields else {}
    served = {
        "request_id": f"r{number}", "user_id": f"u{number}", "served_at": NOW, "mode": "latest",
        "rung": "latest", "personalized": False, "model_version": "", "experiments": {},
        "section": "", "language": "", "latency_ms": 1.0, "counters_at": "", "context": {},
        "positions": [0], "article_ids": ["a"], "scores": [0.5], "sources_lists": [""],
        "reasons": [""], "are_trending": [False], "are_explored": [False], "are_pinned": [False],
        "propensities": [1.0], "attributes": attributes,
    }  # fmt: skip
    writer = ArchiveWriter(directory, "w")
    writer.recover(lambda *_: [])
    records = [
        StreamRecord(f"{number}-0", RecordType.EVENT, orjson.dumps(event)),
        StreamRecord(f"{number}-1", RecordType.SERVED, orjson.dumps(served)),
    ]
    writer.commit(Batch({0: records}))


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
            "SELECT event_id, name, value, attributes FROM events JOIN served USING (user_id)"
            " ORDER BY event_id"
        ).fetchall()


OLD = [("e1", "", None, "{}"), ("e2", "", None, "{}")]
MIXED = [*OLD, ("e3", "subscribed", 4.5, '{"region":"north"}')]


def test_old_files_have_every_column(directory: Path) -> None:
    assert named(directory) == OLD
    columns = Archive(directory).event_columns(0, 1e11)
    assert list(columns) == [column.name for column in TABLES["events"].columns]
    assert columns["name"].tolist() == ["", ""]


def test_old_and_new_files_are_read_together(directory: Path) -> None:
    commit(directory, 3, kind="custom", name="subscribed", value=4.5)
    assert named(directory) == MIXED
    export = Archive(directory).export_user("u1")
    assert [(row["name"], row["value"]) for row in export["events"]] == [("", None)]
    assert [row["attributes"] for row in export["served"]] == ["{}"]


@pytest.mark.parametrize("newer", [False, True])
def test_old_files_are_compacted(directory: Path, newer: bool) -> None:
    if newer:
        commit(directory, 3, kind="custom", name="subscribed", value=4.5)
    for _ in LATER:
        assert compact(directory, "2100-01-01") == 2 + newer
    assert named(directory) == (MIXED if newer else OLD)
    for table, columns in LATER.items():
        (path,) = table_files(directory, table)
        with duckdb.connect() as connection:
            found = connection.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()
        assert {column[0] for column in found} >= {*columns}


def test_a_reader_is_erased_from_old_files(directory: Path) -> None:
    assert erase_users(directory, ["u1"]) == 2
    assert named(directory) == OLD[1:]
