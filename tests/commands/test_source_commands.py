"""`feed sources` against a service with a worker, and a loopback server of feeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from feed_server import FeedServer, rss
from werkzeug.serving import make_server

from feed.cli import feed
from feed.config import Settings
from feed.service.app import create_app
from feed.storage.redis_store import RedisStore
from feed.worker.loop import run_worker

Run = Callable[..., Result]


@pytest.fixture
def settings(store_settings: Settings) -> Settings:
    return replace(store_settings, encoder="none", source_networks="127.0.0.1")


@pytest.fixture
def service(store: RedisStore, settings: Settings) -> Iterator[str]:
    """Serve the API; return its address."""
    running = make_server("127.0.0.1", 0, create_app(settings, store, time.time), threaded=True)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def worker(settings: Settings, store: RedisStore) -> Iterator[None]:
    """Run the worker, with its thread that polls."""
    stop = threading.Event()
    thread = threading.Thread(target=run_worker, args=(settings, stop))
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def run(service: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FEED_SOURCE_NETWORKS", "127.0.0.1")

    def invoke(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(feed, ["sources", command, "--url", service, *arguments])

    return invoke


@pytest.mark.usefixtures("worker")
def test_a_source_is_added_checked_listed_and_removed(
    run: Run, server: FeedServer, store: RedisStore
) -> None:
    address = server.say("/feed", rss("one", "two"))
    added = run("add", address, "--name", "The Quay")
    assert added.exit_code == 0, added.output
    source_id = added.output.partition(":")[0]
    checked = run("check", address)
    assert checked.exit_code == 0, checked.output
    assert "2 articles" in checked.output
    assert len(list(store.scan_articles())) == 2
    listed = run("list").output
    assert source_id in listed
    assert "The Quay" in listed
    assert orjson.loads(run("list", "--json").output)["sources"][0]["articles"] == 2
    assert "paused" in run("pause", source_id).output
    assert "paused" in run("list").output
    assert "is a source already" in run("add", address).output
    server.say("/feed", status=500)
    broken = run("check", source_id)
    assert (broken.exit_code, "500" in broken.output) == (2, True)
    assert run("remove", address).exit_code == 0
    assert source_id not in run("list").output


def test_what_a_poll_would_take_is_shown_and_not_taken(
    run: Run, server: FeedServer, store: RedisStore
) -> None:
    address = server.say("/feed", rss("one", "", "three"))
    shown = run("check", address)
    assert shown.exit_code == 0, shown.output
    assert "Quay: 2 articles, none taken" in shown.output
    assert "has neither a title nor a text" in shown.output
    assert list(store.scan_articles()) == []


def test_sources_go_out_as_opml_and_come_in_again(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "sources.opml"
    run("add", "https://desk:secret@paper.example/feed", "--name", "A & B")
    run("add", "https://other.example/feed?a=1&b=2")
    assert run("export", str(path)).exit_code == 0
    assert "secret" not in path.read_text()
    assert "***" not in path.read_text()
    for source in orjson.loads(run("list", "--json").output)["sources"]:
        run("remove", source["source_id"])
    assert run("import", str(path)).output == "2 sources added, 0 already known\n"
    sources = orjson.loads(run("list", "--json").output)["sources"]
    assert [(one["name"], one["address"]) for one in sources] == [
        ("A & B", "https://paper.example/feed"),
        ("https://other.example/feed?a=1&b=2", "https://other.example/feed?a=1&b=2"),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "paper.example"), "address must be an http"),
        (("add", "http://10.0.0.1/feed", "--zone", "UTC"), "10.0.0.1"),
        (("add", "https://paper.example/", "--zone", "Berlin"), "zone"),
        (("pause", "nothing"), "there is no source nothing"),
        (("check", "nothing"), "there is no source nothing"),
        (("check", "http://10.0.0.1/feed"), "10.0.0.1 is not a public address"),
        (("import", "no/such/file.opml"), "no/such/file.opml"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert len(result.output.strip().splitlines()) == 1
    assert words in result.output


def test_sources_of_the_settings_are_polled_from_the_start(
    server: FeedServer, store: RedisStore, settings: Settings, tmp_path: Path
) -> None:
    listed = tmp_path / "more.txt"
    listed.write_text(f"# ours\n{server.say('/two', rss('two'))}\n")
    named = f"{server.say('/one', rss('one'))}, {listed}"
    stop = threading.Event()
    thread = threading.Thread(
        target=run_worker, args=(replace(settings, sources=named), stop), daemon=True
    )
    thread.start()
    while len(list(store.scan_articles())) < 2:
        assert thread.is_alive()
        stop.wait(0.05)
    stop.set()
    thread.join()


@pytest.mark.parametrize("command", ["worker", "serve"])
@pytest.mark.parametrize(
    ("name", "value"), [("FEED_SOURCES", "paper.example"), ("FEED_SOURCE_NETWORKS", "10.0.0.0/99")]
)
def test_a_wrong_setting_stops_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    store_url: str,
    command: str,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv("FEED_REDIS_URL", store_url)
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(feed, [command])
    assert result.exit_code == 2
    said = result.output + capfd.readouterr().err  # of `serve`, a child process says it
    (line,) = said.splitlines()
    assert line.startswith(f"Error: {name}: {value} is neither")
