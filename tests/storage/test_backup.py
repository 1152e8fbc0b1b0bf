"""Backup and restore of an installation, tried while it runs."""

import errno
import gzip
import json
import secrets
import shutil
from contextlib import closing
from dataclasses import replace

import pytest

from feed.domain import (
    ArchiveError,
    ConflictError,
    InvalidInputError,
    StoreUnavailableError,
)
from feed.preferences import Preferences
from feed.storage.archive import Archive
from feed.storage.archive_erasures import add_erased, read_erased
from feed.storage.backup_manifest import BACKUP_MANIFEST
from feed.storage.embedded import EmbeddedStore
from feed.storage.installation_backup import backup, copy_archive, restore
from feed.storage.key_names import Keys
from feed.storage.link import Link
from feed.storage.records import AuditEntry
from feed.storage.redis_store import RedisStore
from feed.storage.store_dump import END, MAGIC, Record, StoreDump, StoreLoad, _read, _write
from feed.worker.loop import Worker

NOW = 1_780_000_000.0
ENTRY = AuditEntry(NOW, "desk", "created", "experiments/calmer", None, {"owner": "desk"})
ERASED = {"boost": {"2026-05-01": {"control": 3, "off": 1}}}


@pytest.fixture
def used(store, store_settings, tmp_path, make_event, make_article, make_served):
    """An installation with 40 events archived, 10 more in the stream, articles and a model."""
    store_settings = replace(store_settings, data_dir=tmp_path / "old")
    worker = Worker(store, store_settings, "worker")
    store.append_events([make_event(user_id=f"u{n}", event_id=f"e{n}") for n in range(40)])
    worker.tick(NOW)
    worker.stop(NOW)
    store.append_events([make_event(user_id=f"v{n}", event_id=f"f{n}") for n in range(10)])
    store.write_articles([make_article("a"), make_article("b"), make_article("erased")])
    store.erase_article("erased", AuditEntry(NOW, "ed", "erased", "articles/erased"))
    store.write_preferences("u1", Preferences(languages=("de",)))
    store.add_sources({"quay": {"address": "https://quay.example/rss"}})
    store.write_source_state("quay", {"etag": "1"})
    store.write_experiment("calmer", {"a": 1}, version=1, entry=ENTRY)
    store.save_served(make_served(), new_slate=True)
    store.merge_reader("u2", "v1", NOW)
    add_erased(store_settings.data_dir / "archive", ERASED)
    (store_settings.data_dir / "models" / "v1").mkdir(parents=True)
    (store_settings.data_dir / "models" / "v1" / "factors.npy").write_bytes(b"numbers")
    return store_settings


@pytest.fixture
def empty_settings(used, tmp_path):
    with EmbeddedStore(tmp_path / "new") as server:
        yield replace(used, data_dir=tmp_path / "new", redis_url=server.url)


def event_ids(settings):
    columns = Archive(settings.data_dir / "archive").event_columns(0, 1e11, ["event_id"])
    return sorted(columns["event_id"].tolist())


