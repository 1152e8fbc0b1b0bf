"""Identity records in the archive: one reader in its views, whatever id a row was logged under."""

from pathlib import Path

import orjson
import pytest

from feed.storage.archive import Archive
from feed.storage.archive_identities import LoggedMerge, put_together
from feed.storage.archive_upkeep import compact, erase_users, expire
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import RecordType, StreamRecord

NOW = 1_780_000_000.0
DAY = 86_400.0


class Log:
    """Writes records, each batch one commit, as the worker would."""

    def __init__(self, directory: Path) -> None:
        self.directory, self._number = directory, 0
        self._writer = ArchiveWriter(directory, "w")
        self._writer.recover(lambda *_: [])

    def add(self, *records: StreamRecord) -> None:
        self._writer.commit(Batch({0: records}))

    def record(self, kind: RecordType, payload: dict) -> StreamRecord:
        self._number += 1
        return StreamRecord(f"{self._number}-0", kind, orjson.dumps(payload))

    def event(self, user_id: str, at: float, article_id: str = "a") -> StreamRecord:
        payload = {
            "event_id": f"e{self._number}", "user_id": user_id, "article_id": article_id,
            "kind": "click", "occurred_at": at, "received_at": at, "dwell_s": None,
            "request_id": None, "position": None, "context": {}, "first": True,
        }  # fmt: skip
        return self.record(RecordType.EVENT, payload)

    def merge(self, from_id: str, to_id: str, at: float, keeps: str = "to") -> StreamRecord:
        payload = {
            "from_id": from_id, "to_id": to_id, "merged_at": at, "keeps_unit_of": keeps,
            "clicks": [["a", NOW, True, False]], "reactions": [],
        }  # fmt: skip
        return self.record(RecordType.IDENTITY, payload)

    def erase(self, user_id: str) -> StreamRecord:
        return self.record(RecordType.ERASE, {"user_id": user_id, "requested_at": NOW})


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "archive")


def readers(archive: Archive) -> list[tuple[str, str]]:
    found = archive.event_columns(0, 1e11, ["user_id", "logged_user_id"])
    return list(zip(found["user_id"].tolist(), found["logged_user_id"].tolist(), strict=True))


def test_without_a_merge_every_id_is_its_own_reader(log):
    log.add(log.event("u", NOW))
    assert readers(Archive(log.directory)) == [("u", "u")]


def test_an_id_is_the_reader_that_it_was_merged_into_in_the_end(log):
    log.add(log.event("a", NOW), log.event("b", NOW + 1), log.event("x", NOW + 2))
    log.add(log.merge("a", "b", NOW + 10))
    log.add(log.merge("b", "c", NOW + 3 * DAY), log.event("c", NOW + 4 * DAY))
    archive = Archive(log.directory)
    assert readers(archive) == [("c", "a"), ("c", "b"), ("x", "x"), ("c", "c")]
    with archive.query(NOW + 3.5 * DAY) as connection:
        rows = connection.execute("SELECT from_id, to_id, clicks FROM identities").fetchall()
    assert [row[:2] for row in rows] == [("a", "b"), ("b", "c")]
    assert orjson.loads(rows[0][2]) == [["a", NOW, True, False]]


def test_a_record_that_names_nobody_maps_nobody(log):
    log.add(log.event("", NOW), log.event("u", NOW), log.merge("", "", NOW + 1))
    assert set(readers(Archive(log.directory))) == {("", ""), ("u", "u")}


def test_the_export_holds_rows_as_they_were_logged_and_the_merge(log):
    log.add(log.event("a", NOW), log.event("r", NOW), log.event("nameless", NOW))
    log.add(log.merge("a", "r", NOW + 10))
    export = Archive(log.directory).export_user("r", ["nameless"])
    assert sorted(row["user_id"] for row in export["events"]) == ["a", "nameless", "r"]
    assert [(row["from_id"], row["to_id"]) for row in export["identities"]] == [("a", "r")]


def test_erasing_a_reader_erases_the_merged_ids_and_the_records(log):
    log.add(log.event("a", NOW), log.event("b", NOW), log.event("r", NOW), log.event("x", NOW))
    log.add(log.merge("a", "b", NOW + 10), log.merge("b", "r", NOW + 20))
    log.add(log.merge("y", "z", NOW + 30))
    assert erase_users(log.directory, ["r"]) > 0
    archive = Archive(log.directory)
    assert readers(archive) == [("x", "x")]
    with archive.query() as connection:
        assert connection.execute("SELECT from_id FROM identities").fetchall() == [("y",)]
    assert erase_users(log.directory, ["r"]) == 0


def test_an_erase_record_removes_the_merge_of_its_own_batch(log):
    log.add(log.merge("a", "r", NOW), log.event("x", NOW), log.erase("r"), log.merge("b", "r", NOW))
    with Archive(log.directory).query() as connection:
        assert connection.execute("SELECT from_id FROM identities").fetchall() == [("b",)]


def test_records_outlive_the_events_they_are_about_and_are_merged_into_one_file(log):
    log.add(log.event("a", NOW), log.merge("a", "r", NOW + 10))
    log.add(log.merge("b", "r", NOW + 20))
    tomorrow = "2026-05-29"
    assert compact(log.directory, tomorrow) == 2
    assert compact(log.directory, tomorrow) == 0
    assert expire(log.directory, tomorrow) == ["events/day=2026-05-28"]
    with Archive(log.directory).query() as connection:
        assert len(connection.execute("SELECT from_id FROM identities").fetchall()) == 2
    assert expire(log.directory, "2026-05-31") == ["identities/day=2026-05-28"]


def test_what_came_from_a_unit_that_was_given_up_can_be_left_out(log):
    log.add(log.event("anon", NOW), log.event("old", NOW), log.event("other", NOW))
    log.add(log.event("new", NOW), log.merge("anon", "old", NOW + 10))
    log.add(log.merge("other", "new", NOW + 10, keeps="from"), log.event("new", NOW + 20))
    with Archive(log.directory).query(one_arm=True) as connection:
        kept, left_out = (
            connection.execute(f"SELECT user_id, logged_user_id FROM {name}").fetchall()
            for name in ("events", "events_left_out")
        )
    assert sorted(kept) == [("new", "new"), ("new", "other"), ("old", "old")]
    assert sorted(left_out) == [("new", "new"), ("old", "anon")]


def test_merges_in_a_row_give_up_whole_groups():
    merges = [
        LoggedMerge("a", "b", 1.0, "from"),
        LoggedMerge("b", "c", 2.0, "to"),
        LoggedMerge("d", "c", 3.0, "from"),
        LoggedMerge("c", "a", 4.0, "to"),
    ]
    found = put_together(merges)
    assert found.reader_of == {"a": "c", "b": "c", "d": "c"}
    assert found.given_up == {"b": 2.0, "a": 2.0, "c": 3.0} | {"a": 3.0, "b": 3.0}
