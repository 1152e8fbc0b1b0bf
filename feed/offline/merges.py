"""Merges: which readers of a log became one, when, and what counted twice until then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from feed.arrays import Rows


@dataclass(frozen=True, slots=True)
class Repeat:
    """A first click, at `at` epoch seconds, that was none any more after a merge.

    `from_feed` says that it answered a feed, `on_page` that this feed stood below an article.
    """

    row: int
    at: float
    from_feed: bool
    on_page: bool


@dataclass(frozen=True, slots=True)
class Undone:
    """What left an article's totals of likes and dislikes in a merge: 0 or -1 each."""

    row: int
    likes: int
    dislikes: int


@dataclass(frozen=True, slots=True)
class LogMerge:
    """A user who became another one (rows of the log) at `at`, epoch seconds.

    Both are -1 where the record names nobody.
    """

    user: int
    reader: int
    at: float
    repeats: tuple[Repeat, ...] = ()
    undone: tuple[Undone, ...] = ()


class Merges:
    """The merges of a log in time order."""

    def __init__(self, found: Iterable[LogMerge] = ()) -> None:
        self._found = sorted(found, key=lambda merge: merge.at)
        self._at = np.array([merge.at for merge in self._found], np.float64)

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[LogMerge]:
        return iter(self._found)

    def between(self, done: int, now: float) -> list[LogMerge]:
        """Return the merges from number `done` on that were strictly before `now`."""
        return self._found[done : int(np.searchsorted(self._at, now, "left"))]

    def one_reader_each(self, users: Rows, now: float) -> Rows:
        """Return users as the readers that they were known to be just before `now`."""
        named = [m for m in self.between(0, now) if m.user >= 0 and m.reader >= 0]
        if not named or not len(users):
            return users
        most = max(int(users.max()), *(max(m.user, m.reader) for m in named))
        reader_of = np.arange(most + 1)
        # The newest first: the reader that an id points to is then known to be the last one.
        for merge in reversed(named):
            reader_of[merge.user] = reader_of[merge.reader]
        readers: Rows = reader_of[users]
        return readers
