"""EventLog: everything that was shown and done, as columns in time order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feed.domain import Article
from feed.features.ids import IdMap, Rows
from feed.features.interactions import CLICK, EventColumns, Kinds

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Impressions:
    """Lists that readers saw, in time order; n of them.

    `keys` are the data set's own ids (int64 or str), `users` rows, `at` epoch seconds,
    `pages` the article row below which the list stood (-1: a front page), `devices` and
    `subscribers` the publisher's codes (-1 unknown). The articles of impression i are
    `shown[starts[i]:starts[i + 1]]`, with `clicked` beside them.
    """

    keys: npt.NDArray[np.generic]
    users: Rows
    at: Floats
    pages: Rows
    devices: Rows
    subscribers: Rows
    starts: Rows
    shown: Rows
    clicked: Flags

    def __len__(self) -> int:
        return len(self.at)

    def between(self, start: float, end: float) -> range:
        """Return the positions of the impressions of the half-open window [start, end)."""
        low, high = np.searchsorted(self.at, [start, end])
        return range(int(low), int(high))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvents:
    """Engagements (no impressions) in time order.

    `columns` are users, articles, kinds, times and dwell; `from_feed` says that a click answered
    a logged impression, `on_page` that this impression stood below an article. `counted` is
    False for clicks that belong to a reader's history but not into any article's counters.
    `arrives_at` f64 is when the log came to know of an event: the time it happened, or later for
    what was delivered afterwards.
    """

    columns: EventColumns
    from_feed: Flags
    on_page: Flags
    counted: Flags
    arrives_at: Floats

    def arrived(self, now: float) -> Flags:
        """Return which events had happened and were known before `now`, bool [events]."""
        return self.arrives_at < now

    def before(self, now: float) -> EventColumns:
        """Return the events that had happened and were known before `now`."""
        known = self.arrived(now) & (self.columns.occurred_at < now)
        columns = self.columns
        return EventColumns(
            users=columns.users[known],
            articles=columns.articles[known],
            kinds=columns.kinds[known],
            occurred_at=columns.occurred_at[known],
            dwell_s=columns.dwell_s[known],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """A log with its numberings. `integer_ids` says that ids were integers in the data set.

    `catalogue` holds what is known of articles (may be fewer than appear); `first_seen_at` f64
    is when each article of `articles` first appeared anywhere in the log, or was published.
    """

    name: str
    articles: IdMap
    users: IdMap
    events: LoggedEvents
    impressions: Impressions
    first_seen_at: Floats
    catalogue: tuple[Article, ...] = ()
    integer_ids: bool = field(default=False)


def sort_events(
    columns: EventColumns,
    from_feed: Flags,
    on_page: Flags,
    counted: Flags,
    arrives_at: Floats | None = None,
) -> LoggedEvents:
    """Return events in time order; of the same time, clicks come first.

    `arrives_at` is the time of the event where it is not given.
    """
    order = np.lexsort((columns.kinds != CLICK, columns.occurred_at))
    return LoggedEvents(
        columns=EventColumns(
            users=columns.users[order],
            articles=columns.articles[order],
            kinds=columns.kinds[order],
            occurred_at=columns.occurred_at[order],
            dwell_s=columns.dwell_s[order],
        ),
        from_feed=from_feed[order],
        on_page=on_page[order],
        counted=counted[order],
        arrives_at=(columns.occurred_at if arrives_at is None else arrives_at)[order],
    )


def first_appearance(
    size: int, impressions: Impressions, columns: EventColumns, catalogue: dict[int, float]
) -> Floats:
    """Return when each article first appeared, f64 [size]: publication if known, else the log."""
    seen = np.full(size, np.inf)
    np.minimum.at(seen, columns.articles, columns.occurred_at)
    counts = np.diff(impressions.starts)
    np.minimum.at(seen, impressions.shown, np.repeat(impressions.at, counts))
    for row, at in catalogue.items():
        seen[row] = at
    return seen


def kinds_of(count: int, kind: int) -> Kinds:
    """Return a column of one kind."""
    return np.full(count, kind, np.int8)
