"""Looks at an experiment in a separate process, so that the worker goes on counting."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from typing import Any

from feed.config import Settings
from feed.domain import FeedError
from feed.experiments.design.definitions import Experiment
from feed.watching.findings import WatchLook, failed_look

LookAt = Callable[[Settings, Experiment, float], WatchLook]
LOOK_AT = "feed.watching.look:look_at"
"""What looks, by its name: the process that waits need not import it."""
LIMIT_S = 1800.0
"""How long one look may take; ten million events take a minute."""
PATIENCE_S = 0.5
"""How often the waiting process renews its lease and notices that it should end, seconds."""
NICENESS = 10


class LookProcess:
    """Makes one look in a process of its own, which ends with it and gives its memory back.

    A look computes for up to a minute, part of it in Python, which would delay the counting in
    this process. One that takes all the memory ends only that process.

    Args:
        look: What that process runs instead of `LOOK_AT`; a function of a module.
        limit_s: Seconds that one look may take.
    """

    def __init__(self, look: LookAt | None = None, limit_s: float = LIMIT_S) -> None:
        self._look = look
        self._limit_s = limit_s

    def __call__(
        self, settings: Settings, experiment: Experiment, now: float, may_go_on: Callable[[], bool]
    ) -> WatchLook | None:
        """Return what a look found; a report that could not be made is a finding.

        Args:
            settings: Of the installation.
            experiment: One that has started.
            now: Epoch seconds.
            may_go_on: Asked twice a second; None is returned as soon as it says no.
        """
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe(duplex=False)
        arguments = (theirs, self._look, settings, experiment, now)
        process = spawn.Process(target=_work, args=arguments, name="feed-watch", daemon=True)
        process.start()
        theirs.close()
        try:
            return self._wait(ours, now, may_go_on)
        finally:
            process.kill()
            process.join()
            process.close()
            ours.close()

    def _wait(
        self, answers: Connection[Any, Any], now: float, may_go_on: Callable[[], bool]
    ) -> WatchLook | None:
        end = time.monotonic() + self._limit_s
        try:
            while not answers.poll(PATIENCE_S):
                if not may_go_on():
                    return None
                if time.monotonic() > end:
                    return failed_look(now, f"it takes more than {self._limit_s:g} seconds")
            found: WatchLook = answers.recv()
            return found
        except (EOFError, OSError):
            return failed_look(now, "the process that makes it died, perhaps for lack of memory")


def _work(
    answers: Connection[Any, Any],
    look: LookAt | None,
    settings: Settings,
    experiment: Experiment,
    now: float,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits ends this one
    os.nice(NICENESS)
    try:
        look_at: LookAt = look or resolve_name(LOOK_AT)
        found = look_at(settings, experiment, now)
    except FeedError as error:
        found = failed_look(now, str(error))
    except Exception as error:  # noqa: BLE001 - whatever fails here, the others are looked at
        found = failed_look(now, f"a defect ({type(error).__name__}); feed report shows it")
    answers.send(found)
