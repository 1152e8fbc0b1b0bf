"""ReaderLog: every reader's history at any moment, bounded as in the live store."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from feed.arrays import Column, Floats, Integers, Rows
from feed.config import DAY_S, RankingConfig
from feed.features.ids import stable_order
from feed.features.interactions import CLICK
from feed.features.profile import Profile, build_profile
from feed.offline.event_log import EventLog, LoggedEvents
from feed.offline.merges import LogMerge
from feed.offline.previous_clicks import PreviousClicks, find_previous, mix_in
from feed.offline.reader_marks import DISLIKE, MARKING, ReaderMarks
from feed.offline.reader_tails import Tails

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


_EVENT = (np.float64, np.int64, np.int8, np.float64)
_ROW = (np.float64, np.int64)


class _Engagements:
    """What readers did: all of it, and the clicks and marks among it."""

    def __init__(self) -> None:
        self.events = Tails(_EVENT, HISTORY_EVENTS)
        self.clicks = Tails(_ROW, READ_CLICKS)
        self.marks = Tails(_EVENT[:3], READ_CLICKS)

    def take(self, events: LoggedEvents) -> None:
        columns = events.columns
        users, at, rows = columns.users, columns.occurred_at, columns.articles
        self.events.extend(users, at, rows, columns.kinds, columns.dwell_s)
        clicks = columns.kinds == CLICK
        self.clicks.extend(users[clicks], at[clicks], rows[clicks])
        marks = np.isin(columns.kinds, MARKING)
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

    A user who was merged into another is that reader from then on: what both had done and been
    shown is one past, put together as the store does it. Before, they are two.

    Events that were delivered late are known to nobody until the last of them has arrived, at
    `late_until`; then they are as if they had come in time.
    """

    def __init__(self, late_until: float = -np.inf, merges: Iterable[LogMerge] = ()) -> None:
        self._late_until = late_until
        self._merged: dict[int, list[LogMerge]] = {}
        for merge in merges:
            if merge.user >= 0 and merge.reader >= 0:
                self._merged.setdefault(merge.reader, []).append(merge)
        self._known, self._late = _Engagements(), _Engagements()
        self._shown = Tails(_ROW, SHOWN_ENTRIES)
        self._all_known = not np.isfinite(late_until)
        self._part: LoggedEvents | None = None  # the last one, if all before it is known
        self._previous: PreviousClicks | None = None

    def take(self, part: EventLog) -> None:
        """Hold a part of the log, which follows on the last one."""
        events, views = part.events, part.impressions
        late = events.arrives_at > events.columns.occurred_at
        if late.any():
            self._late.take(events.part(late))
            events = events.part(~late)
        self._known.take(events)
        self._part, self._previous = part.events if self._all_known else None, None
        sizes = np.diff(views.starts)
        shown_at, shown_to = np.repeat(views.at, sizes), np.repeat(views.users, sizes)
        self._shown.extend(shown_to, shown_at, views.shown)

    def profile(self, user: int, now: float, config: RankingConfig) -> Profile:
        """Return a reader's profile from what happened strictly before `now`."""
        events = self._at(now).events
        at, rows, kinds, dwell_s = self._before(events, user, now, HISTORY_EVENTS)
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
        at, rows = self._before(self._at(now).clicks, user, now, READ_CLICKS)
        read: Rows = rows[at >= now - READ_DAYS * DAY_S]
        return read

    def hidden_rows(self, user: int, now: float) -> Rows:
        """Return the articles that a reader had hidden or disliked, and not taken back."""
        marks = self._marks(user, now)
        disliked = {row for row, (kind, _) in marks.reactions.items() if kind == DISLIKE}
        return np.array(sorted(marks.hidden | disliked), np.int64)

    def previous_clicks(self, user: int, now: float) -> tuple[Rows, Floats]:
        """Return the last clicks of a reader before `now`: rows and times."""
        clicks = self._at(now).clicks
        if user not in self._merged:
            at, rows = clicks.before(user, now, PREVIOUS_CLICKS)
            return rows, at
        at, rows = self._before(clicks, user, now, READ_CLICKS)
        _, last = np.unique(rows[::-1], return_index=True)  # what two ids clicked is named once
        newest = np.sort(len(rows) - 1 - last)[-PREVIOUS_CLICKS:]
        return rows[newest], at[newest]

    def previous_of(self, events: LoggedEvents, clicks: Rows) -> tuple[Rows, Floats, Integers]:
        """Return what `previous_clicks` says of many clicks, one's after the other's.

        Args:
            events: those of the part that was given last.
            clicks: positions among them, int64 [k].

        Returns:
            Rows, times, and how many of these belong to each click, int64 [k].
        """
        users, at = events.columns.users[clicks], events.columns.occurred_at[clicks]
        if self._part is events:
            if self._previous is None:
                self._previous = self._find_previous(events)
            found = self._previous.of(clicks)
            others = np.isin(users, np.fromiter(self._merged, np.int64, len(self._merged)))
            if not others.any():
                return found
        else:
            others = np.ones(len(clicks), np.bool_)
            found = np.zeros(0, np.int64), np.zeros(0), np.zeros(len(clicks), np.int64)
        pairs = zip(users[others].tolist(), at[others].tolist(), strict=True)
        return mix_in(found, others, (self.previous_clicks(user, now) for user, now in pairs))

    def _find_previous(self, events: LoggedEvents) -> PreviousClicks:
        clicks = np.flatnonzero(events.columns.kinds == CLICK)
        clicks = clicks[stable_order(events.columns.users[clicks])]
        users, new = np.unique(events.columns.users[clicks], return_counts=True)
        (at, rows), sizes = self._known.clicks.last(users, new + PREVIOUS_CLICKS)
        return find_previous(clicks, new, (at, rows), sizes, len(events), PREVIOUS_CLICKS)

    def rows_held(self) -> int:
        """Return how many engagements, clicks and showings are held: what memory depends on."""
        tails = [self._shown]
        for held in (self._known, self._late):
            tails += [held.events, held.clicks, held.marks]
        return sum(tail.rows_held() for tail in tails)

    def _before(self, tails: Tails, user: int, now: float, limit: int) -> list[Column]:
        """Return the last `limit` rows of a reader before `now`, under whatever id they were."""
        own, merges = tails.before(user, now, limit), self._merged.get(user)
        if merges is None:
            return own
        others = [m.user for m in merges if m.at < now]
        found = [own, *(self._before(tails, other, now, limit) for other in others)]
        columns = [np.concatenate(pieces) for pieces in zip(*found, strict=True)]
        order = np.argsort(columns[0], kind="stable")[-limit:]
        return [column[order] for column in columns]

    def _marks(self, user: int, now: float) -> ReaderMarks:
        """Return a reader's reactions and hidden articles just before `now`."""
        at, rows, kinds = self._at(now).marks.before(user, now, READ_CLICKS)
        marks, done = ReaderMarks(), 0
        for merge in self._merged.get(user, ()):
            if merge.at < now:
                count = int(np.searchsorted(at, merge.at, "left"))
                marks.take(rows[done:count], kinds[done:count], at[done:count])
                marks.join(self._marks(merge.user, merge.at))
                done = count
        marks.take(rows[done:], kinds[done:], at[done:])
        return marks

    def _at(self, now: float) -> _Engagements:
        if not self._all_known and now >= self._late_until:
            self._known.merge(self._late)
            self._late, self._all_known = _Engagements(), True
        return self._known

    def _shown_before(self, user: int, now: float) -> tuple[Rows, Floats, Floats]:
        at, rows = self._before(self._shown, user, now, SHOWN_ENTRIES)
        recent = at >= now - SHOWN_S
        rows, at = rows[recent], at[recent]
        distinct, last, counts = np.unique(rows[::-1], return_index=True, return_counts=True)
        return distinct, counts.astype(np.float64), at[::-1][last]