def test_a_restored_installation_goes_on_where_the_backup_was_made(
    used, store, tmp_path, empty_settings
):
    report = backup(used, tmp_path / "copy")
    assert report.records > 40
    assert restore(empty_settings, tmp_path / "copy").records == report.records
    with closing(RedisStore(empty_settings)) as restored:
        assert restored.read_experiments() == store.read_experiments() != {}
        assert restored.read_audit(10) == store.read_audit(10)
        assert restored.read_audit(10, "experiments") == [ENTRY]
        assert restored.read_source("quay") == store.read_source("quay") != (None, None)
        for user_id in ("u1", "u2", "v1", "reader", "stranger"):
            assert restored.read_reader(user_id) == store.read_reader(user_id)
        assert (
            restored.read_for_page("reader", "request")[0]
            == store.read_for_page("reader", "request")[0]
        )
        assert len(list(restored.scan_articles())) == 2
        assert restored.read_states(["a", "erased"]) == store.read_states(["a", "erased"])
        assert restored.secret("x") == restored.secret("x")
        key = restored._keys.reader("h", "u1")
        assert 0 < restored._link.call(key, "TTL", key) <= 60 * 86_400
        worker = Worker(restored, empty_settings, "heir")
        worker.tick(NOW + 60)
        signals = worker.publisher.signals
        assert signals.counters.readers(signals.ids.rows(["article"])) == 49  # u2 and v1 are one
        assert restored.resolve("u2") == "v1"
    assert event_ids(empty_settings) == sorted(
        [f"e{n}" for n in range(40)] + [f"f{n}" for n in range(10)]
    )
    assert read_erased(empty_settings.data_dir / "archive") == ERASED
    assert (empty_settings.data_dir / "models" / "v1" / "factors.npy").read_bytes() == b"numbers"


def test_the_copied_archive_reaches_no_further_than_the_copied_streams(
    used, store, tmp_path, make_event
):
    worker = Worker(store, used, "another")
    worker.tick(NOW + 60)
    keys = Keys(used.namespace, used.partitions)
    with StoreDump(store._link, keys, used.namespace, tmp_path / "dump") as dump:
        ends = dump.write_streams()
    store.append_events([make_event(user_id=f"w{n}", event_id=f"g{n}") for n in range(10)])
    worker.tick(NOW + 120)
    assert len(event_ids(used)) == 60
    copied = replace(used, data_dir=tmp_path / "copied")
    copy_archive(used.data_dir / "archive", copied.data_dir / "archive", ends)
    assert event_ids(copied) == sorted([f"e{n}" for n in range(40)] + [f"f{n}" for n in range(10)])


def test_new_events_follow_the_old_ones_even_in_an_emptied_stream(used, tmp_path, empty_settings):
    backup(used, tmp_path / "copy")
    restore(empty_settings, tmp_path / "copy")
    with closing(RedisStore(used)) as old, closing(RedisStore(empty_settings)) as new:
        for partition in range(old.partitions):
            key = old._keys.stream(partition)
            if old._link.call(key, "EXISTS", key):
                facts = [s._link.call(key, "XINFO", "STREAM", key) for s in (old, new)]
                found = [dict(zip(f[::2], f[1::2], strict=True)) for f in facts]
                assert found[0][b"last-generated-id"] == found[1][b"last-generated-id"]


def test_a_backup_holds_no_salt(used, store, tmp_path, empty_settings):
    salt = store.daily_salt(20_000)
    store.write_blob("lasting", salt[::-1])
    backup(used, tmp_path / "copy")
    with gzip.open(tmp_path / "copy" / "store.dump.gz") as file:
        dump = file.read()
    assert salt[::-1] in dump
    assert salt not in dump


def test_what_a_trainer_writes_aside_is_not_copied(used, tmp_path):
    runs = used.data_dir / "models" / "runs"
    runs.mkdir(parents=True)
    for name in ("r1.json", "r1.7.tmp"):
        (runs / name).write_text("{}")
    (used.data_dir / "models" / ".writing-v1-7").mkdir()
    backup(used, tmp_path / "backup")
    copied = {path.name for path in (tmp_path / "backup").rglob("*")}
    assert "r1.json" in copied
    assert not copied & {"r1.7.tmp", ".writing-v1-7"}


def test_two_backups_of_one_name_leave_each_other_alone(
    used, tmp_path, empty_settings, monkeypatch
):
    copy_values = StoreDump.write_values

    def write_values(dump):
        with pytest.raises(ConflictError, match="another process is writing"):
            backup(used, tmp_path / "copy")
        copy_values(dump)

    monkeypatch.setattr(StoreDump, "write_values", write_values)
    report = backup(used, tmp_path / "copy")
    monkeypatch.undo()
    assert report.records > 0
    assert restore(empty_settings, tmp_path / "copy") == report
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


