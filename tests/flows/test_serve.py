"""`feed serve` as people run it: one command, several processes, no part of which is precious."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from lab.faults.disks import fill, mount_small_disk
from lab.ports import free_port

from feed.config import Settings
from feed.domain import format_time
from feed.service.metrics_directory import metrics_directory, remove_metrics
from feed.service.supervisor import Supervisor
from feed.storage.embedded import EmbeddedStore

PATIENCE_S = 90.0
"""Far longer than anything takes; only a hang meets it."""


class Served:
    """A running `feed serve` with two web processes."""

    def __init__(self, data: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "feed", "serve", "--data", str(data), "--web", "2"]
        with (data / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "FEED_ENCODER": "none"},
            )
        assert self.process.stdout is not None
        self.announced = self.process.stdout.readline()

    def stop(self, number: int) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        data = None if body is None else orjson.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, orjson.loads(content)

    def feed(self, user_id: str = "reader", **query: Any) -> Any:
        status, body = self.call("GET", "/v1/feed?" + urlencode({"user_id": user_id, **query}))
        assert status == 200, body
        return body

    def children(self, wanted: str = "") -> list[int]:
        """Return the processes below ours whose command line holds a text."""
        parents: dict[int, int] = {}
        commands: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    status = (entry / "stat").read_text().rpartition(")")[2].split()
                    commands[int(entry.name)] = (entry / "cmdline").read_bytes().decode()
                except OSError:
                    continue
                if status[0] != "Z":
                    parents[int(entry.name)] = int(status[1])
        below = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in below} - below:
            below |= more
        return [p for p in below - {self.process.pid} if wanted in commands[p]]


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            found = condition()
        except (OSError, http.client.HTTPException, AssertionError):
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def holds(condition: Callable[[], bool], for_s: float = 3.0) -> bool:
    """Return whether something stays true for longer than any web process looks away.

    One process may answer many requests in a row; the others must have had time to follow.
    """
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(0.02)
    return True


def ids_of(page: Any) -> list[str]:
    return [item["article"]["article_id"] for item in page["items"]]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("served"))
    try:
        publish(running)
        yield running
    finally:
        running.stop(signal.SIGTERM)


def publish(running: Served) -> None:
    articles = [
        {"article_id": f"a{n}", "title": f"T{n}", "published_at": format_time(time.time() - 60 * n)}
        for n in range(40)
    ]
    eventually(lambda: running.call("POST", "/v1/articles", {"articles": articles})[0] == 200)
    eventually(lambda: holds(lambda: len(running.feed("r")["items"]) == 20))


def test_one_line_says_that_it_is_ready(served: Served) -> None:
    assert f"http://127.0.0.1:{served.port}" in served.announced


def test_a_click_changes_the_next_request_through_every_process(served: Served) -> None:
    read = ids_of(served.feed("clicker"))[0]
    event = {"event_id": "e1", "user_id": "clicker", "article_id": read, "kind": "click"}
    assert served.call("POST", "/v1/events", {"events": [event]})[1]["accepted"] == 1
    assert all(read not in ids_of(served.feed("clicker", limit=40)) for _ in range(10))


def test_a_retraction_is_gone_from_the_next_request_of_every_process(served: Served) -> None:
    gone = ids_of(served.feed("retractor"))[5]
    assert served.call("DELETE", f"/v1/articles/{gone}")[0] == 200
    pages = [served.feed("retractor") for _ in range(10)]
    assert all(gone not in ids_of(page) and len(page["items"]) == 20 for page in pages)


def test_pages_of_one_feed_come_from_any_process(served: Served) -> None:
    page = served.feed("pager", limit=4)
    shown = ids_of(page)
    while page["next_cursor"]:
        page = served.feed("pager", limit=4, cursor=page["next_cursor"])
        shown += ids_of(page)
    assert len(shown) == len(set(shown)) >= 38


def test_the_worker_counts_for_every_process_and_metrics_add_up(served: Served) -> None:
    events = [
        {"event_id": f"t{n}", "user_id": f"t{n}", "article_id": "a7", "kind": "click"}
        for n in range(60)
    ]
    assert served.call("POST", "/v1/events", {"events": events})[1]["accepted"] == 60

    def trending() -> bool:
        items = served.call("GET", "/v1/trending")[1]["items"]
        return any(i["article"]["article_id"] == "a7" and i["labelled"] for i in items)

    eventually(lambda: all(trending() for _ in range(6)))
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    values = dict(x.rsplit(" ", 1) for x in text.splitlines() if not x.startswith("#"))
    assert float(values['feed_events_total{outcome="accepted"}']) == 61.0
    age_s = time.time() - float(values["feed_snapshot_timestamp_seconds"])
    assert 0 <= age_s < PATIENCE_S, "the worker, which has no snapshot, says nothing of its age"
    assert "feed_worker_records_counted_total" in values
    assert "t42" not in text


def test_what_is_killed_comes_back(served: Served) -> None:
    web = served.children("feed.service.app")
    (store,) = served.children("valkey")
    (worker,) = (pid for pid in served.children("worker") if pid not in web)
    os.kill(store, signal.SIGKILL)
    eventually(lambda: served.children("valkey"))
    eventually(lambda: served.call("GET", "/readyz")[1].get("store"))
    os.kill(worker, signal.SIGKILL)
    for pid in web:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: served.call("GET", "/readyz")[0] == 200)
    event = {"event_id": "e1", "user_id": "clicker", "article_id": "a9", "kind": "click"}
    answer = served.call("POST", "/v1/events", {"events": [event]})[1]
    assert answer["duplicate"] == 1, "an event of before the kill is remembered"
    eventually(lambda: [p for p in served.children("worker") if p not in {worker, *web}])


def test_nothing_is_left_when_it_stops(tmp_path: Path) -> None:
    running = Served(tmp_path)
    children = running.children()
    assert len(children) >= 4
    assert running.stop(signal.SIGINT) == 0
    assert not any(alive(pid) for pid in children)
    assert "leaked" not in (tmp_path / "log").read_text()


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    running = Served(tmp_path)
    children = running.children()
    running.stop(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in children))
    remove_metrics(metrics_of(running, tmp_path))  # as the next service there would do


def test_the_port_of_somebody_else_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        command = [sys.executable, "-m", "feed", "serve", "--data", str(tmp_path), "--port", port]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "port" in result.stderr.lower()


def test_a_directory_that_is_served_already_is_refused_and_goes_on_being_served(
    tmp_path: Path,
) -> None:
    running = Served(tmp_path)
    try:
        publish(running)
        metrics = set(metrics_of(running, tmp_path).iterdir())
        assert "is already run by process" in start_refused(tmp_path)
        assert metrics
        assert metrics <= set(metrics_of(running, tmp_path).iterdir())
        assert len(running.feed("another")["items"]) == 20
        more = {"articles": [{"article_id": "n", "title": "T"}]}
        assert running.call("POST", "/v1/articles", more)[0] == 200
    finally:
        running.stop(signal.SIGTERM)


def test_a_store_that_ends_at_once_is_started_again_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(replace(Settings(), data_dir=tmp_path), announce=print)
    done: list[str] = []
    monkeypatch.setattr(EmbeddedStore, "start", lambda _: done.append("start"))
    monkeypatch.setattr(supervisor._stopping, "wait", lambda _: done.append("pause"))
    monkeypatch.setattr("feed.service.supervisor.STORE_PAUSE_S", PATIENCE_S)
    supervisor._watch_store()
    assert done == ["start"]
    supervisor._watch_store()
    assert done == ["start", "pause", "start"]


def test_the_start_waits_for_a_command_that_is_using_the_store(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path):
        running = Served(tmp_path)
        assert "waits up to 10 s" in running.announced
        assert f"is already run by process {os.getpid()}" in running.announced
    try:
        eventually(lambda: running.call("GET", "/readyz")[0] == 200)
    finally:
        assert running.stop(signal.SIGTERM) == 0


def metrics_of(running: Served, data: Path) -> Path:
    """Return the directory in which the processes of a service share their metrics."""
    return metrics_directory(replace(Settings(), data_dir=data, port=running.port))


def test_a_full_disk_leaves_the_feeds_and_recovers_when_there_is_room(tmp_path: Path) -> None:
    if not mount_small_disk(tmp_path):
        pytest.skip("this user may not mount a small disk")
    numbers = iter(range(10_000))

    def send() -> int:
        number = next(numbers)
        event = {"event_id": f"e{number}", "user_id": "r", "article_id": "a1", "kind": "click"}
        return running.call("POST", "/v1/events", {"events": [event]})[0]

    try:
        running = Served(tmp_path)
        try:
            publish(running)
            metrics = metrics_of(running, tmp_path)
            assert any(metrics.iterdir())
            web = running.children("feed.service.app")
            fill(tmp_path / "ballast")
            eventually(lambda: send() == 503)
            assert holds(lambda: len(running.feed(f"r{next(numbers)}")["items"]) == 20)
            running.call("GET", "/v1/trending")  # what is counted for the first time takes room
            assert send() == 503
            assert running.children("feed.service.app") == web
            (tmp_path / "ballast").unlink()
            eventually(lambda: send() == 202)
        finally:
            assert running.stop(signal.SIGTERM) == 0
        assert not metrics.exists()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=False)


def test_a_directory_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "file/site cannot be made" in start_refused(tmp_path / "file" / "site")


def start_refused(directory: Path) -> str:
    """Return the one line with which `feed serve` refuses a data directory."""
    command = [sys.executable, "-m", "feed", "serve", "--data", str(directory)]
    command += ["--port", str(free_port())]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"FEED_ENCODER": "sentences"},
            "FEED_ENCODER: must be one of sentence, tfidf, none, onnx:DIRECTORY",
        ),
        (
            {"FEED_ENCODER": "onnx:/nowhere"},
            "FEED_ENCODER: the directory /nowhere holds no model.onnx",
        ),
        (
            {"FEED_STORE_CONFIRMED_BY": "replica"},
            "FEED_STORE_CONFIRMED_BY: must be primary, because feed's own store has no replica",
        ),
        (
            {"FEED_REDIS_CLUSTER": "true", "FEED_REDIS_URL": "redis://,b"},
            (
                "FEED_REDIS_URL: must be redis://host:port, or rediss://, for a cluster; commas"
                " between several nodes"
            ),
        ),
        (
            {"FEED_TRUSTED_PROXIES": "10.0.0.0/33"},
            "FEED_TRUSTED_PROXIES: '10.0.0.0/33' does not appear to be an IPv4 or IPv6 network",
        ),
        (
            {"FEED_CORS_ORIGINS": "https://a.example, b.example"},
            "FEED_CORS_ORIGINS: b.example is no origin such as https://www.example, without a path",
        ),
        ({"FEED_ALERT_URL": "ftp://x"}, "FEED_ALERT_URL: must begin with http:// or https://"),
        ({"FEED_PUBLIC_URL": "x"}, "FEED_PUBLIC_URL: must begin with http:// or https://"),
    ],
)
def test_a_setting_that_only_a_part_understands_is_refused_before_anything_starts(
    tmp_path: Path, given: dict[str, str], said: str
) -> None:
    command = [sys.executable, "-m", "feed", "serve", "--data", str(tmp_path / "site")]
    environment = {**os.environ, **given}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == f"Error: {said}\n"
    assert not (tmp_path / "site").exists()


def test_web_processes_serve_from_an_object_store(object_url, tmp_path, monkeypatch):
    monkeypatch.setenv("FEED_DATA_URL", object_url)
    served = Served(tmp_path)
    try:
        eventually(lambda: served.call("GET", "/readyz")[0] == 200)
        article = {
            "article_id": "a",
            "title": "A title",
            "published_at": format_time(time.time() - 60),
        }
        served.call("POST", "/v1/articles", {"articles": [article]})
        assert eventually(lambda: ids_of(served.feed()) == ["a"])
    finally:
        assert served.stop(signal.SIGTERM) == 0
