"""Asks the archive how often an article is clicked at its places, one question at a time."""

from __future__ import annotations

import threading

from feed.config import DAY_S, Settings
from feed.domain import ArchiveError, ConflictError
from feed.offline.place_clicks import PlaceClicks
from feed.service.archive_process import ask_archive

READING_S = 20.0
_reading = threading.Lock()


def read_place_clicks(settings: Settings, article_id: str, now: float) -> PlaceClicks | None:
    """Return the clicks of an article at its places of the last 24 hours.

    None if this machine has no archive that can be read: it may be on the worker's.

    Raises:
        ConflictError: another question is being answered.
    """
    question = {
        "data_dir": str(settings.data_dir),
        "since": now - DAY_S,
        "article_id": article_id,
    }
    if not _reading.acquire(blocking=False):
        raise ConflictError("the archive is being read for somebody else: try again in a moment")
    try:
        return PlaceClicks(**ask_archive("feed.offline.place_clicks", question, limit_s=READING_S))
    except ArchiveError:
        return None
    finally:
        _reading.release()
