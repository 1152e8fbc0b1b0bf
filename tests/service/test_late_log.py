"""A log that is imported for its first line says what the other logs say."""

from __future__ import annotations

import subprocess
import sys

import orjson

SAY = """
import sys
from feed.config import Settings
from feed.domain import FeedError
from feed.service.late_log import LateLog

log = LateLog(Settings(log_level={level!r}), "feed.supervisor")
print("structlog" in sys.modules)
log.warning("child_ended", child="web", code=-9)
try:
    raise FeedError("no room")
except FeedError as error:
    log.exception("store_start_failed", error=str(error))
"""


def say(level: str) -> tuple[str, list[dict[str, object]]]:
    """Return what a process prints, and its log, whose lines are JSON objects."""
    command = [sys.executable, "-c", SAY.format(level=level)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return ran.stdout.strip(), [orjson.loads(line) for line in ran.stderr.splitlines()]


def test_nothing_is_imported_before_the_first_line_and_then_each_line_is_an_object() -> None:
    was_imported, (warning, failure) = say("info")
    assert was_imported == "False"
    assert (warning["event"], warning["level"]) == ("child_ended", "warning")
    assert (warning["child"], warning["code"]) == ("web", -9)
    assert (failure["event"], failure["error"]) == ("store_start_failed", "no room")
    assert "FeedError" in str(failure["exception"])


def test_the_log_level_is_that_of_the_settings() -> None:
    _, lines = say("error")
    assert [line["event"] for line in lines] == ["store_start_failed"]
