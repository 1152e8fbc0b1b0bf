"""What a receiver gets can be checked, and what goes wrong names no secret."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from receiver import CUT, SECRET, Receiver
from watched_desk import BREACH, Desk

from feed.config import Settings
from feed.watching.alerts import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_after
from feed.watching.webhook import Webhook

BODY = {"text": "Ærlig", "day": 1.0}


def a_webhook(receiver: Receiver, **changes: Any) -> Webhook:
    return Webhook(replace(Settings(), alert_url=receiver.url, **changes))


def test_the_signature_can_be_verified_with_the_standard_library_alone(receiver: Receiver) -> None:
    assert a_webhook(receiver, alert_secret=SECRET).post(BODY, 1_780_000_000.9) == ""
    ((_, headers, body),) = receiver.heard
    at, signature = (part.split("=", 1)[1] for part in headers["X-Feed-Signature"].split(","))
    signed = at.encode() + b"." + body
    assert at == "1780000000"
    assert hmac.compare_digest(
        signature, hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    )
    assert headers["Content-Type"] == "application/json"
    assert receiver.bodies == [BODY]


def test_the_documented_lines_verify_it_and_notice_every_change(receiver: Receiver) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operate.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    documented: dict[str, Any] = {}
    exec(code, documented)
    is_genuine, secret = documented["is_genuine"], SECRET.encode()
    for at in (time.time(), time.time() - 400):
        a_webhook(receiver, alert_secret=SECRET).post(BODY, at)
    (fresh, body), (old, _) = ((h["X-Feed-Signature"], b) for _, h, b in receiver.heard)
    assert is_genuine(secret, fresh, body)
    assert not is_genuine(secret, fresh, body + b" ")
    assert not is_genuine(b"another", fresh, body)
    assert not is_genuine(secret, old, body)


def test_without_a_secret_there_is_no_signature(receiver: Receiver) -> None:
    a_webhook(receiver).post(BODY, 0.0)
    assert "X-Feed-Signature" not in receiver.heard[0][1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (204, ""),
        (503, "the receiver answered 503"),
        (307, "the receiver answered 307"),
        (CUT, "the receiver cannot be reached"),
    ],
)
def test_only_an_answer_of_success_counts(receiver: Receiver, answer: int, reason: str) -> None:
    receiver.answers = [answer]
    found = a_webhook(receiver).post(BODY, 0.0)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)
    assert len(receiver.heard) == 1


def test_a_receiver_that_is_not_there_is_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/secret-path"
    found = Webhook(replace(Settings(), alert_url=url)).post(BODY, 0.0)
    assert found == "the receiver cannot be reached (ConnectError)"


@pytest.mark.parametrize("answer", [503, CUT])
def test_the_log_names_neither_the_secret_nor_the_path(desk: Desk, answer: int) -> None:
    desk.begin()
    desk.findings["calmer-trending"] = [BREACH]
    desk.receiver.answers = [answer]
    with structlog.testing.capture_logs() as lines:
        desk.watcher().tick()
        desk.watcher().tick()
    assert [line["event"] for line in lines] == ["experiment_alert", "alert_not_delivered"]
    said = repr(lines)
    assert "secret" not in said
    assert str(desk.receiver.server_port) not in said


def test_pauses_double_up_to_a_limit_and_chance_spreads_them() -> None:
    assert [pause_after(n, 0.0) for n in range(3)] == [FIRST_PAUSE_S * 2**n for n in range(3)]
    assert pause_after(1000, 0.0) == LONGEST_PAUSE_S
    assert pause_after(0, 1.0) == FIRST_PAUSE_S / 2
