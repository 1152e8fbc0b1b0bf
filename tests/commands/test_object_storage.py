"""Commands of an installation whose archive, models and reports are in an object store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from lab.faults.object_proxy import Fault
from simulated_newsroom import write_newsroom

from feed.cli import feed
from feed.config import Settings
from feed.domain import ConflictError, format_time
from feed.models.bundle import ModelBundle
from feed.models.registry import ModelRegistry
from feed.models.trainer_lease import held_lease, refuse_beside_another
from feed.models.training_runs import list_runs, read_log
from feed.service.app import create_app
from feed.service.followers import ModelFollower
from feed.service.object_follower import ObjectFollower
from feed.storage.working_copy import prepare_data_dir, remote_of

QUICK = (
    "--set", "factors=8", "--set", "iterations=3", "--set", "ranker_trees=10",
    "--set", "ranker_min_impressions=100", "--threads", "1",
)  # fmt: skip


def run(*arguments: str) -> Result:
    return CliRunner().invoke(feed, [*arguments], catch_exceptions=False)


@pytest.fixture
def machine(object_url, tmp_path, monkeypatch):
    """Prepare a data directory on the object store, as a machine of its own."""
    monkeypatch.setenv("FEED_DATA_URL", object_url)

    def prepare(name: str) -> Path:
        settings = replace(Settings(), data_dir=tmp_path / name, data_url=object_url)
        settings.data_dir.mkdir()
        prepare_data_dir(settings)
        return settings.data_dir

    return prepare


def test_a_model_trained_on_one_machine_serves_on_another(machine):
    worker, trainer, web = machine("worker"), machine("trainer"), machine("web")
    write_newsroom(worker / "archive")
    follower = ObjectFollower(replace(Settings(), data_dir=web))
    served = ModelRegistry(web / "models", follows=True)
    follower.pull()
    assert served.live_version() is None
    result = run("retrain", "--data", str(trainer), *QUICK)
    assert result.exit_code == 0, result.output
    follower.pull()
    listed = orjson.loads(run("models", "list", "--data", str(worker), "--json").output)
    assert [(m["version"], m["live"]) for m in listed] == [(served.live_version(), True)]
    assert served.load(listed[0]["version"]).version == listed[0]["version"]
    assert list_runs(web / "models") == []
    follower.pull_records()
    (seen,) = list_runs(web / "models")
    assert (seen.outcome, seen.detail) == ("published", listed[0]["version"])
    assert "the day-one weights" in read_log(web / "models", seen.id)


def test_a_running_process_takes_another_live_model_at_a_request_each_look(
    shaky_machines, monkeypatch
):
    monkeypatch.setattr("feed.service.object_follower.PULL_SECONDS", 0.02)
    proxy, trainer, web = shaky_machines("models")
    registry = ModelRegistry(trainer)
    for version in ("a", "b"):
        registry.publish(ModelBundle(version=version))
    registry.set_live("a")
    follower = ObjectFollower(replace(Settings(), data_dir=web.parent))
    follower.pull()
    proxy.seen.clear()
    follower.pull()
    assert [(method, path.rsplit("/", 1)[1]) for method, path in proxy.seen] == [("GET", "LIVE")]
    served = ModelFollower(ModelRegistry(web, follows=True))
    served.follow()
    proxy.seen.clear()
    assert not served.follow()
    assert served.bundle.version == "a"
    assert proxy.seen == []
    registry.set_live("b")
    follower.start()
    wait_until(served.follow)
    follower.stop()
    assert served.bundle.version == "b"


def test_what_is_said_of_models_never_waits_for_the_object_store(
    shaky_machines, store, store_settings
):
    proxy, trainer, web = shaky_machines("models")
    registry, start = ModelRegistry(trainer), 1_790_000_000.0
    for version in ("a", "b"):
        registry.publish(ModelBundle(version=version))
        registry.set_live(version)
    clock = [start]
    settings = replace(store_settings, data_dir=web.parent, encoder="none")
    app = create_app(settings, store, lambda: clock[0])
    app.extensions["feed"].keeper.refresh()
    client = app.test_client()
    for path in ("/v1/models", "/desk/models"):
        assert client.get(path).status_code == 503, path
    assert "has not answered yet" in client.get("/v1/models").json["detail"]

    follower = ObjectFollower(settings, lambda: clock[0])
    follower.pull()
    follower.pull_records()
    proxy.plan += [(fault, "GET", "") for fault in (Fault.SLOW, Fault.UNAVAILABLE)] * 20
    proxy.seen.clear()
    clock[0] += 100
    for path in ("/v1/models", "/desk/models", "/desk/models/versions/a"):
        assert client.get(path).status_code == 200, path
    body, page = client.get("/v1/models").json, client.get("/desk/models").text
    assert proxy.seen == []
    assert (body["live"], body["as_of"]) == ("b", format_time(start))
    assert {m["version"]: m["live"] for m in body["models"]} == {"a": False, "b": True}
    assert "The object store does not answer" in page
    assert "Roll back to a" in page

    proxy.plan.clear()
    registry.publish(ModelBundle(version="c"))
    registry.set_live("c")
    follower.pull()
    body = client.get("/v1/models").json
    assert [m["version"] for m in body["models"] if m["live"]] == [body["live"]] == ["c"]
    assert "Roll back to b" in client.get("/desk/models").text
    assert client.post("/v1/models/rollback").json["live"] == "b"
    proxy.seen.clear()
    follower.pull_records()
    assert [path for _, path in proxy.seen if "/manifest.json" in path] == []
    body = client.get("/v1/models").json
    assert {m["version"]: m["live"] for m in body["models"]} == {"a": False, "b": True, "c": False}
    assert body["as_of"] == format_time(clock[0])


def test_of_the_processes_of_a_machine_one_follows_and_another_takes_over(
    shaky_machines, monkeypatch
):
    monkeypatch.setattr("feed.service.object_follower.PULL_SECONDS", 0.02)
    proxy, trainer, web = shaky_machines("models")
    registry = ModelRegistry(trainer)
    registry.publish(ModelBundle(version="a"))
    first, second = (ObjectFollower(replace(Settings(), data_dir=web.parent)) for _ in range(2))
    first.start()
    wait_until(lambda: any(path.endswith("/LIVE") for _, path in proxy.seen))
    second.start()
    first.stop()
    proxy.seen.clear()
    registry.set_live("a")
    wait_until(lambda: ModelRegistry(web, follows=True).live_version() == "a")
    second.stop()


def test_the_reports_of_other_machines_are_there(machine):
    worker, web = machine("worker"), machine("web")
    follower = ObjectFollower(replace(Settings(), data_dir=web))
    for text in (b"one", b"two"):
        remote_of(worker / "reports").overwrite("test.json", text)
        follower.pull_records()
        assert (web / "reports" / "test.json").read_bytes() == text


def test_a_trainer_on_another_machine_keeps_this_one_away(machine):
    one, other = machine("one"), machine("other")
    write_newsroom(one / "archive")
    with held_lease(one / "models", time.time):
        result = run("retrain", "--data", str(other), *QUICK)
        assert result.exit_code == 1
        assert "another retrain is at work on this installation, on" in result.stderr
        with pytest.raises(ConflictError, match="another retrain is at work"):
            refuse_beside_another(other / "models", time.time())
    refuse_beside_another(other / "models", time.time())
    assert run("retrain", "--data", str(other), *QUICK, "--dry-run").exit_code == 0


def test_a_machine_serves_what_it_has_while_the_store_is_away(shaky_machines, object_url):
    proxy, trainer, web = shaky_machines("models")
    ModelRegistry(trainer).publish(ModelBundle(version="a"))
    ModelRegistry(trainer).set_live("a")
    follower = ObjectFollower(replace(Settings(), data_dir=web.parent))
    follower.pull()
    proxy.plan += [(Fault.UNAVAILABLE, "GET", "")] * 20
    follower.pull()
    served = ModelFollower(ModelRegistry(web, follows=True))
    assert served.follow()
    assert served.bundle.version == "a"
    proxy.seen.clear()
    prepare_data_dir(replace(Settings(), data_dir=web.parent, data_url=object_url))
    assert proxy.seen == []  # so that a web process starts again, too


def wait_until(happens: Callable[[], bool], patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "must be file:// (the data directory) or a URL such as s3://"),
        ("s3://", "must be file://"),
        ("s3://key:topsecret@bucket/x", "must not hold credentials"),
        ("s3://no-such-bucket/x", "s3://no-such-bucket/x cannot be listed: NoSuchBucket"),
    ],
)
def test_a_url_at_fault_is_one_line_and_exit_code_2(
    object_url, tmp_path, monkeypatch, url, message
):
    monkeypatch.setenv("FEED_DATA_URL", url)
    result = run("models", "list", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: FEED_DATA_URL: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "topsecret" not in result.output


def test_without_credentials_the_message_says_so(object_url, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("FEED_DATA_URL", object_url)
    result = run("models", "list", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "cannot be listed: no credentials were found" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_working_copy_is_not_taken_for_a_local_installation(machine, monkeypatch):
    directory = machine("one")
    monkeypatch.delenv("FEED_DATA_URL")
    result = run("models", "list", "--data", str(directory))
    assert result.exit_code == 2
    assert "FEED_DATA_URL: must be set" in result.stderr


def test_local_data_is_not_mixed_with_a_store(object_url, tmp_path, monkeypatch):
    (tmp_path / "models" / "v1").mkdir(parents=True)
    monkeypatch.setenv("FEED_DATA_URL", object_url)
    result = run("models", "list", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "holds data that is not in the store" in result.stderr


def test_a_machine_without_a_data_directory_finds_what_others_have_published(machine, tmp_path):
    new = tmp_path / "new" / "data"
    assert run("models", "list", "--data", str(new)).exit_code == 0
    assert new.is_dir()


@pytest.mark.parametrize("place", ["fresh", "fresh/archive"])
def test_a_machine_without_a_data_directory_evaluates_the_archive_of_others(
    machine, tmp_path, place
):
    write_newsroom(machine("worker") / "archive")
    options = ("--dataset", "archive", "--protocol", "slate", *QUICK[:-2])
    result = run("evaluate", str(tmp_path / place), *options)
    assert result.exit_code == 0, result.output
    assert "clicks, half-life" in result.output


@pytest.mark.parametrize("address", ["minio:9000", "http://", "http://[::1", "http://host:port"])
def test_an_address_of_the_object_store_that_is_none_is_named(address, monkeypatch, tmp_path):
    monkeypatch.setenv("FEED_DATA_URL", "s3://bucket/feed")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    result = run("models", "list", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "AWS_ENDPOINT_URL: must be an address with http:// or https://" in result.output


def test_empty_variables_of_the_object_store_count_as_absent(machine, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    result = run("models", "list", "--data", str(machine("one")))
    assert result.exit_code == 0, result.output
