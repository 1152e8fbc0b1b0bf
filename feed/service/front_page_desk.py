"""What the Front page room shows: readings of the archive, and the price of limits."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from feed.config import RankingConfig, Settings
from feed.domain import ArchiveError, ConflictError
from feed.editorial.editorial_limits import Limit
from feed.service.archive_process import ask_archive, start_beside

KEPT_S = 10.0
"""A reading is used again for so long, seconds."""
READING_S = 60.0
"""Longest time to read the archive, seconds."""
PATIENCE_S = 2.0
"""Longest time that a request waits for the reading of another one, seconds: it holds a thread that
readers need."""
PRICING_S = 1800.0
"""Longest time to compute a price, seconds."""
SILENT_S = 120.0
"""Without a sign of progress for so long, a price is taken to be computed no more; seconds."""
PRICE_HOURS = 24.0
PRICE_FILE = "desk/limit-price.json"

Reading = dict[str, Any]


class FrontPageDesk:
    """Reads the archive in a process of its own, one at a time, and keeps what it read.

    Args:
        settings: Where the installation is.
        clock: Epoch seconds.
        ask: Runs a module that answers.
        start: Starts a module beside this process.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        ask: Callable[..., Reading] = ask_archive,
        start: Callable[[str, Any, float], object] = start_beside,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._ask, self._start = ask, start
        self._kept: dict[float, tuple[float, Reading]] = {}
        self._lock = threading.Lock()

    def read(self, hours: float) -> Reading:
        """Return what readers were shown in the last hours (see `read_front_page`).

        While another request reads the archive, the last reading counts.

        Raises:
            ArchiveError: the archive cannot be read, or is being read for somebody else.
        """
        at, found = self._kept.get(hours, (float("-inf"), Reading()))
        if abs(self._clock() - at) <= KEPT_S:
            return found
        if not self._lock.acquire(timeout=PATIENCE_S):
            if found:
                return found
            raise ArchiveError("the archive is being read for somebody else: try again soon")
        try:
            at, found = self._kept.get(hours, (float("-inf"), Reading()))
            now = self._clock()
            if abs(now - at) > KEPT_S:
                question = {**self._about(), "now": now, "hours": hours}
                module = "feed.offline.front_page_reading"
                found = self._ask(module, question, limit_s=READING_S)
                self._kept[hours] = now, found
            return found
        finally:
            self._lock.release()

    def price(self) -> Reading | None:
        """Return the last price or how far it is, None if none was asked for."""
        try:
            state: Reading = orjson.loads(self._price_file.read_bytes())
            is_silent = time.time() - self._price_file.stat().st_mtime > SILENT_S
        except (OSError, ValueError):
            return None
        if not isinstance(state, dict) or "state" not in state:
            return None
        if state["state"] == "running" and is_silent:
            return {**state, "state": "failed", "error": "the computation stopped without a result"}
        return state

    def start_price(self, limits: Sequence[Limit], ranking: RankingConfig) -> None:
        """Begin to compute what limits cost on the clicks of the last day.

        Raises:
            ConflictError: another price is being computed.
            ArchiveError: the file for the result cannot be written.
        """
        question = {
            **self._about(),
            "now": self._clock(),
            "hours": PRICE_HOURS,
            "limits": [limit.to_json() for limit in limits],
            "ranking": asdict(ranking),
            "result": str(self._price_file),
        }
        about = {name: question[name] for name in ("limits", "now", "hours")}
        try:
            self._price_file.parent.mkdir(parents=True, exist_ok=True)
            with self._price_file.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # others may ask at once, in any web process
                present = self.price()
                if present is not None and present["state"] == "running":
                    raise ConflictError("a price is being computed already: wait until it is there")
                self._price_file.write_bytes(
                    orjson.dumps({**about, "state": "running", "share": 0.0})
                )
        except OSError as error:
            raise ArchiveError(f"{self._price_file} cannot be written") from error
        self._start("feed.offline.limit_price", question, PRICING_S)

    def _about(self) -> dict[str, Any]:
        return {
            "data_dir": str(self._settings.data_dir),
            "section_aliases": self._settings.section_aliases,
        }

    @property
    def _price_file(self) -> Path:
        return self._settings.data_dir / PRICE_FILE
