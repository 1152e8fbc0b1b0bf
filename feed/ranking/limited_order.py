"""A greedy order that keeps caps and minimums, and else follows the order it is given."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from feed.arrays import Rows


@dataclass(slots=True, eq=False)
class Cap:
    """At most `most` articles of one group in the first `end` places.

    Attributes:
        groups: Group of each candidate, -1 for none.
        most: Of each group, in the window.
        end: Places of the window that are free, pins left out.
        used: How many each group has there; it begins with the pins.
    """

    groups: list[int]
    most: int
    end: int
    used: dict[int, int] = field(default_factory=dict)

    def has_room(self, at: int) -> bool:
        """Whether a candidate may still enter the window."""
        group = self.groups[at]
        return group < 0 or self.used.get(group, 0) < self.most

    def count(self, at: int) -> None:
        """Let a candidate take its part of the window."""
        group = self.groups[at]
        if group >= 0:
            self.used[group] = self.used.get(group, 0) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """At least `needed` members in the first `end` places; pins are taken off both already."""

    members: list[bool]
    needed: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class LimitedOrder:
    """The order found, and what the limits moved.

    Attributes:
        order: Candidates, best first; all of those given.
        raised: By candidate that stands higher than its turn: the minimum that wanted it.
        held_back: For each cap, how many articles it moved out of its window.
    """

    order: Rows
    raised: dict[int, int]
    held_back: list[int]


def keep_limits(order: Rows, caps: Sequence[Cap], minimums: Sequence[Minimum]) -> LimitedOrder:
    """Return the candidates in an order that keeps limits.

    First, each minimum reserves the best candidates that meet it and that the caps let in. Then
    place after place takes the first candidate that is left, unless a cap has no room for it;
    such a candidate waits until the cap's window is over. A reserved candidate counts for the
    caps from the start, and is taken at the last place at which its minimum can still be met, if
    its turn has not come before. Where every candidate left is too many for some cap, the one
    that breaks the fewest is taken, the first in order among these.

    If all caps and minimums are on one property, of which each article has one value, every set of
    limits that some order of the candidates keeps is kept: what a cap lets in are the independent
    sets of a laminar matroid, in which no choice of the greedy can stop a later one. Limits on
    several properties meet in more than one matroid, and there the greedy may miss an order that
    an exhaustive search would find. An order that keeps all limits comes back unchanged.

    Args:
        order: candidates, best first, int64 [n].
        caps: they are changed.
        minimums: by number.
    """
    return _LimitedGreedy(order.tolist(), caps, minimums).run()


class _LimitedGreedy:
    def __init__(self, order: list[int], caps: Sequence[Cap], minimums: Sequence[Minimum]) -> None:
        self._order, self._caps, self._minimums = order, caps, minimums
        self._rank = {at: rank for rank, at in enumerate(order)}
        self._reserved: list[tuple[int, int, int]] = []  # end, rank, minimum; sorted
        self._counted: dict[int, frozenset[int]] = {}  # caps for which a reserved one counts
        self._blocked_by: dict[int, int] = {}
        self._taken: set[int] = set()
        self._waiting: list[int] = []
        self._next = 0
        self._idle_until = 0
        for number in sorted(range(len(minimums)), key=lambda n: minimums[n].end):
            self._reserve(number)

    def run(self) -> LimitedOrder:
        ends = {cap.end for cap in self._caps}
        last = max([*ends, *(minimum.end for minimum in self._minimums)], default=0)
        places: list[int] = []
        raised: dict[int, int] = {}
        for place in range(min(last, len(self._order))):
            wanted = self._find_due(place)
            at = self._choose(place) if wanted is None else wanted[0]
            if wanted is not None and at != self._choose(place):
                raised[at] = wanted[1]
            self._take(at, place)
            places.append(at)
        places += [at for at in self._order if at not in self._taken]
        return LimitedOrder(np.array(places, np.int64), raised, self._held_back(places))

    def _reserve(self, number: int) -> None:
        minimum = self._minimums[number]
        missing = minimum.needed - sum(
            end <= minimum.end and minimum.members[self._order[rank]]
            for end, rank, _ in self._reserved
        )
        room = minimum.end - len(self._reserved)
        over = [n for n, cap in enumerate(self._caps) if cap.end >= minimum.end]
        for rank, at in enumerate(self._order):
            if min(missing, room) <= 0:
                break
            if not minimum.members[at] or at in self._counted:
                continue
            if all(self._caps[n].has_room(at) for n in over):
                for n in over:
                    self._caps[n].count(at)
                self._counted[at] = frozenset(over)
                insort(self._reserved, (minimum.end, rank, number))
                missing, room = missing - 1, room - 1

    def _find_due(self, place: int) -> tuple[int, int] | None:
        """Return the reserved candidate that cannot wait, and its minimum; None if all can."""
        for number, (end, _, _) in enumerate(self._reserved):
            if number + 1 >= end - place:
                due = sorted(self._reserved[: number + 1], key=lambda entry: entry[1])
                allowed = (e for e in due if self._may_stand(self._order[e[1]], place))
                _, rank, minimum = next(allowed, due[0])
                return self._order[rank], minimum
        return None

    def _choose(self, place: int) -> int:
        """Return the first candidate left that no cap keeps out."""
        if place >= self._idle_until:
            for at in self._waiting:
                if self._may_stand(at, place):
                    return at
            # Within its window a cap only fills up: who waits has to wait until one is over.
            later = (cap.end for cap in self._caps if cap.end > place)
            self._idle_until = min(later, default=place + 1)
        while self._next < len(self._order):
            at = self._order[self._next]
            if at not in self._taken:
                if self._may_stand(at, place):
                    return at
                self._waiting.append(at)
            self._next += 1
        return min(self._waiting, key=lambda at: self._breaks(at, place))

    def _may_stand(self, at: int, place: int) -> bool:
        counted = self._counted.get(at, frozenset())
        for number, cap in enumerate(self._caps):
            if place < cap.end and number not in counted and not cap.has_room(at):
                self._blocked_by.setdefault(at, number)
                return False
        return True

    def _breaks(self, at: int, place: int) -> int:
        return sum(place < cap.end and not cap.has_room(at) for cap in self._caps)

    def _take(self, at: int, place: int) -> None:
        counted = self._counted.pop(at, frozenset())
        for number, cap in enumerate(self._caps):
            if place < cap.end and number not in counted:
                cap.count(at)
        self._reserved = [e for e in self._reserved if self._order[e[1]] != at]
        self._taken.add(at)
        if at in self._waiting:
            self._waiting.remove(at)

    def _held_back(self, places: list[int]) -> list[int]:
        """Return how many articles each cap moved out of its window; the first to object counts."""
        counts = [0] * len(self._caps)
        place_of = {at: place for place, at in enumerate(places)}
        for at, number in self._blocked_by.items():
            end = self._caps[number].end
            counts[number] += self._rank[at] < end <= place_of[at]
        return counts
