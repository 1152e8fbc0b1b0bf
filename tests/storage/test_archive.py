"""Writing the archive and reading it back, with the writer dying at every step."""

import errno
import json

import duckdb
import numpy as np
import orjson
import pytest
from slates import make_slots

from feed.domain import ArchiveError, ConflictError
from feed.storage import archive_ledger
from feed.storage.archive import Archive
from feed.storage.archive_files import is_whole, table_files
from feed.storage.archive_ledger import Ledger
from feed.storage.archive_schema import TABLES, day_of
from feed.storage.archive_upkeep import compact, erase_users, expire, expire_articles
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import CatalogueChange, RecordType, StreamRecord
from tests.support.event_records import event_record

NOW = 1_780_000_000.0
DAY = 86_400.0


def erase_record(number, user_id):
    payload = orjson.dumps({"user_id": user_id})
    return StreamRecord(f"{number + 1}-0", RecordType.ERASE, payload)


def nothing(*_):
    return []


def open_writer(directory, owner="me", reread=nothing):
    writer = ArchiveWriter(directory, owner)
    writer.recover(reread)
    return writer


def event_ids(directory):
    return sorted(Archive(directory).event_columns(0, 1e11)["event_id"].tolist())


def test_an_archive_that_is_not_there_has_no_rows_but_every_column(tmp_path):
    archive = Archive(tmp_path / "nowhere")
    assert list(archive.event_columns(0, 1e11)) == [c.name for c in TABLES["events"].columns]
    assert list(archive.served_columns(0, 1e11)) == [c.name for c in TABLES["served"].columns]
    assert list(archive.articles()) == [c.name for c in TABLES["articles"].columns]
    assert archive.event_columns(0, 1e11)["occurred_at"].dtype == np.float64
    assert archive.span() is None
    assert archive.export_user("u") == {"events": [], "served": [], "identities": []}


def test_events_come_back_as_columns(tmp_path):
    context = {"device": "phone", "platform": "ios", "note": 'quo"te\n\u0000'}
    record = event_record(1, dwell_s=2.5, position=3, request_id="r", context=context)
    open_writer(tmp_path).commit(Batch({4: [record, event_record(2)]}))
    columns = Archive(tmp_path).event_columns(NOW, NOW + 1)
    row = {name: values.tolist() for name, values in columns.items()}
    assert row["event_id"] == ["e1", "e2"]
    assert row["occurred_at"] == row["received_at"] == [NOW, NOW]
    assert row["position"] == [3, -1]
    assert row["request_id"] == ["r", None]
    assert row["dwell_s"][0] == 2.5
    assert np.isnan(row["dwell_s"][1])
    assert row["device"] == ["phone", ""]
    assert row["platform"] == ["ios", ""]
    assert json.loads(row["context"][0]) == context
    assert row["first"] == [True, True]
    assert row["partition"] == [4, 4]
    assert row["stream_id"] == ["2-0", "3-0"]


def test_what_only_counting_needs_is_cut_off_and_nothing_that_looks_like_it(
    store, tmp_path, make_event
):
    text = 'a,"previous":[["b",1]],"likes":0}'
    clicks = [
        make_event(event_id=f"e{n}", article_id=text, occurred_at=NOW + n, context={"note": text})
        for n in range(2)
    ]
    other = make_event(event_id="e2", article_id="other", occurred_at=NOW + 2)
    store.append_events([*clicks, other])
    partition = store._keys.partition(other.user_id)
    records = store.read_stream(partition, "0-0", 10)
    assert orjson.loads(records[-1].payload)["previous"] == [[text, NOW + 1]]
    open_writer(tmp_path).commit(Batch({partition: records}))
    columns = Archive(tmp_path).event_columns(NOW, NOW + 3)
    assert columns["event_id"].tolist() == ["e0", "e1", "e2"]
    assert columns["article_id"].tolist() == [text, text, "other"]
    assert columns["first"].tolist() == [True, False, True]
    assert columns["user_id"].tolist() == [other.user_id] * 3
    assert [json.loads(one) for one in columns["context"][:2]] == [{"note": text}] * 2


