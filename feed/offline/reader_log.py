"""ReaderLog: every reader's own past at any moment, as much of it as the live store holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.config import DAY_S, RankingConfig
from feed.domain import EventKind
from feed.features.ids import Rows
from feed.features.interactions import CLICK, KIND_CODE
from feed.features.profile import Profile, build_profile
from feed.offline.event_log import EventLog, LoggedEvents

Floats = npt.NDArray[np.float64]
Column = npt.NDArray[Any]

HISTORY_EVENTS = 200
"""Engagements a reader's live state holds."""
READ_CLICKS = 1000
"""Read articles a reader's live state holds."""
READ_DAYS = 30.0
"""Days a read article stays in a reader's live state."""
SHOWN_ENTRIES = 2000
"""Single showings looked back upon."""
SHOWN_S = 2 * DAY_S
"""Showings older than this are forgotten, seconds."""
PREVIOUS_CLICKS = 10
"""Clicks before a click that co-visitation pairs it with."""

_MARKS = {
    KIND_CODE[EventKind.HIDE]: ("hidden", True),
    KIND_CODE[EventKind.UNHIDE]: ("hidden", False),
    KIND_CODE[EventKind.DISLIKE]: ("disliked", True),
    KIND_CODE[EventKind.UNDISLIKE]: ("disliked", False),
    KIND_CODE[EventKind.LIKE]: ("disliked", False),
}


