"""EventLog: everything that was shown and done, as columns in time order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Kinds, Rows
from feed.domain import Article
from feed.features.ids import IdMap, stable_order
from feed.features.interactions import CLICK, EventColumns
from feed.offline.merges import Merges


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPlaces:
    """How the feed placed articles, one entry for each shown; all empty where no log says so.

    `places` int64 count from 0, -1 where the place is not known. `scores` f32 are those by which
    the feed placed an article, NaN where something else did: chance, an editor, another product.
    `drawn`: chance alone did.
    """

    places: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    drawn: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))

    def part(self, wanted: slice) -> ListPlaces:
        """Return some entries; nothing of nothing."""
        if not len(self.places):
            return self
        return ListPlaces(
            places=self.places[wanted], scores=self.scores[wanted], drawn=self.drawn[wanted]
        )


UNPLACED = ListPlaces()
"""Of a log that says of no list how it was placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One list that a reader saw: its number in the log, and the columns of `Impressions`."""

    number: int
    key: int | str
    user: int
    at: float
    page: int
    device: int
    subscriber: int
    shown: Rows
    clicked: Flags
    placed: ListPlaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Impressions:
    """Lists that readers saw, in time order; n of them.

    `keys` are the data set's own ids (int64 or str), `users` rows, `at` epoch seconds,
    `pages` the article row below which the list stood (-1: a front page), `devices` and
    `subscribers` the publisher's codes (-1 unknown). The articles of impression i are
    `shown[starts[i]:starts[i + 1]]`, with `clicked` beside them, and how the feed `placed` them.
    `first` is the number that impression 0 has in the whole log.
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
    placed: ListPlaces = UNPLACED
    first: int = 0

    @classmethod
    def none(cls) -> Impressions:
        """Return no list at all."""
        rows = np.zeros(0, np.int64)
        return cls(
            keys=rows,
            users=rows,
            at=np.zeros(0),
            pages=rows,
            devices=rows,
            subscribers=rows,
            starts=np.zeros(1, np.int64),
            shown=rows,
            clicked=np.zeros(0, np.bool_),
        )

    def __len__(self) -> int:
        return len(self.at)

    def __iter__(self) -> Iterator[Seen]:
        columns = (self.keys, self.users, self.at, self.pages, self.devices, self.subscribers)
        ends = self.starts.tolist()
        for i, (key, user, at, page, device, subscriber) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            yield Seen(
                number=self.first + i,
                key=key,
                user=user,
                at=at,
                page=page,
                device=device,
                subscriber=subscriber,
                shown=self.shown[ends[i] : ends[i + 1]],
                clicked=self.clicked[ends[i] : ends[i + 1]],
                placed=self.placed.part(slice(ends[i], ends[i + 1])),
            )

    def between(self, start: float, end: float) -> range:
        """Return the positions of the impressions of the half-open window [start, end)."""
        low, high = np.searchsorted(self.at, [start, end])
        return range(int(low), int(high))

    def window(self, start: float, end: float) -> Impressions:
        """Return the impressions of [start, end)."""
        span = self.between(start, end)
        low, high = span.start, max(span.start, span.stop)
        shown = slice(int(self.starts[low]), int(self.starts[high]))
        return Impressions(
            keys=self.keys[low:high],
            users=self.users[low:high],
            at=self.at[low:high],
            pages=self.pages[low:high],
            devices=self.devices[low:high],
            subscribers=self.subscribers[low:high],
            starts=self.starts[low : high + 1] - self.starts[low],
            shown=self.shown[shown],
            clicked=self.clicked[shown],
            placed=self.placed.part(shown),
            first=self.first + low,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvents:
    """Engagements (no impressions) in time order.

    `columns` are users, articles, kinds, times and dwell; `from_feed` says that a click answered
    a logged impression, `on_page` that this impression stood below an article. `counted` is
    False for clicks that belong to a reader's history but not into any article's counters.
    `arrives_at` f64 is when the log came to know of an event: the time it happened, or later for
    what was delivered afterwards. `first` marks a reader's first click on an article; events that
    arrived late are not asked: nothing was counted for them at the time.
    """

    columns: EventColumns
    from_feed: Flags
    on_page: Flags
    counted: Flags
    arrives_at: Floats
    first: Flags

    def __len__(self) -> int:
        return len(self.from_feed)

    def arrived(self, now: float) -> Flags:
        """Return which events had happened and were known before `now`, bool [events]."""
        return self.arrives_at < now

    def before(self, now: float) -> EventColumns:
        """Return the events that had happened and were known before `now`."""
        wanted = self.arrived(now) & (self.columns.occurred_at < now)
        return self.columns if wanted.all() else self.part(wanted).columns

    def window(self, start: float, end: float) -> LoggedEvents:
        """Return the events that happened in [start, end)."""
        low, high = np.searchsorted(self.columns.occurred_at, [start, end]).tolist()
        return self.part(slice(low, max(low, high)))

    def with_counted_first(self) -> LoggedEvents:
        """Return the events, of whose clicks only the `counted` ones can be a reader's first.

        The service knew of clicks before the log's window, and of those under another id.
        """
        return replace(self, first=self.first & self.counted)

    def part(self, wanted: slice | Flags | Rows) -> LoggedEvents:
        """Return some of the events, in the order named."""
        columns = self.columns
        return LoggedEvents(
            columns=EventColumns(
                users=columns.users[wanted],
                articles=columns.articles[wanted],
                kinds=columns.kinds[wanted],
                occurred_at=columns.occurred_at[wanted],
                dwell_s=columns.dwell_s[wanted],
            ),
            from_feed=self.from_feed[wanted],
            on_page=self.on_page[wanted],
            counted=self.counted[wanted],
            arrives_at=self.arrives_at[wanted],
            first=self.first[wanted],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """A log with its numberings. `integer_ids` says that ids were integers in the data set.

    Users are ids as they were logged; `merges` says which of them became one, and when.

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
    merges: Merges = field(default_factory=Merges)
    integer_ids: bool = field(default=False)

    @property
    def begins_at(self) -> float:
        """Time of the first event or impression, epoch seconds; inf in an empty log."""
        return min(_end(self.events.columns.occurred_at, 0), _end(self.impressions.at, 0))

    @property
    def ends_at(self) -> float:
        """Time of the last event or impression, epoch seconds; inf in an empty log."""
        columns = (self.events.columns.occurred_at, self.impressions.at)
        return max((float(at[-1]) for at in columns if len(at)), default=np.inf)

    @property
    def lists_from(self) -> float:
        """Time of the first impression, epoch seconds; inf where there is none."""
        return _end(self.impressions.at, 0)

    @property
    def text_keys(self) -> bool:
        """Impressions are named by texts in the data set, not by numbers."""
        return not np.issubdtype(self.impressions.keys.dtype, np.integer)

    @property
    def late_until(self) -> float:
        """When the last event that was delivered late had arrived; -inf if none was."""
        late = self.events.arrives_at > self.events.columns.occurred_at
        return float(self.events.arrives_at[late].max(initial=-np.inf))

    def window(self, start: float, end: float) -> EventLog:
        """Return what happened in [start, end), under the same numbers."""
        return replace(
            self,
            events=self.events.window(start, end),
            impressions=self.impressions.window(start, end),
        )


def sort_events(
    columns: EventColumns,
    from_feed: Flags,
    on_page: Flags,
    counted: Flags,
    arrives_at: Floats | None = None,
) -> LoggedEvents:
    """Return events in time order; of the same time, clicks come first.

    What is left equal is ordered by its other columns, so that the order in which a data set was
    read decides nothing. `arrives_at` is the time of the event where it is not given.
    """
    order = _time_order(columns)
    arrives = columns.occurred_at if arrives_at is None else arrives_at
    unmarked = np.zeros(len(order), bool)
    events = LoggedEvents(
        columns=columns,
        from_feed=from_feed,
        on_page=on_page,
        counted=counted,
        arrives_at=arrives,
        first=unmarked,
    ).part(order)
    return replace(events, first=_first_clicks(events))


def _time_order(columns: EventColumns) -> Rows:
    """Return the order of `sort_events`; few events share a time, and only these are compared."""
    order = np.argsort(columns.occurred_at, kind="stable")
    at = columns.occurred_at[order]
    repeats = np.zeros(len(at) + 1, np.bool_)
    np.equal(at[1:], at[:-1], out=repeats[1:-1])
    places = np.flatnonzero(repeats[1:] | repeats[:-1])
    tied = order[places]
    kinds = columns.kinds[tied]
    order[places] = tied[
        np.lexsort(
            (
                columns.dwell_s[tied],
                kinds,
                columns.articles[tied],
                columns.users[tied],
                kinds != CLICK,
                columns.occurred_at[tied],
            )
        )
    ]
    return order


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


def _first_clicks(events: LoggedEvents) -> Flags:
    columns = events.columns
    timely = events.arrives_at <= columns.occurred_at
    clicks = np.flatnonzero((columns.kinds == CLICK) & timely)
    width = np.int64(columns.articles.max(initial=0)) + 1
    pairs = columns.users[clicks] * width + columns.articles[clicks]
    order = stable_order(pairs)
    ordered = pairs[order]
    is_first = np.ones(len(order), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    flags = np.zeros(len(columns.users), bool)
    flags[clicks[order[is_first]]] = True
    return flags


def _end(times: Floats, place: int) -> float:
    return float(times[place]) if len(times) else np.inf