def test_what_a_killed_backup_has_left_is_not_in_the_next_one(used, tmp_path):
    left = tmp_path / ".copy.unfinished" / "files" / "archive"
    left.mkdir(parents=True)
    (left / "half.parquet").write_text("half")
    (left.parents[1] / "half.dump").write_text("half")
    backup(used, tmp_path / "copy")
    assert not list((tmp_path / "copy").rglob("half*"))


def nothing_was_restored(settings):
    kept = [path.name for path in settings.data_dir.iterdir() if path.name != "store"]
    link = Link(settings.redis_url, cluster=False, timeout_s=5)
    keys = [key for batch in link.scan(100) for key in batch]
    link.close()
    return not kept and not keys


def without_digests(copy):
    """Make a backup one of an earlier version."""
    manifest = json.loads((copy / BACKUP_MANIFEST).read_text())
    del manifest["digests"]
    (copy / BACKUP_MANIFEST).write_text(json.dumps(manifest))


def lose(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def change(path):
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def add(path):
    path.with_name("another.parquet").write_bytes(b"rows")


@pytest.mark.parametrize(
    ("harm", "fault"),
    [(lose, "missing"), (cut, "changed"), (change, "changed"), (add, "does not belong")],
)
def test_a_backup_with_other_files_than_were_saved_is_refused(
    used, tmp_path, empty_settings, harm, fault
):
    backup(used, tmp_path / "copy")
    harm(next((tmp_path / "copy" / "files" / "archive" / "events").rglob("*.parquet")))
    with pytest.raises(ArchiveError, match=fault):
        restore(empty_settings, tmp_path / "copy")
    assert nothing_was_restored(empty_settings)


@pytest.mark.parametrize("harm", [lose, cut, add])
def test_of_an_earlier_backup_the_number_and_size_of_files_are_compared(
    used, tmp_path, empty_settings, harm
):
    for name in ("harmed", "whole"):
        backup(used, tmp_path / name)
        without_digests(tmp_path / name)
    harm(next((tmp_path / "harmed" / "files" / "archive" / "events").rglob("*.parquet")))
    with pytest.raises(ArchiveError, match=r"is incomplete or damaged: it holds \d+ files"):
        restore(empty_settings, tmp_path / "harmed")
    assert nothing_was_restored(empty_settings)
    restore(empty_settings, tmp_path / "whole")


@pytest.mark.parametrize("name", ["namespace", "partitions", "files", "size_bytes"])
def test_a_manifest_that_lacks_something_is_refused_and_names_it(
    used, tmp_path, empty_settings, name
):
    backup(used, tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / BACKUP_MANIFEST).read_text())
    del manifest[name]
    (tmp_path / "copy" / BACKUP_MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InvalidInputError, match=f"must hold {name}"):
        restore(empty_settings, tmp_path / "copy")


def test_a_backup_never_overwrites(used, tmp_path, empty_settings):
    (tmp_path / "there").mkdir()
    with pytest.raises(ConflictError, match="exists"):
        backup(used, tmp_path / "there")
    with pytest.raises(ConflictError, match="lies in"):
        backup(used, used.data_dir / "copy")
    backup(used, tmp_path / "copy")
    with pytest.raises(ConflictError, match="exists"):
        restore(used, tmp_path / "copy")
    restore(empty_settings, tmp_path / "copy")
    shutil.rmtree(empty_settings.data_dir / "archive")
    shutil.rmtree(empty_settings.data_dir / "models")
    with pytest.raises(ConflictError, match="already holds data"):
        restore(empty_settings, tmp_path / "copy")