class _Tail:
    """The newest rows of a table whose first column is time; older ones go as new ones come."""

    __slots__ = ("_keep", "_size", "columns")

    def __init__(self, columns: Sequence[Column], keep: int) -> None:
        self.columns = [column[:0] for column in columns]
        self._keep, self._size = keep, 0

    def extend(self, columns: Sequence[Column]) -> None:
        """Add rows in time order; of those before them, at least the last `keep` stay."""
        size = self._size + len(columns[0])
        if size > len(self.columns[0]):
            start = max(self._size - self._keep, 0)
            size -= start
            for place, old in enumerate(self.columns):
                grown = np.empty(size + size // 2, old.dtype)
                grown[: self._size - start] = old[start : self._size]
                self.columns[place] = grown
            self._size -= start
        for column, new in zip(self.columns, columns, strict=True):
            column[self._size : size] = new
        self._size = size

    def before(self, now: float, limit: int) -> list[Column]:
        """Return the columns of the last `limit` rows strictly before `now`."""
        end = int(self.columns[0][: self._size].searchsorted(now, "left"))
        return [column[max(0, end - limit) : end] for column in self.columns]

    def all(self) -> list[Column]:
        """Return every row held."""
        return [column[: self._size] for column in self.columns]


class _Tails:
    """A `_Tail` for each reader who has one."""

    def __init__(self, kinds: Sequence[npt.DTypeLike], keep: int) -> None:
        self._none = _Tail([np.empty(0, kind) for kind in kinds], keep)
        self._of: dict[int, _Tail] = {}
        self._keep = keep

    def extend(self, users: Rows, *columns: Column) -> None:
        """Add rows in time order, each of the reader named beside it."""
        order = np.argsort(users, kind="stable")
        names, starts = np.unique(users[order], return_index=True)
        ordered = [column[order] for column in columns]
        ends = np.append(starts, len(users))[1:].tolist()
        for user, start, end in zip(names.tolist(), starts.tolist(), ends, strict=True):
            if user not in self._of:
                self._of[user] = _Tail(columns, self._keep)
            self._of[user].extend([column[start:end] for column in ordered])

    def before(self, user: int, now: float, limit: int) -> list[Column]:
        """Return the last `limit` rows of a reader strictly before `now`, column by column."""
        return self._of.get(user, self._none).before(now, limit)

    def rows_held(self) -> int:
        """Return how many rows are held, the room for more included."""
        return sum(len(tail.columns[0]) for tail in self._of.values())

    def merge(self, other: _Tails) -> None:
        """Take in another's rows, each where its time belongs."""
        for user, tail in other._of.items():
            mine = self._of.get(user, self._none).all()
            both = [np.concatenate(pair) for pair in zip(mine, tail.all(), strict=True)]
            order = np.argsort(both[0], kind="stable")
            whole = _Tail(both, self._keep)
            whole.extend([column[order] for column in both])
            self._of[user] = whole


_EVENT = (np.float64, np.int64, np.int8, np.float64)
_ROW = (np.float64, np.int64)


class _Engagements:
    """What readers did: all of it, and the clicks and marks among it."""

    def __init__(self) -> None:
        self.events = _Tails(_EVENT, HISTORY_EVENTS)
        self.clicks = _Tails(_ROW, READ_CLICKS)
        self.marks = _Tails(_EVENT[:3], READ_CLICKS)

    def take(self, events: LoggedEvents) -> None:
        columns = events.columns
        users, at, rows = columns.users, columns.occurred_at, columns.articles
        self.events.extend(users, at, rows, columns.kinds, columns.dwell_s)
        clicks = columns.kinds == CLICK
        self.clicks.extend(users[clicks], at[clicks], rows[clicks])
        marks = np.isin(columns.kinds, [*_MARKS])
        self.marks.extend(users[marks], at[marks], rows[marks], columns.kinds[marks])

    def merge(self, other: _Engagements) -> None:
        self.events.merge(other.events)
        self.clicks.merge(other.clicks)
        self.marks.merge(other.marks)


class ReaderLog:
    """What each reader had done and been shown before a moment, as the live store would hold.

    It is given the log part by part, in time order, and may be asked about any moment of the part
    it was given last (of all, if it was given the whole log at once). Of what came before a part
    it holds no more than the live store does.

    Events that were delivered late are known to nobody until the last of them has arrived, at
    `late_until`; then they are as if they had come in time.
    """

    def __init__(self, late_until: float = -np.inf) -> None:
        self._late_until = late_until
        self._known, self._late = _Engagements(), _Engagements()
        self._shown = _Tails(_ROW, SHOWN_ENTRIES)
        self._merged = not np.isfinite(late_until)

    def take(self, part: EventLog) -> None:
        """Hold a part of the log, which follows on the last one."""
        events, views = part.events, part.impressions
        late = events.arrives_at > events.columns.occurred_at
        if late.any():
            self._late.take(events.part(late))
            events = events.part(~late)
        self._known.take(events)
        sizes = np.diff(views.starts)
        shown_at, shown_to = np.repeat(views.at, sizes), np.repeat(views.users, sizes)
        self._shown.extend(shown_to, shown_at, views.shown)

    def profile(self, user: int, now: float, config: RankingConfig) -> Profile:
        """Return a reader's profile from what happened strictly before `now`."""
        at, rows, kinds, dwell_s = self._at(now).events.before(user, now, HISTORY_EVENTS)
        shown_rows, counts, last_at = self._shown_before(user, now)
        return build_profile(
            rows,
            kinds,
            at,
            dwell_s,
            now=now,
            config=config,
            read_rows=self.read_rows(user, now),
            hidden_rows=self.hidden_rows(user, now),
            shown_rows=shown_rows,
            shown_counts=counts,
            shown_last_at=last_at,
        )

    def read_rows(self, user: int, now: float) -> Rows:
        """Return the articles a reader clicked in the `READ_DAYS` before `now`, repeats kept."""
        at, rows = self._at(now).clicks.before(user, now, READ_CLICKS)
        read: Rows = rows[at >= now - READ_DAYS * DAY_S]
        return read

    def hidden_rows(self, user: int, now: float) -> Rows:
        """Return the articles that a reader had hidden or disliked, and not taken back."""
        _, rows, kinds = self._at(now).marks.before(user, now, READ_CLICKS)
        marked: dict[tuple[int, str], bool] = {}
        for row, kind in zip(rows.tolist(), kinds.tolist(), strict=True):
            group, is_on = _MARKS[kind]
            marked[row, group] = is_on
        return np.array(sorted({row for (row, _), is_on in marked.items() if is_on}), np.int64)

    def previous_clicks(self, user: int, now: float) -> tuple[Rows, Floats]:
        """Return the last clicks of a reader before `now`: rows and times."""
        at, rows = self._at(now).clicks.before(user, now, PREVIOUS_CLICKS)
        return rows, at

    def rows_held(self) -> int:
        """Return how many engagements, clicks and showings are held: what memory depends on."""
        tails = [self._shown]
        for held in (self._known, self._late):
            tails += [held.events, held.clicks, held.marks]
        return sum(tail.rows_held() for tail in tails)

    def _at(self, now: float) -> _Engagements:
        if not self._merged and now >= self._late_until:
            self._known.merge(self._late)
            self._late, self._merged = _Engagements(), True
        return self._known

    def _shown_before(self, user: int, now: float) -> tuple[Rows, Floats, Floats]:
        at, rows = self._shown.before(user, now, SHOWN_ENTRIES)
        recent = at >= now - SHOWN_S
        rows, at = rows[recent], at[recent]
        distinct, last, counts = np.unique(rows[::-1], return_index=True, return_counts=True)
        return distinct, counts.astype(np.float64), at[::-1][last]