def test_the_window_is_half_open_and_late_events_are_found(tmp_path):
    late = event_record(3, occurred_at=NOW + 5, received_at=NOW + 9 * DAY)
    records = [event_record(n, received_at=NOW + n) for n in range(3)]
    open_writer(tmp_path).commit(Batch({0: [*records, late]}))
    archive = Archive(tmp_path)
    assert archive.event_columns(NOW, NOW + 2)["event_id"].tolist() == ["e0", "e1"]
    assert archive.event_columns(NOW + 2, NOW + 6)["event_id"].tolist() == ["e2", "e3"]
    chosen = archive.event_columns(NOW, NOW + 9, ["kind", "event_id"], "event_id = ?", ["e1"])
    assert {name: v.tolist() for name, v in chosen.items()} == {
        "event_id": ["e1"],
        "kind": ["click"],
    }
    assert archive.span() == (NOW, NOW + 5)
    with pytest.raises(ArchiveError, match="no column"):
        archive.event_columns(0, 1, ["nonsense"])


def test_events_of_one_moment_come_in_the_order_of_their_acknowledgement(tmp_path):
    records = [event_record(n)._replace(stream_id=f"5-{n}") for n in range(12)]
    open_writer(tmp_path).commit(Batch({0: records}))
    ids = Archive(tmp_path).event_columns(0, 1e11, ["event_id"])["event_id"]
    assert ids.tolist() == [f"e{n}" for n in range(12)]


def test_each_day_has_its_file_that_anybody_can_read(tmp_path):
    records = [event_record(n, received_at=NOW + n * DAY) for n in range(3)]
    open_writer(tmp_path).commit(Batch({0: records}))
    days = [path.parent.name for path in table_files(tmp_path, "events")]
    assert days == [f"day={day_of(NOW + n * DAY)}" for n in range(3)]
    with duckdb.connect() as connection:
        (types,) = connection.execute(
            "SELECT list(typeof(occurred_at)) FROM read_parquet(?)",
            [str(tmp_path / "events" / "*" / "*.parquet")],
        ).fetchall()
    assert types[0] == ["TIMESTAMP WITH TIME ZONE"] * 3


def test_many_days_in_one_commit_lose_nothing(tmp_path):
    records = [event_record(n, received_at=NOW + (n % 110) * DAY) for n in range(330)]
    commit = open_writer(tmp_path).commit(Batch({0: records}))
    assert len(commit.files) == 110
    assert set(commit.files.values()) == {3}
    assert len(event_ids(tmp_path)) == 330


def test_served_slots_come_back_as_rows(store, tmp_path, make_served):
    store.save_served(make_served(), new_slate=True)
    partition = store._keys.partition("reader")
    records = store.read_stream(partition, "0-0", 10)
    open_writer(tmp_path).commit(Batch({partition: records}))
    rows = Archive(tmp_path).served_columns(NOW, NOW + 1)
    assert rows["article_id"].tolist() == ["a0", "a1"]
    assert rows["position"].tolist() == [0, 1]
    assert rows["score"].tolist() == [1.0, 0.5]
    assert rows["sources"].tolist() == ["fresh,trending"] * 2
    assert rows["reason"].tolist() == ["new"] * 2
    assert rows["trending"].tolist() == [True, False]
    assert rows["explored"].tolist() == [False, True]
    assert rows["propensity"].tolist() == [1.0, 0.25]
    assert rows["page_size"].tolist() == [2, 2]
    assert rows["platform"].tolist() == ["web"] * 2
    assert [json.loads(e) for e in rows["experiments"]] == [{"boost": "treatment"}] * 2
    assert rows["user_id"].tolist() == ["reader"] * 2
    assert rows["rung"].tolist() == ["without_model"] * 2


def test_a_feed_without_slots_leaves_no_row(store, tmp_path, make_served):
    store.save_served(make_served(slots=make_slots([]), shown_to=0), new_slate=True)
    partition = store._keys.partition("reader")
    commit = open_writer(tmp_path).commit(
        Batch({partition: store.read_stream(partition, "0-0", 9)})
    )
    assert commit.files == {}
    assert partition in open_writer(tmp_path).positions


def test_a_line_that_cannot_be_a_row_holds_up_nobody(tmp_path):
    poison = event_record(3, position=10**15)
    batch = Batch({0: [event_record(1), event_record(2), poison, event_record(4)]})
    open_writer(tmp_path).commit(batch)
    assert event_ids(tmp_path) == ["e1", "e2", "e4"]
    (rejected,) = (tmp_path / "rejected").iterdir()
    assert orjson.loads(rejected.read_bytes())["event_id"] == "e3"
    open_writer(tmp_path).commit(Batch({0: [event_record(5, occurred_at=1e300)]}))
    assert event_ids(tmp_path) == ["e1", "e2", "e4"]
    assert open_writer(tmp_path).positions == {0: "6-0"}


