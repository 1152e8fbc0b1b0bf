"""Keeps a request whole when a plugin fails or is slow: its part is left out, and counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from prometheus_client import Counter

from feed.plugins.calling import set_guard
from feed.plugins.loading import PluginError, Plugins, active_plugins

SLOW_SHARE = 1 / 6
"""A call that computes for more than this share of a request's time, or that takes all of it, is
the plugin's last one for `REST_S`: it cannot be broken off. A busy machine makes no call slow."""
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
        budget_s: what one request may take, seconds.
        clock: monotonic seconds.
        computed: processor seconds of this thread.
    """

    def __init__(
        self,
        budget_s: float,
        clock: Callable[[], float] = time.perf_counter,
        computed: Callable[[], float] = time.thread_time,
    ) -> None:
        self._budget_s, self._clock, self._computed = budget_s, clock, computed
        self._rests_until: dict[str, float] = {}
        self._logged: set[tuple[str, str]] = set()

    def call(self, name: str, work: Callable[[], Found]) -> Found | None:
        """Return what the work returns; None if it fails, or the plugin rests."""
        started, computed = self._clock(), self._computed()
        if started < self._rests_until.get(name, started):
            LEFT_OUT.labels(name, "slow").inc()
            return None
        try:
            found = work()
        except PluginError as error:
            LEFT_OUT.labels(name, "failed").inc()
            self._log_once(name, "failed", str(error))
            found = None
        took, computed = self._clock() - started, self._computed() - computed
        if took > self._budget_s or computed > SLOW_SHARE * self._budget_s:
            self._rests_until[name] = self._clock() + REST_S
            problem = f"a call took {took:.3f} s and computed for {computed:.3f} s"
            self._log_once(name, "slow", problem)
        return found

    def _log_once(self, name: str, why: str, problem: str) -> None:
        if (name, why) not in self._logged:
            self._logged.add((name, why))
            log.error("plugin_left_out", plugin=name, why=why, problem=problem)


def guard_plugins(budget_s: float) -> None:
    """Put a guard before the plugins of this process, if there are any.

    Args:
        budget_s: what one request may take, seconds.
    """
    if active_plugins() != Plugins():
        set_guard(ServingGuard(budget_s))
