"""Plans of experiments over HTTP: the archive is read rarely, by a process of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import orjson

from feed.config import Settings
from feed.experiments.design.definition_json import experiment_to_json
from feed.experiments.design.definitions import Experiment
from feed.experiments.judgement.baseline import Baseline, baseline_from_json
from feed.experiments.judgement.planning import Need, compute_need
from feed.service.archive_process import ask_archive
from feed.service.problems import ProblemError

KEPT_S = 300.0
"""A baseline is used again for so long, seconds."""
MOST_KEPT = 32
"""Baselines kept in one process; each has a few kilobytes."""
READING_S = 60.0
"""Longest time to read the archive for a plan, seconds."""
RETRY_AFTER_S = 5

Read = Callable[[Experiment, float], Baseline]


class PlanDesk:
    """Answers what a design needs; reads the archive once in a few minutes, one at a time.

    Args:
        read: Reads the baseline of a design at a moment.
        clock: Gives epoch seconds.
    """

    def __init__(self, read: Read, clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._reading = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[float, Baseline]] = OrderedDict()

    def need_of(self, design: Experiment) -> Need:
        """Return what a design needs.

        Raises:
            ProblemError: 503, another plan is reading the archive at the moment.
            ArchiveError: the archive cannot be read.
        """
        return compute_need(design, self._baseline(design))

    def _baseline(self, design: Experiment) -> Baseline:
        key = _key_of(design)
        found = self._known(key)
        if found is not None:
            return found
        if not self._reading.acquire(blocking=False):
            raise ProblemError(
                503,
                "another plan is reading the archive; try again shortly",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        try:
            found = self._known(key) or self._read(design, self._clock())
            self._kept[key] = self._clock(), found
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return found
        finally:
            self._reading.release()

    def _known(self, key: bytes) -> Baseline | None:
        at, found = self._kept.get(key, (0.0, None))
        return found if found is not None and self._clock() - at < KEPT_S else None


def _key_of(design: Experiment) -> bytes:
    """Return all of a design that `read_baseline` looks at."""
    data = experiment_to_json(design)
    names = ("audience", "planned_days", "pre_days", "excluded", "overrides", "metrics")
    return orjson.dumps([data[name] for name in names], option=orjson.OPT_SORT_KEYS)


def read_in_process(settings: Settings) -> Read:
    """Return a reader that runs in a process of its own, for a limited time."""

    def read(design: Experiment, now: float) -> Baseline:
        question: dict[str, Any] = {
            "data_dir": str(settings.data_dir),
            "definition": experiment_to_json(design),
            "now": now,
            "time_zone": settings.time_zone,
            "section_aliases": settings.section_aliases,
        }
        module = "feed.experiments.judgement.baseline_reading"
        return baseline_from_json(ask_archive(module, question, limit_s=READING_S))

    return read