def test_articles_are_shown_as_of_a_time(tmp_path, make_article):
    writer = open_writer(tmp_path)
    first = CatalogueChange("a", make_article("a", title="Old"))
    writer.commit(Batch({}, [first, CatalogueChange("b", make_article("b"))], "5-0", NOW))
    better = CatalogueChange("a", make_article("a", title="New"))
    writer.commit(Batch({}, [better, CatalogueChange("b", None)], "7-0", NOW + 10))
    archive = Archive(tmp_path)
    now = archive.articles()
    assert dict(zip(now["article_id"], now["title"], strict=True)) == {"a": "New", "b": ""}
    assert dict(zip(now["article_id"], now["deleted"], strict=True)) == {"a": False, "b": True}
    before = archive.articles(as_of=NOW + 10)
    assert before["title"].tolist() == ["Old", "A title"]
    np.testing.assert_allclose(before["embedding"][0], [0.6, 0.8, 0.0])
    assert writer.catalogue == "7-0"
    assert open_writer(tmp_path).catalogue == "7-0"


def test_positions_are_what_the_archive_itself_says(tmp_path):
    writer = open_writer(tmp_path)
    writer.commit(Batch({0: [event_record(1)], 3: [event_record(7)]}))
    writer.commit(Batch({0: [event_record(2)]}))
    assert open_writer(tmp_path).positions == {0: "3-0", 3: "8-0"}


def undo_commit(directory, number, *, with_entry, files):
    """Put an archive back to where a writer's death in its last commit would have left it.

    `files` (all or the first few) go back to the staging directory; `with_entry` says whether
    the ledger entry had been made.
    """
    entry = directory / "ledger" / f"{number:012d}.json"
    names = list(Ledger(directory).last().files)[:files]
    for name in names:
        staged = directory / "staging" / f"{number:012d}-me" / name
        staged.parent.mkdir(parents=True)
        (directory / name).replace(staged)
    if not with_entry:
        entry.unlink()


@pytest.mark.parametrize(
    ("with_entry", "files", "kept"), [(False, 2, False), (True, 2, True), (True, 1, True)]
)
def test_a_commit_is_whole_or_not_there_wherever_the_writer_dies(tmp_path, with_entry, files, kept):
    writer = open_writer(tmp_path)
    writer.commit(Batch({0: [event_record(1)]}))
    batch = Batch({0: [event_record(2), event_record(3, received_at=NOW + DAY)]})
    writer.commit(batch)
    undo_commit(tmp_path, 2, with_entry=with_entry, files=files)
    heir = open_writer(tmp_path, "heir")
    assert heir.positions == {0: "4-0" if kept else "2-0"}
    assert event_ids(tmp_path) == (["e1", "e2", "e3"] if kept else ["e1"])
    assert not list((tmp_path / "staging").iterdir())
    if not kept:
        heir.commit(batch)
        assert event_ids(tmp_path) == ["e1", "e2", "e3"]


def test_half_written_files_of_a_dead_writer_are_cleared_away(tmp_path):
    open_writer(tmp_path).commit(Batch({0: [event_record(1)]}))
    half = tmp_path / "staging" / "000000000002-dead" / "events"
    half.mkdir(parents=True)
    (half / "events.ndjson").write_bytes(b"{")
    heir = open_writer(tmp_path)
    assert not list((tmp_path / "staging").iterdir())
    heir.commit(Batch({0: [event_record(2)]}))
    assert event_ids(tmp_path) == ["e1", "e2"]


def test_two_writers_cannot_make_the_same_commit(tmp_path):
    first, second = open_writer(tmp_path, "first"), open_writer(tmp_path, "second")
    first.commit(Batch({0: [event_record(1)]}))
    with pytest.raises(ConflictError):
        second.commit(Batch({0: [event_record(1)]}))
    assert event_ids(tmp_path) == ["e1"]
    commit = Ledger(tmp_path).last()
    with pytest.raises(ConflictError):
        Ledger(tmp_path).add(commit)


def test_an_archive_that_cannot_be_written_adds_nothing(tmp_path):
    writer = open_writer(tmp_path)
    (tmp_path / "staging").write_text("a file where a directory must be")
    with pytest.raises(ArchiveError, match="write"):
        writer.commit(Batch({0: [event_record(1)]}))
    (tmp_path / "staging").unlink()
    writer.commit(Batch({0: [event_record(1)]}))
    assert event_ids(tmp_path) == ["e1"]


def test_an_entry_that_cannot_be_written_adds_nothing(tmp_path, monkeypatch):
    writer, other = open_writer(tmp_path), open_writer(tmp_path, "other")

    def refuse(path, _):
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(archive_ledger, "write_durably", refuse)
    with pytest.raises(ArchiveError, match="No space left"):
        writer.commit(Batch({0: [event_record(1)]}))
    assert event_ids(tmp_path) == []
    other.commit(Batch({1: [event_record(2)]}))  # takes the number and the names of the files
    writer.commit(Batch({0: [event_record(1)]}))
    assert event_ids(tmp_path) == ["e1", "e2"]


