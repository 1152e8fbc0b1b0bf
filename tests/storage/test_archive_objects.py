"""The archive in an object store: every record once, whoever dies and whoever else writes."""

from __future__ import annotations

import os

import pytest
from event_records import NOW, event_ids, event_record, writer_of

from feed.domain import ConflictError
from feed.storage.archive_files import archive_objects, table_files
from feed.storage.archive_objects import ArchiveObjects
from feed.storage.archive_upkeep import compact, erase_users, expire
from feed.storage.archive_writer import Batch

DAY = 86_400.0


def test_another_machine_reads_what_was_committed(two_machines):
    one, other = two_machines("archive")
    writer = writer_of(one)
    writer.commit(Batch({0: [event_record(0)]}))
    writer.commit(Batch({0: [event_record(1)], 3: [event_record(7, received_at=NOW + DAY)]}))
    assert event_ids(other) == event_ids(one) == ["e0", "e1", "e7"]
    assert writer_of(other, "you").positions == {0: "2-0", 3: "8-0"}


def test_of_two_writers_one_wins_and_the_other_sees_it(two_machines):
    one, other = two_machines("archive")
    first, second = writer_of(one, "a"), writer_of(other, "b")
    first.commit(Batch({0: [event_record(0)]}))
    with pytest.raises(ConflictError):
        second.commit(Batch({0: [event_record(0)]}))
    second.commit(Batch({1: [event_record(5)]}))  # partitions of its own
    first.commit(Batch({0: [event_record(1)]}))
    assert event_ids(one) == event_ids(other) == ["e0", "e1", "e5"]


def test_merging_deletes_the_small_files_everywhere(two_machines):
    one, other = two_machines("archive")
    writer = writer_of(one)
    for number in range(4):
        writer.commit(Batch({0: [event_record(number)]}))
    before = event_ids(other)
    assert compact(one, "2027-01-01") == 4
    assert event_ids(other) == event_ids(one) == before
    assert len(table_files(other)) == 1
    assert len(stored_files(one)) == 1


def test_a_log_that_was_shortened_still_names_every_file(two_machines, monkeypatch):
    monkeypatch.setattr("feed.storage.archive_objects.FULL_EVERY", 3)
    monkeypatch.setattr("feed.storage.archive_objects.KEPT", 5)
    one, other = two_machines("archive")
    writer = writer_of(one)
    for number in range(9):
        writer.commit(Batch({0: [event_record(number)]}))
    assert event_ids(other) == [f"e{n}" for n in range(9)]
    assert len(archive_objects(other).changes()) == 5


def test_a_writer_that_slept_while_the_log_was_shortened_adds_nothing(two_machines, monkeypatch):
    monkeypatch.setattr("feed.storage.archive_objects.FULL_EVERY", 2)
    monkeypatch.setattr("feed.storage.archive_objects.KEPT", 4)
    one, other = two_machines("archive")
    sleeper = writer_of(one, "sleeper")
    sleeper.commit(Batch({0: [event_record(0)]}))
    successor = writer_of(other, "successor")
    for number in range(1, 9):
        successor.commit(Batch({0: [event_record(number)]}))
    with pytest.raises(ConflictError):
        sleeper.commit(Batch({0: [event_record(1)]}))
    assert event_ids(one) == event_ids(other) == [f"e{n}" for n in range(9)]
    assert [change.number for change in archive_objects(other).changes()] == [6, 7, 8, 9]


def test_an_erased_reader_is_in_no_object_and_no_copy(two_machines):
    one, other = two_machines("archive")
    writer = writer_of(one)
    writer.commit(Batch({0: [event_record(0, "gone"), event_record(1, "stays")]}))
    event_ids(other)
    assert erase_users(one, ["gone"]) == 1
    assert event_ids(one) == event_ids(other) == ["e1"]
    assert len(stored_files(one)) == 1
    assert len(list(one.rglob("*.parquet"))) == len(list(other.rglob("*.parquet"))) == 1
    assert erase_users(one, ["gone"]) == 0


def test_days_are_deleted_when_their_time_is_over(two_machines):
    one, other = two_machines("archive")
    records = [event_record(n, received_at=NOW + n * 9 * DAY) for n in range(2)]
    writer_of(one).commit(Batch({0: records}))
    assert expire(one, "2026-06-01") == ["events/day=2026-05-28"]
    assert event_ids(other) == ["e1"]


def test_the_working_copy_keeps_its_bound_and_fetches_again(two_machines):
    one, _ = two_machines("archive")
    writer = writer_of(one)
    for number in range(3):
        writer.commit(Batch({0: [event_record(number)]}))
    for number, path in enumerate(table_files(one)):
        os.utime(path, (NOW + number, NOW + number))
    size = table_files(one)[0].stat().st_size
    archive_objects(one).tidy(int(size * 1.5), NOW + DAY)
    assert [path.exists() for path in table_files(one)] == [False, False, True]
    table_files(one)[2].write_bytes(b"torn")
    assert event_ids(one) == ["e0", "e1", "e2"]


def test_who_reads_while_a_commit_is_being_made_leaves_its_files_alone(two_machines, monkeypatch):
    one, other = two_machines("archive")
    writer = writer_of(one)
    writer.commit(Batch({0: [event_record(0)]}))
    upload = ArchiveObjects.store_files

    def read_first(self, targets):
        assert event_ids(one) == ["e0"]  # the same working copy, as of a report on this machine
        return upload(self, targets)

    monkeypatch.setattr(ArchiveObjects, "store_files", read_first)
    writer.commit(Batch({0: [event_record(1)]}))
    assert event_ids(other) == event_ids(one) == ["e0", "e1"]


def test_files_that_no_change_names_are_deleted_after_an_hour(two_machines, tmp_path, monkeypatch):
    one, _ = two_machines("archive")
    objects = archive_objects(one)
    left = tmp_path / "left.parquet"
    left.write_bytes(b"a writer died before its commit")
    objects.store_files({left: "events/day=2026-05-28/000000000001.parquet"})
    writer_of(one)
    assert len(stored_files(one)) == 1
    monkeypatch.setattr("feed.storage.archive_objects.ORPHAN_S", -10.0)
    writer_of(one)
    assert stored_files(one) == []


def stored_files(directory):
    names = archive_objects(directory).stored()
    return [name for name in names if "/day=" in name]
