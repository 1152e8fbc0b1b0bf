"""Keeps a web process's working copies up to date with the object store, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from feed.config import Settings
from feed.domain import FeedError
from feed.models.registry import ModelRegistry
from feed.storage.archive_files import refresh_files
from feed.storage.working_copy import remote_of

PULL_SECONDS = 2.0
"""Time between two looks at the pointer to the live model: one conditional request each."""
TIDY_LOOKS = 30
"""Looks after which copies of archive files are deleted that are not live any more."""

log = structlog.get_logger("feed.objects")


class ObjectFollower:
    """Fetches a new live model, so that a refresh of the snapshot finds it on this machine.

    Copies of archive files from which a reader was erased are deleted within a minute. While the
    object store does not answer, this machine serves with what it has.

    Args:
        settings: `data_dir`.
    """

    def __init__(self, settings: Settings) -> None:
        self._models = settings.data_dir / "models"
        self._archive = settings.data_dir / "archive"
        self._registry = ModelRegistry(self._models)
        self._is_failing = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def pull(self) -> None:
        """Look once for another live model, and fetch it."""
        self._attempt(self._registry.pull_live)

    def start(self) -> None:
        """Start the thread, if there is an object store; call it after any fork."""
        if remote_of(self._models) is not None:
            self._thread = threading.Thread(target=self._run, name="objects", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        looks = 0
        while not self._stopping.wait(PULL_SECONDS):
            self.pull()
            looks += 1
            if looks % TIDY_LOOKS == 0 and _has_copies(self._archive):
                self._attempt(lambda: refresh_files(self._archive))

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (FeedError, OSError) as error:
            if not self._is_failing:
                log.warning("objects_not_read", reason=str(error))
            self._is_failing = True
        else:
            self._is_failing = False


def _has_copies(archive_dir: Path) -> bool:
    return next(archive_dir.glob("*/day=*/*"), None) is not None
