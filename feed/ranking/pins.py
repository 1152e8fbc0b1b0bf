"""Editors' picks: which of them hold now, and at which slots they stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats, Rows
from feed.ranking.context import RankingContext
from feed.ranking.eligibility import may_be_pinned
from feed.ranking.explore import Drawn

_NO_ROWS: Rows = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Which candidate stands at each slot, and how it came there.

    Attributes:
        at: position among the candidates, int64 [slots].
        explored: it was drawn by chance.
        propensities: P(this article at this slot); 1 for a pin.
        pinned: an editor put it there.
    """

    at: Rows
    explored: Flags
    propensities: Floats
    pinned: Flags


def find_pins(context: RankingContext, size: int) -> tuple[Rows, Rows]:
    """Return rows and slots (ascending, none twice) of the picks that hold for this request.

    A pick for a section holds in that section's feed, one without a section in every feed where
    its article may stand. Of two picks for one slot the one that started later takes it, and the
    other the next free slot. Picks beyond `size` slots and further twins of a pick are left out.
    """
    if not context.pins:
        return _NO_ROWS, _NO_ROWS
    pool, request = context.view.pool, context.request
    withdrawn = set(context.withdrawn.tolist())
    pins = sorted(context.pins, key=lambda p: (p.slot, -p.starts_at, p.article_id))
    rows = pool.ids.rows([pin.article_id for pin in pins])
    allowed = may_be_pinned(pool, rows, request, context.profile)
    slots: dict[int, int] = {}
    told: set[int] = set()
    for pin, row, may_stand in zip(pins, rows.tolist(), allowed.tolist(), strict=True):
        here = not pin.section or pool.sections.row(pin.section) == request.section >= 0
        holds = may_stand and here and pin.starts_at <= request.now < pin.ends_at
        if not holds or row in withdrawn or pool.leader_of(row) in told:
            continue
        slot = pin.slot
        while slot in slots:
            slot += 1
        if slot < size:
            slots[slot] = row
            told.add(pool.leader_of(row))
    ordered = sorted(slots)
    return np.array([slots[s] for s in ordered], np.int64), np.array(ordered, np.int64)


def place_pins(drawn: Drawn, slots: Rows) -> Placed:
    """Return the order with the pins, which are the first candidates, at their slots.

    Where the others do not fill the slots before a pin, it moves up to the end of the list.

    Args:
        drawn: the other candidates in order.
        slots: where the pins belong, ascending; one for each pin.
    """
    pins, count = len(slots), len(slots) + len(drawn.rows)
    if not pins:
        none = np.zeros(count, np.bool_)
        return Placed(drawn.rows, drawn.explored, drawn.propensities, none)
    settled = np.minimum(slots, count - pins + np.arange(pins))
    pinned = np.zeros(count, np.bool_)
    pinned[settled] = True
    at, explored, propensities = (
        np.empty(count, np.int64),
        np.zeros(count, np.bool_),
        np.ones(count),
    )
    at[pinned], at[~pinned] = np.arange(pins), drawn.rows
    explored[~pinned] = drawn.explored
    propensities[~pinned] = drawn.propensities
    return Placed(at, explored, propensities, pinned)
