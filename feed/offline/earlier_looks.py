"""Lists as they would have stood half an hour earlier: what of a lead is not freshness."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from feed.offline.event_log import Seen

EARLIER_S = 1800.0
"""How long before the reader saw it a list is looked at again, seconds."""
EARLIER_EVERY = 4
"""Of so many measured lists one is looked at again: it costs as much as another list."""


def look_ahead(
    lists: Iterable[Seen], is_due: Callable[[Seen], bool] | None
) -> Iterator[tuple[Seen, bool]]:
    """Yield lists, and some of them at an earlier moment, too; all in the order of their times.

    The moment that lies `EARLIER_S` before a list comes as that list with `at` moved, and True.
    A replay that is moved on from one to the next knows there only what was known then, about
    its reader as well: nothing of the future is in it but who asks, and where.

    Args:
        lists: in time order.
        is_due: whether a list is looked at earlier, too; None if none is.
    """
    if is_due is None:  # nothing is read ahead
        yield from ((seen, False) for seen in lists)
        return
    pending: deque[Seen] = deque()
    for seen in lists:
        moment = seen.at - EARLIER_S
        while pending and pending[0].at <= moment:
            yield pending.popleft(), False
        if is_due(seen):
            yield replace(seen, at=moment), True
        pending.append(seen)
    yield from ((seen, False) for seen in pending)
