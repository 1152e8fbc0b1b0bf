"""Several writers of one archive: each keeps its own partitions, and no work is done twice."""

import pytest

from feed.domain import ConflictError
from feed.storage import archive_writer
from feed.storage.archive import Archive
from feed.storage.archive_files import table_files
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import RecordType, StreamRecord
from tests.support.event_records import event_record


def open_writer(directory, owner):
    writer = ArchiveWriter(directory, owner)
    writer.recover(lambda *_: [], live=["one", "other"])
    return writer


def event_ids(directory):
    return sorted(Archive(directory).event_columns(0, 1e11)["event_id"].tolist())


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """Give a writer, what happens once it has written files, and the files that it has written."""
    one, written, between = open_writer(tmp_path, "one"), [], []
    write_lines = archive_writer.write_lines

    def write(connection, directory, *rest):
        files = write_lines(connection, directory, *rest)
        if directory.name.endswith("-one"):
            written.append(files)
            while between:
                between.pop()()
        return files

    monkeypatch.setattr(archive_writer, "write_lines", write)
    return one, between, written


def test_a_commit_whose_number_is_taken_gets_the_next_and_is_written_once(tmp_path, interrupted):
    one, between, written = interrupted
    other = open_writer(tmp_path, "other")
    between += [
        lambda: other.commit(Batch({1: [event_record(2)]})),
        lambda: other.commit(Batch({2: [event_record(3)]})),
    ]
    entry = one.commit(Batch({0: [event_record(1)]}))
    assert len(written) == 1
    assert (entry.number, entry.positions) == (3, {0: "2-0", 1: "3-0", 2: "4-0"})
    assert event_ids(tmp_path) == ["e1", "e2", "e3"]
    assert [path.name for path in table_files(tmp_path)] == [f"{n:012d}.parquet" for n in (1, 2, 3)]
    assert all((tmp_path / name).exists() for name in entry.files)
    assert not list((tmp_path / "staging").iterdir())


def test_a_rejected_line_moves_on_with_its_commit(tmp_path, interrupted):
    one, between, _ = interrupted
    other = open_writer(tmp_path, "other")
    between.append(lambda: other.commit(Batch({1: [event_record(2)]})))
    bad = StreamRecord("3-0", RecordType.EVENT, b'{"position":99999999999}')
    entry = one.commit(Batch({0: [event_record(1), bad]}))
    assert "rejected/events-000000000002.ndjson" in entry.files
    assert all((tmp_path / name).exists() for name in entry.files)
    assert event_ids(tmp_path) == ["e1", "e2"]


def test_a_commit_of_records_that_another_writer_has_archived_meanwhile_is_dropped(
    tmp_path, interrupted
):
    one, between, _ = interrupted
    other = open_writer(tmp_path, "other")
    between.append(lambda: other.commit(Batch({0: [event_record(1), event_record(2)]})))
    with pytest.raises(ConflictError, match="has archived these records"):
        one.commit(Batch({0: [event_record(1)]}))
    assert event_ids(tmp_path) == ["e1", "e2"]
    assert not list((tmp_path / "staging").iterdir())
    one.commit(Batch({0: [event_record(3)]}))
    assert event_ids(tmp_path) == ["e1", "e2", "e3"]
