"""PreviousClicks: what the clicks of a part of the log followed, found for all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats, Integers, Rows
from feed.features.neighbour_lists import spans


@dataclass(frozen=True, slots=True)
class PreviousClicks:
    """For each event of a part the reader's clicks strictly before it, oldest first.

    Those of event e are the `counts[e]` entries of `rows` and `times` from `starts[e]` on; of
    events that are no clicks there are none.
    """

    rows: Rows
    times: Floats
    starts: Integers
    counts: Integers

    def of(self, events: Rows) -> tuple[Rows, Floats, Integers]:
        """Return the clicks before some events one after the other, and how many each has."""
        counts = self.counts[events]
        places = spans(self.starts[events], counts)
        return self.rows[places], self.times[places], counts


def find_previous(
    clicks: Rows, new: Integers, held: tuple[Floats, Rows], sizes: Integers, events: int, limit: int
) -> PreviousClicks:
    """Return what each click of a part followed.

    Args:
        clicks: the part's clicks, reader by reader, each reader's in time order; int64.
        new: how many of them each reader has, int64 [readers].
        held: times and articles of the readers' clicks, one reader's after the other's in time
            order: the last ones before the part, then those of the part.
        sizes: how many of these each reader has, int64 [readers].
        events: how many events the part has.
        limit: how many clicks before a click are wanted.
    """
    at, rows = held
    ends = np.cumsum(sizes)
    begins = np.ones(len(at), np.bool_)
    begins[1:] = at[1:] != at[:-1]
    begins[(ends - sizes)[sizes > 0]] = True
    same_time_from = np.maximum.accumulate(np.where(begins, np.arange(len(at)), 0))
    end = same_time_from[spans(ends - new, new)]
    start = np.maximum(np.repeat(ends - sizes, new), end - limit)
    starts, counts = np.zeros(events, np.int64), np.zeros(events, np.int64)
    starts[clicks], counts[clicks] = start, end - start
    return PreviousClicks(rows, at, starts, counts)


def mix_in(
    found: tuple[Rows, Floats, Integers], others: Flags, pasts: Iterable[tuple[Rows, Floats]]
) -> tuple[Rows, Floats, Integers]:
    """Return the clicks before some events with those of `others` (bool by event) replaced."""
    rows, times, counts = found
    bounds = np.cumsum(counts)[:-1]
    pieces = list(zip(np.split(rows, bounds), np.split(times, bounds), strict=True))
    for place, past in zip(np.flatnonzero(others).tolist(), pasts, strict=True):
        pieces[place] = past
    sizes = np.array([len(past) for past, _ in pieces], np.int64)
    return (
        np.concatenate([past for past, _ in pieces]),
        np.concatenate([at for _, at in pieces]),
        sizes,
    )
