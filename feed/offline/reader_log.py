"""ReaderLog: every reader's own past at any moment, as slices of sorted columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed.config import DAY_S, RankingConfig
from feed.domain import EventKind
from feed.features.ids import Rows
from feed.features.interactions import CLICK, KIND_CODE, EventColumns, Kinds
from feed.features.profile import Profile, build_profile
from feed.offline.event_log import EventLog

Floats = npt.NDArray[np.float64]

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


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Columns sorted by reader, then time; `starts` delimits the readers."""

    starts: Rows
    at: Floats
    rows: Rows

    def window(self, user: int, now: float, limit: int) -> slice:
        """Return the last `limit` entries of a reader strictly before `now`."""
        low, high = int(self.starts[user]), int(self.starts[user + 1])
        end = low + int(np.searchsorted(self.at[low:high], now, "left"))
        return slice(max(low, end - limit), end)


class _Engagements:
    """Some of a log's events by reader and time, and the clicks among them."""

    def __init__(self, columns: EventColumns, wanted: npt.NDArray[np.bool_], count: int) -> None:
        users, at = columns.users[wanted], columns.occurred_at[wanted]
        rows = columns.articles[wanted]
        order = np.lexsort((at, users))
        self.kinds: Kinds = columns.kinds[wanted][order]
        self.dwell_s: Floats = columns.dwell_s[wanted][order]
        self.events = _sorted(users, at, rows, order, count)
        clicks = columns.kinds[wanted] == CLICK
        users, at, rows = users[clicks], at[clicks], rows[clicks]
        self.clicks = _sorted(users, at, rows, np.lexsort((at, users)), count)


class ReaderLog:
    """What each reader had done and been shown before a moment, as the live store would hold."""

    def __init__(self, log: EventLog) -> None:
        columns, impressions = log.events.columns, log.impressions
        count = len(log.users)
        late = log.events.arrives_at > columns.occurred_at
        self._all_from = float(log.events.arrives_at[late].max(initial=-np.inf))
        self._early = _Engagements(columns, ~late, count)
        self._all = _Engagements(columns, np.ones(len(late), bool), count) if late.any() else None
        self._marks = _Engagements(columns, np.isin(columns.kinds, [*_MARKS]), count)
        sizes = np.diff(impressions.starts)
        shown_at, shown_to = np.repeat(impressions.at, sizes), np.repeat(impressions.users, sizes)
        order = np.lexsort((shown_at, shown_to))
        self._shown = _sorted(shown_to, shown_at, impressions.shown, order, count)

    def profile(self, user: int, now: float, config: RankingConfig) -> Profile:
        """Return a reader's profile from what happened strictly before `now`."""
        known = self._known(now)
        past = known.events.window(user, now, HISTORY_EVENTS)
        rows, counts, last_at = self._shown_before(user, now)
        return build_profile(
            known.events.rows[past],
            known.kinds[past],
            known.events.at[past],
            known.dwell_s[past],
            now=now,
            config=config,
            read_rows=self.read_rows(user, now),
            hidden_rows=self.hidden_rows(user, now),
            shown_rows=rows,
            shown_counts=counts,
            shown_last_at=last_at,
        )

    def read_rows(self, user: int, now: float) -> Rows:
        """Return the articles a reader clicked in the `READ_DAYS` before `now`, repeats kept."""
        clicks = self._known(now).clicks
        read = clicks.window(user, now, READ_CLICKS)
        return clicks.rows[read][clicks.at[read] >= now - READ_DAYS * DAY_S]

    def hidden_rows(self, user: int, now: float) -> Rows:
        """Return the articles that a reader had hidden or disliked, and not taken back."""
        past = self._marks.events.window(user, now, len(self._marks.kinds))
        marked: dict[tuple[int, str], bool] = {}
        rows, kinds = self._marks.events.rows[past].tolist(), self._marks.kinds[past].tolist()
        for row, kind in zip(rows, kinds, strict=True):
            group, is_on = _MARKS[kind]
            marked[row, group] = is_on
        return np.array(sorted({row for (row, _), is_on in marked.items() if is_on}), np.int64)

    def previous_clicks(self, user: int, now: float) -> tuple[Rows, Floats]:
        """Return the last clicks of a reader before `now`: rows and times."""
        clicks = self._known(now).clicks
        past = clicks.window(user, now, PREVIOUS_CLICKS)
        return clicks.rows[past], clicks.at[past]

    def _known(self, now: float) -> _Engagements:
        return self._early if self._all is None or now < self._all_from else self._all

    def _shown_before(self, user: int, now: float) -> tuple[Rows, Floats, Floats]:
        past = self._shown.window(user, now, SHOWN_ENTRIES)
        rows, at = self._shown.rows[past], self._shown.at[past]
        recent = at >= now - SHOWN_S
        rows, at = rows[recent], at[recent]
        distinct, last, counts = np.unique(rows[::-1], return_index=True, return_counts=True)
        return distinct, counts.astype(np.float64), at[::-1][last]


def first_clicks(log: EventLog) -> npt.NDArray[np.bool_]:
    """Return which events are a reader's first click on an article, bool [events].

    Events that arrived late are not asked: nothing was counted for them at the time.
    """
    columns = log.events.columns
    timely = log.events.arrives_at <= columns.occurred_at
    clicks = np.flatnonzero((columns.kinds == CLICK) & timely)
    pairs = columns.users[clicks] * np.int64(len(log.articles)) + columns.articles[clicks]
    _, first = np.unique(pairs, return_index=True)
    flags = np.zeros(len(columns.users), bool)
    flags[clicks[first]] = True
    return flags


def _sorted(users: Rows, at: Floats, rows: Rows, order: Rows, count: int) -> _Sorted:
    starts = np.searchsorted(users[order], np.arange(count + 1)).astype(np.int64)
    return _Sorted(starts, at[order], rows[order])