def test_a_damaged_or_foreign_backup_is_refused_and_changes_nothing(used, tmp_path, empty_settings):
    for manifest in (None, "[1]", "{}", "no JSON", '{"format": 99}'):
        if manifest is not None:
            (tmp_path / BACKUP_MANIFEST).write_text(manifest)
        with pytest.raises(InvalidInputError, match=r"is not a backup|is a backup of format 99"):
            restore(empty_settings, tmp_path)
    backup(used, tmp_path / "copy")
    with pytest.raises(ConflictError, match="16 partitions"):
        restore(replace(empty_settings, partitions=4), tmp_path / "copy")
    with pytest.raises(ConflictError, match="namespace"):
        restore(replace(empty_settings, namespace="other"), tmp_path / "copy")
    dump = tmp_path / "copy" / "store.dump.gz"
    dump.write_bytes(dump.read_bytes()[:-50])
    with pytest.raises(ArchiveError, match="is incomplete"):
        restore(empty_settings, tmp_path / "copy")
    with closing(RedisStore(empty_settings)) as untouched:
        assert list(untouched.scan_articles()) == []


class StoppedError(BaseException):
    """Ends a restore as Ctrl-C does."""


def full_disk(source, target, **options):
    raise OSError(errno.ENOSPC, "No space left on device", str(target))


def stop(*args):
    raise StoppedError


