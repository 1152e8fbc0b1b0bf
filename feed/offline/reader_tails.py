"""Tails: the newest rows of a table for each of many readers, held as a few sorted blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from feed.arrays import Column, Integers, Rows
from feed.features.ids import find, stable_order
from feed.features.neighbour_lists import spans


class _Block:
    """Rows of many readers, one reader's after the other's, each in time order; never empty."""

    __slots__ = ("columns", "ends", "sizes", "users")

    def __init__(self, users: Rows, sizes: Integers, columns: Sequence[Column]) -> None:
        """Take so many rows of each reader, the readers ascending."""
        self.users, self.sizes, self.columns = users, sizes, columns
        self.ends = np.cumsum(sizes)

    @classmethod
    def of(cls, users: Rows, columns: Sequence[Column]) -> _Block:
        """Take rows in time order, or one reader's after the other's, each with its reader."""
        order = stable_order(users)
        ordered = users[order]
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, len(ordered))
        sizes = np.diff(ends, prepend=0)
        return cls(ordered[ends - 1], sizes, [column[order] for column in columns])

    def __len__(self) -> int:
        return len(self.columns[0])

    def before(self, user: int, now: float, limit: int) -> list[Column] | None:
        """Return the last `limit` rows of a reader before `now`; None if there is none."""
        place = int(self.users.searchsorted(user))
        if place == len(self.users) or self.users[place] != user:
            return None
        end = int(self.ends[place])
        start = end - int(self.sizes[place])
        end = start + int(self.columns[0][start:end].searchsorted(now, "left"))
        start = max(start, end - limit)
        return [column[start:end] for column in self.columns] if end > start else None

    def newest(self, keep: int) -> _Block:
        """Return the block of the last `keep` rows of each reader."""
        kept = np.minimum(self.sizes, keep)
        if (kept == self.sizes).all():
            return self
        rows = spans(self.ends - kept, kept)
        return _Block(self.users, kept, [column[rows] for column in self.columns])

    def last(self, users: Rows, counts: Integers) -> tuple[Rows, list[Column]]:
        """Return the last rows of readers (ascending), at most so many of each.

        The first array says whose each row is, by the place among `users`.
        """
        places = find(self.users, users)
        sizes = np.where(places >= 0, np.minimum(self.sizes[places], counts), 0)
        rows = spans(self.ends[places] - sizes, sizes)
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
        self._blocks.append(_Block.of(users, columns))

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
        rows = stable_order(of)[spans(np.cumsum(held) - sizes, sizes)]
        return [np.concatenate(pieces)[rows] for pieces in columns], sizes

    def rows_held(self) -> int:
        """Return how many rows are held."""
        return sum(map(len, self._blocks))

    def merge(self, other: Tails) -> None:
        """Take in another's rows, each where its time belongs."""
        blocks = [*self._blocks, *other._blocks]
        if not blocks:
            return
        users = np.concatenate([block.owners() for block in blocks])
        columns = _joined(blocks)
        order = np.argsort(columns[0], kind="stable")
        self._blocks = [_Block.of(users[order], [column[order] for column in columns])]

    def _put_together(self) -> None:
        """Make one block of all, of the last `keep` rows of each reader."""
        if len(self._blocks) > 1:
            owners = np.concatenate([block.owners() for block in self._blocks])
            self._blocks = [_Block.of(owners, _joined(self._blocks))]
        self._blocks = [block.newest(self._keep) for block in self._blocks]


def _joined(blocks: Sequence[_Block]) -> list[Column]:
    """Return the columns of blocks one after the other."""
    columns = zip(*(block.columns for block in blocks), strict=True)
    return [np.concatenate(pieces) for pieces in columns]