@pytest.mark.parametrize("restarts", [False, True])
def test_an_entry_whose_name_the_disk_confirmed_late_loses_no_file(tmp_path, monkeypatch, restarts):
    writer = open_writer(tmp_path)
    sync_directory = archive_ledger.sync_directory

    def refuse(path):
        monkeypatch.setattr(archive_ledger, "sync_directory", sync_directory)
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(archive_ledger, "sync_directory", refuse)
    with pytest.raises(ArchiveError, match="Input/output error"):
        writer.commit(Batch({0: [event_record(1)]}))
    if restarts:
        writer = open_writer(tmp_path)
    else:
        with pytest.raises(ConflictError):  # it is archived already, which the writer finds out
            writer.commit(Batch({0: [event_record(1)]}))
    assert writer.positions == {0: "2-0"}
    writer.commit(Batch({0: [event_record(2)]}))
    assert event_ids(tmp_path) == ["e1", "e2"]


@pytest.mark.parametrize("size", [0, 6, 200])
def test_a_truncated_file_is_set_aside_and_archived_again(tmp_path, size):
    records = {0: [event_record(n) for n in range(5)], 1: [event_record(9)]}
    open_writer(tmp_path).commit(Batch(records))
    open_writer(tmp_path).commit(Batch({0: [event_record(5)]}))
    damaged = table_files(tmp_path, "events")[0]
    with damaged.open("rb+") as file:
        file.truncate(size)
    assert not is_whole(damaged)
    open_writer(tmp_path, reread=lambda partition, *_: records[partition])
    assert event_ids(tmp_path) == ["e0", "e1", "e2", "e3", "e4", "e5", "e9"]
    assert (tmp_path / "damaged" / damaged.relative_to(tmp_path)).exists()
    damaged.write_bytes(b"")
    open_writer(tmp_path)
    assert event_ids(tmp_path) == ["e5"]


def test_a_damaged_log_of_articles_is_made_again_from_the_catalogue(tmp_path, make_article):
    change = CatalogueChange("a", make_article("a"))
    open_writer(tmp_path).commit(Batch({}, [change], "5-0", NOW))
    table_files(tmp_path, "articles")[0].write_bytes(b"PAR1")
    assert open_writer(tmp_path).catalogue == ""


def test_compaction_keeps_every_row(tmp_path):
    writer = open_writer(tmp_path)
    for number in range(4):
        writer.commit(Batch({0: [event_record(number)]}))
    today, tomorrow = day_of(NOW), day_of(NOW + DAY)
    expected = event_ids(tmp_path)
    assert compact(tmp_path, today, gather=5) == 0
    assert compact(tmp_path, today, gather=4) == 4
    assert len(table_files(tmp_path)) == 1
    assert event_ids(tmp_path) == expected
    writer.commit(Batch({0: [event_record(100)]}))
    assert compact(tmp_path, today, gather=4) == 0
    assert compact(tmp_path, tomorrow) == 2
    assert event_ids(tmp_path) == sorted([*expected, "e100"])
    assert open_writer(tmp_path).positions == {0: "101-0"}


def test_a_large_file_is_not_rewritten_with_every_few_small_ones(tmp_path):
    writer = open_writer(tmp_path)
    writer.commit(Batch({0: [event_record(n, dwell_s=n % 97 * 0.7) for n in range(10_000)]}))
    (large,) = table_files(tmp_path)
    for number in range(10_000, 10_005):
        writer.commit(Batch({0: [event_record(number)]}))
    before = large.stat().st_mtime_ns
    assert compact(tmp_path, day_of(NOW), gather=6) == 5
    merged = [path for path in table_files(tmp_path) if path != large]
    assert [path.stem for path in merged] == ["000000000002-000000000006"]
    assert large.stat().st_mtime_ns == before
    rows = duckdb.sql(f"SELECT event_id FROM '{merged[0]}'").fetchall()
    assert rows == [(f"e{number}",) for number in range(10_000, 10_005)]
    assert len(event_ids(tmp_path)) == 10_005