def test_a_backup_that_fails_leaves_nothing_and_names_one_file(used, tmp_path, monkeypatch):
    (used.data_dir / "models" / "v1" / "sections.npy").write_bytes(b"numbers")
    present = set(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", full_disk)
        with pytest.raises(ArchiveError) as raised:
            backup(used, tmp_path / "copy")
        shutil.rmtree(used.data_dir / "archive")
        with pytest.raises(ArchiveError) as of_models:
            backup(used, tmp_path / "copy")
    for error in (raised, of_models):
        assert str(error.value).startswith("cannot write the backup: [Errno 28] No space left")
        assert str(error.value).count(str(tmp_path)) == 1
    assert set(tmp_path.iterdir()) == present
    backup(used, tmp_path / "copy")


@pytest.mark.parametrize(
    ("place", "failing", "error"),
    [
        ("shutil.copyfile", full_disk, ArchiveError),
        ("feed.storage.installation_backup._put_in_place", stop, StoppedError),
        ("feed.storage.store_dump.StoreLoad.finish", stop, StoppedError),
    ],
)
def test_a_restore_that_fails_leaves_nothing_and_can_be_repeated(
    used, tmp_path, empty_settings, monkeypatch, place, failing, error
):
    report = backup(used, tmp_path / "copy")
    monkeypatch.setattr(place, failing)
    with pytest.raises(error) as raised:
        restore(empty_settings, tmp_path / "copy")
    monkeypatch.undo()
    assert error is StoppedError or str(raised.value).startswith("nothing was restored: ")
    assert nothing_was_restored(empty_settings)
    assert restore(empty_settings, tmp_path / "copy") == report
    assert len(event_ids(empty_settings)) == 40


def test_a_store_that_becomes_full_is_emptied_again(used, tmp_path, empty_settings):
    with closing(RedisStore(used)) as store:
        store.write_blob("large", secrets.token_bytes(3_000_000))
    report = backup(used, tmp_path / "copy")
    with closing(Link(empty_settings.redis_url, cluster=False, timeout_s=5)) as link:
        link.every_node("CONFIG", "SET", "maxmemory", "3mb")
        with pytest.raises(StoreUnavailableError, match="nothing was restored"):
            restore(empty_settings, tmp_path / "copy")
        link.every_node("CONFIG", "SET", "maxmemory", "0")
    assert nothing_was_restored(empty_settings)
    assert restore(empty_settings, tmp_path / "copy") == report


def test_a_record_that_the_store_does_not_accept_is_no_defect(used, tmp_path, empty_settings):
    backup(used, tmp_path / "copy")
    without_digests(tmp_path / "copy")
    dump = tmp_path / "copy" / "store.dump.gz"
    records = list(_read(dump))
    with gzip.open(dump, "wb", compresslevel=1) as file:
        file.write(MAGIC)
        for record in [*records[:-1], replace(records[-1], data=b"no dump")]:
            _write(file, record)
        _write(file, Record(END, b"", 0, str(len(records)).encode()))
    manifest = json.loads((tmp_path / "copy" / BACKUP_MANIFEST).read_text())
    files = [p for p in (tmp_path / "copy").rglob("*") if p.is_file() and p.name != BACKUP_MANIFEST]
    manifest["size_bytes"] = sum(path.stat().st_size for path in files)
    (tmp_path / "copy" / BACKUP_MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArchiveError, match="the store does not accept a record"):
        restore(empty_settings, tmp_path / "copy")
    assert nothing_was_restored(empty_settings)


def test_a_dump_that_cannot_be_unpacked_is_no_defect(used, tmp_path, empty_settings):
    backup(used, tmp_path / "copy")
    without_digests(tmp_path / "copy")
    dump = tmp_path / "copy" / "store.dump.gz"
    data = dump.read_bytes()
    start = data.index(b"\0", 10) + 1  # the header ends with the file's name
    dump.write_bytes(data[:start] + b"\xff" * 8 + data[start + 8 :])
    with pytest.raises(ArchiveError, match=r"store\.dump\.gz is incomplete"):
        restore(empty_settings, tmp_path / "copy")
    assert nothing_was_restored(empty_settings)


def test_a_node_of_a_cluster_that_does_not_answer_ends_a_restore(
    used, tmp_path, empty_settings, monkeypatch
):
    backup(used, tmp_path / "copy")
    with monkeypatch.context() as patch:

        def leave_out(_, commands):
            patch.undo()
            return [None] * len(commands)

        patch.setattr(Link, "spread", leave_out)
        with pytest.raises(StoreUnavailableError, match="nothing was restored: a node"):
            restore(empty_settings, tmp_path / "copy")
    assert nothing_was_restored(empty_settings)


def test_no_service_starts_on_what_a_killed_restore_has_left(used, tmp_path, empty_settings):
    report = backup(used, tmp_path / "copy")
    keys = Keys(used.namespace, used.partitions)
    link = Link(empty_settings.redis_url, cluster=False, timeout_s=5)
    killed = StoreLoad(link, keys, used.namespace).__enter__()
    killed.load(tmp_path / "copy" / "store.dump.gz")
    with closing(RedisStore(empty_settings)) as store, pytest.raises(ConflictError, match="again"):
        store.read_reader("u1")
    part, aside = empty_settings.data_dir / "archive", empty_settings.data_dir / ".restoring"
    for folder in (part, aside):
        folder.mkdir(parents=True)
    (part / "half").write_text("copied")
    (aside / "placing").write_text('["archive"]')
    assert restore(empty_settings, tmp_path / "copy") == report
    assert not (part / "half").exists()
    assert not aside.exists()
    link.close()


def test_a_store_with_a_key_of_its_own_is_not_empty(used, tmp_path, empty_settings):
    backup(used, tmp_path / "copy")
    with closing(RedisStore(empty_settings)) as store:
        secret = store.secret("x")
        with pytest.raises(ConflictError, match="already holds data"):
            restore(empty_settings, tmp_path / "copy")
        assert store.secret("x") == secret


@pytest.mark.parametrize("part", ["archive", "models"])
def test_a_part_that_the_backup_lacks_is_not_taken_from_what_is_there(
    used, tmp_path, empty_settings, part
):
    shutil.rmtree(used.data_dir / part)
    backup(used, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "files" / part, ignore_errors=True)
    (empty_settings.data_dir / part).mkdir()
    (empty_settings.data_dir / part / "earlier").write_text("mine")
    with pytest.raises(ConflictError, match=f"{part} already exists"):
        restore(empty_settings, tmp_path / "copy")
    assert (empty_settings.data_dir / part / "earlier").read_text() == "mine"
