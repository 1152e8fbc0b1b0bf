"""Backups to an object store and from it, of installations on a disk and in an object store."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from event_records import event_ids

from feed.cli import feed
from feed.domain import ArchiveError, ConflictError
from feed.models.bundle import ModelBundle
from feed.models.registry import ModelRegistry
from feed.storage.archive_erasures import add_erased, read_erased
from feed.storage.archive_upkeep import compact
from feed.storage.data_place import DataPlaceError
from feed.storage.embedded import EmbeddedStore
from feed.storage.installation_backup import backup_to_url, restore_from_url
from feed.storage.object_place import ObjectPlace
from feed.storage.redis_store import RedisStore
from feed.storage.working_copy import prepare_data_dir
from feed.worker.loop import Worker

NOW = 1_780_000_000.0
ERASED = {"boost": {"2026-05-01": {"control": 3}}}


@pytest.fixture
def used(store, store_settings, object_url, tmp_path, make_event):
    """An installation in an object store: 20 events archived, 10 in the streams, two models."""
    settings = replace(store_settings, data_dir=tmp_path / "old", data_url=f"{object_url}/old")
    prepare_data_dir(settings)
    worker = Worker(store, settings, "worker")
    for start in (0, 10):
        events = [
            make_event(user_id=f"u{n}", event_id=f"e{n:02}") for n in range(start, start + 10)
        ]
        store.append_events(events)
        worker.tick(NOW + 60 * start)
    worker.stop(NOW + 1200)
    compact(settings.data_dir / "archive", "2027-01-01")
    add_erased(settings.data_dir / "archive", ERASED)
    registry = ModelRegistry(settings.data_dir / "models")
    for version in ("a", "b"):
        registry.publish(ModelBundle(version=version))
        registry.set_live(version)
    store.append_events([make_event(user_id=f"v{n}", event_id=f"f{n}") for n in range(10)])
    return settings


@pytest.fixture
def empty_server(tmp_path):
    with EmbeddedStore(tmp_path / "new") as server:
        yield server


@pytest.mark.parametrize("kept_in", ["file://", "{}/new"])
def test_a_backup_comes_back_on_a_disk_or_in_a_store(
    used, object_url, tmp_path, empty_server, kept_in
):
    saved = backup_to_url(used, f"{object_url}/backups/monday")
    settings = replace(
        used,
        data_dir=tmp_path / "new",
        redis_url=empty_server.url,
        data_url=kept_in.format(object_url),
    )
    prepare_data_dir(settings)
    restored = restore_from_url(settings, f"{object_url}/backups/monday")
    assert restored.records == saved.records
    archive = settings.data_dir / "archive"
    assert event_ids(archive) == [f"e{n:02}" for n in range(20)]
    assert read_erased(archive) == ERASED
    registry = ModelRegistry(settings.data_dir / "models")
    assert (registry.live_version(), registry.earlier()) == ("b", ("a",))
    assert registry.load("b").version == "b"
    store = RedisStore(settings)
    Worker(store, settings, "new worker").tick(NOW + 5000)
    store.close()
    assert event_ids(archive) == [f"e{n:02}" for n in range(20)] + [f"f{n}" for n in range(10)]
    with pytest.raises(ConflictError):
        restore_from_url(settings, f"{object_url}/backups/monday")


def test_a_backup_never_overwrites_and_is_whole_or_none(used, object_url, tmp_path, empty_server):
    url = f"{object_url}/backups/monday"
    backup_to_url(used, url)
    with pytest.raises(ConflictError, match="already exists"):
        backup_to_url(used, url)
    place = ObjectPlace(url)
    settings = replace(used, data_dir=tmp_path / "new", redis_url=empty_server.url, data_url="")
    name = next(name for name in place.list() if name.endswith(".parquet"))
    data = place.read(name).data
    place.overwrite(name, data[:-1] + b"x")
    with pytest.raises(ArchiveError, match="does not have the content"):
        restore_from_url(settings, url)
    place.delete(name)
    with pytest.raises(ArchiveError, match="is not complete"):
        restore_from_url(settings, url)
    place.delete("backup.json")
    with pytest.raises(ArchiveError, match="is not a backup"):
        restore_from_url(settings, url)


def test_a_backup_of_an_earlier_version_comes_back(used, object_url, tmp_path, empty_server):
    url = f"{object_url}/backups/monday"
    (used.data_dir / "notes").mkdir()
    (used.data_dir / "notes" / ".empty").touch()
    saved = backup_to_url(used, url)
    place = ObjectPlace(url)
    manifest = json.loads(place.read("backup.json").data)
    place.create("digests.json", json.dumps(manifest.pop("digests")).encode())
    place.overwrite("backup.json", json.dumps(manifest).encode())
    settings = replace(used, data_dir=tmp_path / "new", redis_url=empty_server.url, data_url="")
    assert restore_from_url(settings, url) == saved
    assert event_ids(settings.data_dir / "archive") == [f"e{n:02}" for n in range(20)]
    assert (settings.data_dir / "notes" / ".empty").read_bytes() == b""


def test_a_restore_that_fails_leaves_no_objects(
    used, object_url, tmp_path, empty_server, monkeypatch
):
    backup_to_url(used, f"{object_url}/backups/monday")
    settings = replace(
        used,
        data_dir=tmp_path / "new",
        redis_url=empty_server.url,
        data_url=f"{object_url}/new",
    )
    prepare_data_dir(settings)
    create = ObjectPlace.create

    def fail_at_the_live_model(place, name, data):
        if name == "LIVE":
            raise DataPlaceError("the object store does not answer")
        create(place, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectPlace, "create", fail_at_the_live_model)
        with pytest.raises(ArchiveError, match="nothing was restored"):
            restore_from_url(settings, f"{object_url}/backups/monday")
    assert ObjectPlace(f"{object_url}/new").list() == []
    restore_from_url(settings, f"{object_url}/backups/monday")
    assert event_ids(settings.data_dir / "archive") == [f"e{n:02}" for n in range(20)]


def test_a_target_at_fault_is_one_line_and_exit_code_2(used, monkeypatch):
    monkeypatch.setenv("FEED_DATA_URL", used.data_url)
    monkeypatch.setenv("FEED_REDIS_URL", used.redis_url)
    for url, message in (
        ("s3://no-such-bucket/x", "TARGET: s3://no-such-bucket/x cannot be listed: NoSuchBucket"),
        ("http://x/y", "TARGET: must be file://"),
    ):
        result = CliRunner().invoke(feed, ["backup", url, "--data", str(used.data_dir)])
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert message in result.stderr
