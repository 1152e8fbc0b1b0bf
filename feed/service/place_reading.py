"""Asks the archive how often articles are clicked at their places, one question at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from feed.config import DAY_S, Settings
from feed.domain import ArchiveError, ConflictError
from feed.offline.place_clicks import PlaceClicks
from feed.service.archive_process import ask_archive

READING_S = 20.0
KEPT_S = 300.0
"""A list of articles shows an answer for so long, seconds."""
Places = Mapping[str, PlaceClicks]
_reading = threading.Lock()
_kept: dict[str, tuple[float, Places | None]] = {}


def read_place_clicks(settings: Settings, now: float) -> Places | None:
    """Return the clicks of all articles at their places of the last 24 hours.

    None if this machine has no archive that can be read: it may be on the worker's.

    Raises:
        ConflictError: another question is being answered.
    """
    question = {"data_dir": str(settings.data_dir), "since": now - DAY_S}
    if not _reading.acquire(blocking=False):
        raise ConflictError("the archive is being read for somebody else: try again in a moment")
    found: Places | None = None
    try:
        answer = ask_archive("feed.offline.place_clicks_reading", question, limit_s=READING_S)
        found = {article_id: PlaceClicks(**one) for article_id, one in answer.items()}
    except ArchiveError:
        pass
    finally:
        _kept[str(settings.data_dir)] = now, found
        _reading.release()
    return found


def kept_place_clicks(settings: Settings, now: float) -> tuple[bool, Places | None]:
    """Return whether the archive was asked a short while ago, and what it answered then."""
    at, found = _kept.get(str(settings.data_dir), (float("-inf"), None))
    return (True, found) if 0 <= now - at < KEPT_S else (False, None)
