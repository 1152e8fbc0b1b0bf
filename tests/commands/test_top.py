"""`feed top`: the room Now in the terminal."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from werkzeug.serving import make_server

from feed.cli import feed
from feed.client import ApiError
from feed.commands.top import watch
from feed.config import Settings
from feed.service.api_keys import hash_key
from feed.service.app import create_app
from feed.storage.redis_store import RedisStore

KEY = "k" * 40
NOW = 1_780_000_000.0


@pytest.fixture
def service(store: RedisStore, store_settings: Settings) -> Iterator[str]:
    """Serve the API to those who have a key; return its address."""
    settings = replace(store_settings, encoder="none", api_keys=f"desk:read:{hash_key(KEY)}")
    app = create_app(settings, store, lambda: NOW)
    app.extensions["feed"].keeper.refresh()
    running = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def run(*arguments: str, key: str = KEY) -> Result:
    environment = {"FEED_API_KEY": key, "COLUMNS": "120"}
    return CliRunner().invoke(feed, ["top", *arguments], env=environment)


@pytest.fixture
def status() -> dict[str, Any]:
    names = (
        "feeds_per_second events_per_second feed_p50_ms feed_p99_ms counting_lag_s archive_lag_s "
        "stream_records store_bytes store_limit_bytes model_age_days"
    )
    alert = {
        "kind": "no_worker",
        "level": "fault",
        "title": "No worker is running",
        "meaning": "Events are kept.",
        "action": "Start `feed worker`.",
        "page": "",
    }
    return {
        "at": "2026-11-27T23:05:09.000Z",
        "store": True,
        "worker": None,
        "articles": 1234,
        "model": {"version": "v5", "trained_at": None, "verdict": "", "forced": False},
        "numbers": dict.fromkeys(names.split(), 4.0) | {"store_bytes": 3.2e9},
        "rungs": {"personalized": 0.75, "snapshot": 0.25},
        "alerts": [alert],
    }


def test_once_prints_the_numbers_and_what_to_do(service: str) -> None:
    found = run("--once", "--url", service)
    assert found.exit_code == 0, found.output
    assert "Everything works." in found.output
    assert "Feeds a second" in found.output
    assert "To do: There are no articles yet" in found.output
    assert "What to do: Add a feed with feed sources add ADDRESS" in found.output


def test_what_is_no_terminal_gets_it_once(service: str) -> None:
    assert run("--url", service).output.count("Feeds a second") == 1


def test_without_a_key_or_a_service_there_is_one_line(service: str) -> None:
    refused = run("--once", "--url", service, key="")
    assert refused.exit_code != 0
    assert "401" in refused.output
    assert len(refused.output.splitlines()) == 1
    absent = run("--once", "--url", "http://127.0.0.1:9")
    assert absent.exit_code != 0
    assert len(absent.output.splitlines()) == 1


def test_it_goes_on_while_the_service_does_not_answer(status: dict[str, Any]) -> None:
    stop, screen = threading.Event(), io.StringIO()
    answers: list[Mapping[str, Any] | Exception] = [
        status,
        ApiError(503, "busy"),
        ConnectionError("refused"),
        {**status, "articles": 4321},
    ]

    def look() -> Mapping[str, Any]:
        answer = answers.pop(0)
        if not answers:
            stop.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    console = Console(file=screen, force_terminal=True, width=100, height=60, color_system=None)
    watch(console, look, 0.0, stop)
    shown = screen.getvalue()
    assert "1,234" in shown
    assert "The service does not answer: 503: busy" in shown
    assert "The service does not answer: refused" in shown
    assert "4,321" in shown
    assert "3.2 GB" in shown
    assert "Something is wrong: 1 fault." in shown
    assert "What to do: Start feed worker." in shown
    assert "no worker leads" in shown


def test_ctrl_c_ends_it_quietly() -> None:
    def look() -> Mapping[str, Any]:
        raise KeyboardInterrupt

    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=20)
    watch(console, look, 0.0, threading.Event())
