"""Keeps a machine's working copies up to date with the object store, in a thread."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from feed.config import Settings
from feed.domain import FeedError
from feed.experiments.report.files import REPORTS
from feed.models.known_models import fetch_list
from feed.models.registry import ModelRegistry
from feed.models.training_runs import pull_runs
from feed.storage.archive_files import refresh_files
from feed.storage.data_place import write_whole
from feed.storage.working_copy import remote_of

PULL_SECONDS = 2.0
"""Time between two looks at the pointer to the live model: one conditional request each."""
LIST_LOOKS = 5
"""Looks after which models, training runs and reports of other machines are listed."""
TIDY_LOOKS = 30
"""Looks after which copies of archive files are deleted that are not live any more."""
_LOCK = ".follower"

log = structlog.get_logger("feed.objects")


class ObjectFollower:
    """Fetches what other machines made, so that no request to a web process waits for objects.

    That is a new live model, training runs, and reports. Copies of archive files from which a
    reader was erased are deleted within a minute. Of all web processes of a machine one does this.
    While the object store does not answer, this machine serves with what it has.

    Args:
        settings: `data_dir`.
        clock: epoch seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._models = settings.data_dir / "models"
        self._archive = settings.data_dir / "archive"
        self._reports = settings.data_dir / REPORTS
        self._registry = ModelRegistry(self._models)
        self._etags: dict[str, str] = {}
        self._is_failing = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def pull(self) -> None:
        """Look once for another live model, and fetch it."""
        self._attempt(self._registry.pull_live)

    def pull_records(self) -> None:
        """Fetch the list of models, and the training runs and reports of other machines."""
        self._attempt(lambda: fetch_list(self._models, self._clock()))
        self._attempt(lambda: pull_runs(self._models))
        self._attempt(self._pull_reports)

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
        with (self._models / _LOCK).open("w") as lock:
            while not self._stopping.is_set():
                with suppress(BlockingIOError):  # another process of this machine follows
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._follow()
                self._stopping.wait(PULL_SECONDS)

    def _follow(self) -> None:
        looks = 0
        while not self._stopping.is_set():
            self.pull()
            if looks % LIST_LOOKS == 0:
                self.pull_records()
            if looks % TIDY_LOOKS == 0 and _has_copies(self._archive):
                self._attempt(lambda: refresh_files(self._archive))
            looks += 1
            self._stopping.wait(PULL_SECONDS)

    def _pull_reports(self) -> None:
        remote = remote_of(self._reports)
        if remote is None:
            return
        for name, etag in remote.etags().items():
            stored = remote.read(name) if self._etags.get(name) != etag else None
            if stored is not None:
                write_whole(self._reports / name, stored.data)
                self._etags[name] = stored.etag

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
