"""Hints about pins and limits that name what no article has: they are taken, and do nothing yet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from feed.domain import Pin
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule
from feed.ranking.front_page_limits import groups_of
from feed.service.snapshot import LiveSnapshot


def hints_for_limits(limits: Iterable[Limit], snapshot: LiveSnapshot | None) -> list[str]:
    """Return a sentence for each name that no article has now; none before the first snapshot."""
    named = ((limit.of, limit.value) for limit in limits if limit.value)
    return _hints(named, snapshot)


def hints_for_pins(pins: Iterable[Pin], snapshot: LiveSnapshot | None) -> list[str]:
    """Return a sentence for each section of a pin that no article has now."""
    return _hints(((LimitOf.SECTION, pin.section) for pin in pins if pin.section), snapshot)


def _hints(names: Iterable[tuple[LimitOf, str]], snapshot: LiveSnapshot | None) -> list[str]:
    if snapshot is None:
        return []
    pool, rows = snapshot.view.pool, np.flatnonzero(snapshot.index.live)
    found = []
    for of, value in dict.fromkeys(names):
        wanted = Limit(rule=LimitRule.AT_LEAST, of=of, value=value)
        if not (groups_of(wanted, pool, rows, snapshot.taken_at) >= 0).any():
            found.append(f"No article has the {of} {value} now.")
    return found
