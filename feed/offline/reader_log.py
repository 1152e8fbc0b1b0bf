"""ReaderLog: every reader's own past at any moment, as slices of sorted columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed.config import DAY_S, RankingConfig
from feed.features.ids import Rows
from feed.features.interactions import CLICK, EventColumns, Kinds
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


class ReaderLog:
    """What each reader had done and been shown before a moment, as the live store would hold."""

    def __init__(self, log: EventLog) -> None:
        columns, impressions = log.events.columns, log.impressions
        count = len(log.users)
        order = np.lexsort((columns.occurred_at, columns.users))
        self._kinds: Kinds = columns.kinds[order]
        self._dwell: Floats = columns.dwell_s[order]
        self._events = _sorted(columns.users, columns.occurred_at, columns.articles, order, count)
        clicks = columns.kinds == CLICK
        users, at, rows = (
            columns.users[clicks],
            columns.occurred_at[clicks],
            columns.articles[clicks],
        )
        self._clicks = _sorted(users, at, rows, np.lexsort((at, users)), count)
        sizes = np.diff(impressions.starts)
        shown_at, shown_to = np.repeat(impressions.at, sizes), np.repeat(impressions.users, sizes)
        order = np.lexsort((shown_at, shown_to))
        self._shown = _sorted(shown_to, shown_at, impressions.shown, order, count)

    def profile(self, user: int, now: float, config: RankingConfig) -> Profile:
        """Return a reader's profile from what happened strictly before `now`."""
        past = self._events.window(user, now, HISTORY_EVENTS)
        rows, counts, last_at = self._shown_before(user, now)
        return build_profile(
            self._events.rows[past],
            self._kinds[past],
            self._events.at[past],
            self._dwell[past],
            now=now,
            config=config,
            read_rows=self.read_rows(user, now),
            shown_rows=rows,
            shown_counts=counts,
            shown_last_at=last_at,
        )

    def read_rows(self, user: int, now: float) -> Rows:
        """Return the articles a reader clicked in the `READ_DAYS` before `now`, repeats kept."""
        read = self._clicks.window(user, now, READ_CLICKS)
        return self._clicks.rows[read][self._clicks.at[read] >= now - READ_DAYS * DAY_S]

    def previous_clicks(self, user: int, now: float) -> tuple[Rows, Floats]:
        """Return the last clicks of a reader before `now`: rows and times."""
        past = self._clicks.window(user, now, PREVIOUS_CLICKS)
        return self._clicks.rows[past], self._clicks.at[past]

    def _shown_before(self, user: int, now: float) -> tuple[Rows, Floats, Floats]:
        past = self._shown.window(user, now, SHOWN_ENTRIES)
        rows, at = self._shown.rows[past], self._shown.at[past]
        recent = at >= now - SHOWN_S
        rows, at = rows[recent], at[recent]
        distinct, last, counts = np.unique(rows[::-1], return_index=True, return_counts=True)
        return distinct, counts.astype(np.float64), at[::-1][last]


def _of_kind(columns: EventColumns, wanted: npt.NDArray[np.bool_], count: int) -> _Sorted:
    users, at, rows = columns.users[wanted], columns.occurred_at[wanted], columns.articles[wanted]
    return _sorted(users, at, rows, np.lexsort((at, users)), count)


def first_clicks(log: EventLog) -> npt.NDArray[np.bool_]:
    """Return which events are a reader's first click on an article, bool [events]."""
    columns = log.events.columns
    clicks = np.flatnonzero(columns.kinds == CLICK)
    pairs = columns.users[clicks] * np.int64(len(log.articles)) + columns.articles[clicks]
    _, first = np.unique(pairs, return_index=True)
    flags = np.zeros(len(columns.users), bool)
    flags[clicks[first]] = True
    return flags


def _sorted(users: Rows, at: Floats, rows: Rows, order: Rows, count: int) -> _Sorted:
    starts = np.searchsorted(users[order], np.arange(count + 1)).astype(np.int64)
    return _Sorted(starts, at[order], rows[order])
