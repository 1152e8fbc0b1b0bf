"""Tails: the newest rows of a table for each of many readers, held as a few sorted blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from feed.arrays import Column, Integers, Rows
from feed.features.ids import find
from feed.features.neighbour_lists import spans


class _Block:
    """Rows of many readers, one reader's after the other's, each in time order; never empty."""

    __slots__ = ("_spans", "columns", "sizes", "users")

    def __init__(self, users: Rows, columns: Sequence[Column]) -> None:
        """Take rows in time order, or one reader's after the other's, each with its reader."""
        order = np.argsort(users, kind="stable")
        self.columns = [column[order] for column in columns]
        ordered = users[order]
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, len(ordered))
        self.users, self.sizes = ordered[ends - 1], np.diff(ends, prepend=0)
        bounds = zip((ends - self.sizes).tolist(), ends.tolist(), strict=True)
        self._spans = dict(zip(self.users.tolist(), bounds, strict=True))

    def __len__(self) -> int:
        return len(self.columns[0])

    def before(self, user: int, now: float, limit: int) -> list[Column] | None:
        """Return the last `limit` rows of a reader before `now`; None if there is none."""
        if user not in self._spans:
            return None
        start, end = self._spans[user]
        end = start + int(self.columns[0][start:end].searchsorted(now, "left"))
        start = max(start, end - limit)
        return [column[start:end] for column in self.columns] if end > start else None

    def last(self, users: Rows, counts: Integers) -> tuple[Rows, list[Column]]:
        """Return the last rows of readers (ascending), at most so many of each.

        The first array says whose each row is, by the place among `users`.
        """
        places = find(self.users, users)
        sizes = np.where(places >= 0, np.minimum(self.sizes[places], counts), 0)
        rows = spans(np.cumsum(self.sizes)[places] - sizes, sizes)
        return np.repeat(np.arange(len(users)), sizes), [column[rows] for column in self.columns]

    def owners(self) -> Rows:
        """Return whose each row is."""
        return np.repeat(self.users, self.sizes)


class Tails:
    """For each reader the newest rows of a table whose first column is time.

    Rows come a part of the log at a time. Each part is a block of its own until the blocks behind
    it are put together; only then older rows than the last `keep` of a reader go. So nothing is
    done for one reader alone, and what is held stays within about twice of what is kept.
    """

    def __init__(self, kinds: Sequence[npt.DTypeLike], keep: int) -> None:
        self._none: list[Column] = [np.empty(0, kind) for kind in kinds]
        self._keep = keep
        self._blocks: list[_Block] = []

    def extend(self, users: Rows, *columns: Column) -> None:
        """Add rows in time order, each of the reader named beside it.

        Of the rows before them at least the last `keep` of each reader stay.
        """
        if not len(users):
            return
        if 2 * sum(map(len, self._blocks[1:])) >= sum(map(len, self._blocks[:1])):
            self._put_together()
        self._blocks.append(_Block(users, columns))

    def before(self, user: int, now: float, limit: int) -> list[Column]:
        """Return the last `limit` rows of a reader strictly before `now`, column by column."""
        found: list[list[Column]] = []
        for block in reversed(self._blocks):
            columns = block.before(user, now, limit)
            if columns is not None:
                found.append(columns)
                limit -= len(columns[0])
                if not limit:
                    break
        if len(found) > 1:
            return [np.concatenate(pieces) for pieces in zip(*reversed(found), strict=True)]
        return found[0] if found else self._none

    def last(self, users: Rows, counts: Integers) -> tuple[list[Column], Integers]:
        """Return the newest rows of some readers, at most so many of each, and how many.

        They are one reader's after the other's, column by column.

        Args:
            users: the readers, each once, ascending; int64 [k].
            counts: int64 [k].
        """
        if not self._blocks:
            return self._none, np.zeros(len(users), np.int64)
        found = [block.last(users, counts) for block in self._blocks]
        of = np.concatenate([places for places, _ in found])
        columns = zip(*(columns for _, columns in found), strict=True)
        held = np.bincount(of, minlength=len(users))
        sizes = np.minimum(held, counts)
        rows = np.argsort(of, kind="stable")[spans(np.cumsum(held) - sizes, sizes)]
        return [np.concatenate(pieces)[rows] for pieces in columns], sizes

    def rows_held(self) -> int:
        """Return how many rows are held."""
        return sum(map(len, self._blocks))

    def merge(self, other: Tails) -> None:
        """Take in another's rows, each where its time belongs."""
        (mine, own), (theirs, others) = self._all(), other._all()
        users = np.concatenate([mine, theirs])
        both = [np.concatenate(pair) for pair in zip(own, others, strict=True)]
        order = np.argsort(both[0], kind="stable")
        if len(users):
            self._blocks = [_Block(users[order], [column[order] for column in both])]

    def _all(self) -> tuple[Rows, list[Column]]:
        """Return every row held and whose it is, one reader's after the other's."""
        if not self._blocks:
            return np.zeros(0, np.int64), self._none
        if len(self._blocks) == 1:
            return self._blocks[0].owners(), self._blocks[0].columns
        owners = np.concatenate([block.owners() for block in self._blocks])
        columns = zip(*(block.columns for block in self._blocks), strict=True)
        whole = _Block(owners, [np.concatenate(pieces) for pieces in columns])
        return whole.owners(), whole.columns

    def _put_together(self) -> None:
        """Make one block of all, of the last `keep` rows of each reader."""
        if not self._blocks:
            return
        owners, columns = self._all()
        users, sizes = np.unique(owners, return_counts=True)
        ends = np.cumsum(sizes)
        kept = np.minimum(sizes, self._keep)
        places = spans(ends - kept, kept)
        self._blocks = [_Block(np.repeat(users, kept), [column[places] for column in columns])]
