"""ReaderMarks: what a reader likes, dislikes and hid, as the store would hold it."""

from __future__ import annotations

from feed.arrays import Floats, Kinds, Rows
from feed.domain import EventKind
from feed.features.interactions import KIND_CODE

LIKE, UNLIKE = KIND_CODE[EventKind.LIKE], KIND_CODE[EventKind.UNLIKE]
DISLIKE, UNDISLIKE = KIND_CODE[EventKind.DISLIKE], KIND_CODE[EventKind.UNDISLIKE]
HIDE, UNHIDE = KIND_CODE[EventKind.HIDE], KIND_CODE[EventKind.UNHIDE]

MARKING = (LIKE, UNLIKE, DISLIKE, UNDISLIKE, HIDE, UNHIDE)
"""Kinds of events that change a reader's marks."""

_UNDOES = {UNLIKE: LIKE, UNDISLIKE: DISLIKE}


class ReaderMarks:
    """One reader's marks: `hidden` articles, and article -> kind and time in `reactions`."""

    __slots__ = ("hidden", "reactions")

    def __init__(self) -> None:
        self.hidden: set[int] = set()
        self.reactions: dict[int, tuple[int, float]] = {}

    def take(self, rows: Rows, kinds: Kinds, at: Floats) -> None:
        """Take events of `MARKING` kinds, in time order."""
        for row, kind, time in zip(rows.tolist(), kinds.tolist(), at.tolist(), strict=True):
            present = self.reactions.get(row, (-1, 0.0))[0]
            if kind == HIDE:
                self.hidden.add(row)
            elif kind == UNHIDE:
                self.hidden.discard(row)
            elif kind in _UNDOES:
                if present == _UNDOES[kind]:
                    del self.reactions[row]
            elif kind != present:
                self.reactions[row] = (kind, time)

    def join(self, other: ReaderMarks) -> None:
        """Take in the marks of an id that was merged into this reader: the newer reaction wins."""
        self.hidden |= other.hidden
        for row, reaction in other.reactions.items():
            if row not in self.reactions or reaction[1] > self.reactions[row][1]:
                self.reactions[row] = reaction
