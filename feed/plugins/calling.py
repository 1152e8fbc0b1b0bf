"""Calls plugins, checks what they return, and decides what happens when one fails.

Offline an error ends the work: a model that was trained without a feature must not pass for one
that has it. In the service a guard takes the error, and the plugin's part is left out.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from feed.arrays import Floats, Matrix, Rows
from feed.plugins.loading import PluginError
from feed.plugins.moments import Moment
from feed.plugins.protocols import FittedPlugin, PluginFeature, PluginRule, PluginSource

Found = TypeVar("Found")


class Guard(Protocol):
    """What stands between a request and a plugin."""

    def call(self, name: str, work: Callable[[], Found]) -> Found | None:
        """Return what the work returns, or None to leave the plugin's part out.

        Args:
            name: of the plugin, with its kind.
            work: raises `PluginError`, and nothing else.
        """
        ...


class StrictGuard:
    """Lets errors through: the guard of every process that does not serve readers."""

    def call(self, name: str, work: Callable[[], Found]) -> Found | None:
        """Return what the work returns."""
        del name
        return work()


class _InForce:
    guard: Guard = StrictGuard()


def set_guard(guard: Guard) -> None:
    """Put another guard before the plugins of this process."""
    _InForce.guard = guard


def propose(source: PluginSource, moment: Moment, limit: int) -> Rows:
    """Return the positions that a source proposes, int64; none if it is left out."""
    label = f"candidate source {source.name}"
    count = len(moment.articles)

    def work() -> Rows:
        found = _positions(label, _run(label, lambda: source.propose(moment, limit)), count)
        return found[:limit]

    found = _InForce.guard.call(label, work)
    return np.empty(0, np.int64) if found is None else found


def compute(feature: PluginFeature, moment: Moment) -> Floats:
    """Return a feature of each article, f64 [k]; NaN throughout if it is left out."""
    label = f"feature {feature.name}"
    count = len(moment.articles)
    found = _InForce.guard.call(
        label, lambda: _numbers(label, _run(label, lambda: feature.compute(moment)), count)
    )
    return np.full(count, np.nan) if found is None else found


def apply(rule: PluginRule, moment: Moment, scores: Floats) -> Rows:
    """Return the positions that a rule keeps, in its order, int64; all if it is left out."""
    label = f"rule {rule.name}"
    count = len(moment.articles)

    def work() -> Rows:
        found = _positions(label, _run(label, lambda: rule.apply(moment, scores)), count)
        if count and not len(found):
            raise PluginError(f"{label}: must keep at least one article")
        return found

    found = _InForce.guard.call(label, work)
    return np.arange(count) if found is None else found


def margin(name: str, fitted: FittedPlugin, features: Matrix) -> Floats | None:
    """Return the margins of a plugin's ranker, f64 [k]; None if it is left out."""
    label = f"ranker {name}"

    def work() -> Floats:
        found = _numbers(label, _run(label, lambda: fitted.margin(features)), len(features))
        if np.isnan(found).any():
            raise PluginError(f"{label}: must return finite numbers")
        return found

    return _InForce.guard.call(label, work)


def told(error: BaseException) -> str:
    """Return an error with the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def _run(label: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # the code is somebody else's and may raise anything
        raise PluginError(f"{label} failed: {told(error)}") from error


def _numbers(label: str, values: Any, count: int) -> Floats:
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise PluginError(f"{label}: must return numbers") from None
    if found.shape != (count,):
        raise PluginError(f"{label}: must return {count} numbers, not shape {found.shape}")
    if np.isinf(found).any():
        raise PluginError(f"{label}: must not return infinite numbers")
    return found


def _positions(label: str, values: Any, count: int) -> Rows:
    try:
        found = np.array(values)
    except ValueError:
        raise PluginError(f"{label}: must return positions") from None
    if found.size == 0:
        return np.empty(0, np.int64)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise PluginError(f"{label}: must return positions as whole numbers in one dimension")
    positions = found.astype(np.int64)
    if positions.min() < 0 or positions.max() >= count:
        raise PluginError(f"{label}: must return positions from 0 to {count - 1}")
    if len(np.unique(positions)) < len(positions):
        raise PluginError(f"{label}: must return no position twice")
    return positions
