"""Keeps a request whole when a plugin fails or is slow: its part is left out, and counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from prometheus_client import Counter

from feed.plugins.calling import set_guard
from feed.plugins.loading import PluginError, Plugins, active_plugins

SLOW_S = 0.05
"""A call that takes longer is the plugin's last one for `REST_S`: it cannot be broken off."""
REST_S = 60.0

LEFT_OUT = Counter(
    "feed_plugin_left_out_total",
    "Calls of plugins whose part was left out, by why: it failed, or rests after a slow call",
    ["plugin", "why"],
)

log = structlog.get_logger("feed.plugins")

Found = TypeVar("Found")


class ServingGuard:
    """Takes the errors of plugins, and lets a slow one rest.

    A slow answer is still used, since it is there already.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._rests_until: dict[str, float] = {}
        self._logged: set[tuple[str, str]] = set()

    def call(self, name: str, work: Callable[[], Found]) -> Found | None:
        """Return what the work returns; None if it fails, or the plugin rests."""
        started = self._clock()
        if started < self._rests_until.get(name, started):
            LEFT_OUT.labels(name, "slow").inc()
            return None
        try:
            found = work()
        except PluginError as error:
            LEFT_OUT.labels(name, "failed").inc()
            self._log_once(name, "failed", str(error))
            found = None
        seconds = self._clock() - started
        if seconds > SLOW_S:
            self._rests_until[name] = self._clock() + REST_S
            self._log_once(name, "slow", f"a call took {seconds:.3f} s")
        return found

    def _log_once(self, name: str, why: str, problem: str) -> None:
        if (name, why) not in self._logged:
            self._logged.add((name, why))
            log.error("plugin_left_out", plugin=name, why=why, problem=problem)


def guard_plugins() -> None:
    """Put a guard before the plugins of this process, if there are any."""
    if active_plugins() != Plugins():
        set_guard(ServingGuard())