@pytest.mark.parametrize("steps_done", [0, 1, 2])
def test_a_compaction_that_dies_is_finished(tmp_path, steps_done):
    """The plan of the swap is written; the new file is in place or not; an old one is gone."""
    writer = open_writer(tmp_path)
    for number in range(3):
        writer.commit(Batch({0: [event_record(number)]}))
    old = table_files(tmp_path)
    kept = [path.read_bytes() for path in old]
    assert compact(tmp_path, day_of(NOW + DAY)) == 3
    (merged,) = table_files(tmp_path)
    name = merged.relative_to(tmp_path).as_posix()
    for path, data in list(zip(old, kept, strict=True))[1 if steps_done == 2 else 0 :]:
        path.write_bytes(data)
    if steps_done == 0:
        (tmp_path / "staging" / "upkeep").mkdir()
        merged.replace(tmp_path / "staging" / "upkeep" / "new")
    plan = {
        "new": {"staging/upkeep/new": name},
        "old": [path.relative_to(tmp_path).as_posix() for path in old],
    }
    (tmp_path / "swap.json").write_bytes(orjson.dumps(plan))
    open_writer(tmp_path)
    assert event_ids(tmp_path) == ["e0", "e1", "e2"]
    assert table_files(tmp_path) == [merged]


def test_old_days_expire_but_articles_stay(tmp_path, make_article):
    records = [event_record(n, received_at=NOW + n * DAY) for n in range(3)]
    change = CatalogueChange("a", make_article("a"))
    open_writer(tmp_path).commit(Batch({0: records}, [change], "1-0", NOW))
    assert expire(tmp_path, day_of(NOW + DAY)) == [f"events/day={day_of(NOW)}"]
    assert event_ids(tmp_path) == ["e1", "e2"]
    assert len(table_files(tmp_path, "articles")) == 1


def test_of_expired_days_the_last_state_of_each_article_stays_until_it_is_deleted(
    tmp_path, make_article
):
    writer = open_writer(tmp_path)
    for day, changes in enumerate(
        (
            [CatalogueChange("a", make_article("a", title="first")), added("b", make_article)],
            [CatalogueChange("a", make_article("a", title="second")), CatalogueChange("b", None)],
            [CatalogueChange("a", make_article("a", title="third")), added("c", make_article)],
        )
    ):
        writer.commit(Batch({}, changes, f"{day + 1}-0", NOW + day * DAY))
    later = day_of(NOW + 2 * DAY)
    assert expire_articles(tmp_path, later) == 2
    assert expire_articles(tmp_path, later) == 0
    assert titles(tmp_path, NOW + 2 * DAY) == {"a": "second"}
    assert titles(tmp_path, NOW + 3 * DAY) == {"a": "third", "c": "A title"}


def added(article_id, make_article):
    return CatalogueChange(article_id, make_article(article_id, title="A title"))


def titles(directory, as_of):
    columns = Archive(directory).articles(as_of)
    return dict(zip(columns["article_id"].tolist(), columns["title"].tolist(), strict=True))


def test_a_reader_is_erased_from_every_file(tmp_path):
    writer = open_writer(tmp_path)
    for day in range(3):
        both = [event_record(2 * day + n, u, NOW + day * DAY) for n, u in enumerate(("u", "o'x"))]
        writer.commit(Batch({0: both}))
    assert erase_users(tmp_path, ["o'x", "stranger"]) == 3
    assert erase_users(tmp_path, ["o'x"]) == 0
    assert erase_users(tmp_path, []) == 0
    users = Archive(tmp_path).event_columns(0, 1e11, ["user_id"])["user_id"]
    assert users.tolist() == ["u"] * 3


def test_erasure_reaches_what_was_rejected_or_set_aside(tmp_path):
    writer = open_writer(tmp_path)
    writer.commit(Batch({0: [event_record(n, u, position=10**15) for n, u in enumerate("uv")]}))
    (tmp_path / "damaged").mkdir()
    assert erase_users(tmp_path, ["u"]) == 1
    (rejected,) = (tmp_path / "rejected").iterdir()
    assert orjson.loads(rejected.read_bytes())["user_id"] == "v"
    assert not (tmp_path / "damaged").exists()
    assert erase_users(tmp_path, ["v"]) == 1
    assert not list((tmp_path / "rejected").iterdir())


def test_what_a_reader_did_before_erasure_is_not_archived(tmp_path):
    batch = [event_record(0), event_record(1, "v"), erase_record(2, "u"), event_record(3)]
    open_writer(tmp_path).commit(Batch({0: batch}))
    assert event_ids(tmp_path) == ["e1", "e3"]


def test_a_damaged_file_is_an_archive_error_for_readers(tmp_path):
    open_writer(tmp_path).commit(Batch({0: [event_record(1)]}))
    table_files(tmp_path)[0].write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(ArchiveError, match="cannot be read"):
        Archive(tmp_path).event_columns(0, 1e11)
