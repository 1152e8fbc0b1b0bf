"""PreparedLog: the log as Spark left it in Parquet files, a part at a time; and its readers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feed.arrays import Column, Floats, Integers, Rows
from feed.config import RankingConfig
from feed.domain import Article
from feed.features.ids import IdMap
from feed.features.interactions import EventColumns
from feed.features.profile import Profile
from feed.offline.event_log import (
    UNPLACED,
    EventLog,
    Impressions,
    ListPlaces,
    LoggedEvents,
)
from feed.offline.log_source import PART_S, join_parts
from feed.offline.merges import Merges
from feed.offline.previous_clicks import PreviousClicks
from feed.offline.reader_log import ReaderLog
from feed.offline.spark.log_facts import LogFacts
from feed.offline.spark.process_exchange import from_bytes

EVENTS, LISTS, PROFILES = "events", "lists", "profiles"


@dataclass(frozen=True, slots=True)
class _Part:
    log: EventLog
    previous: PreviousClicks
    profiles: dict[tuple[int, float], bytes]


class PreparedLog:
    """A `LogSource` over the files that the reader passes wrote, of which one part is held.

    Users are not numbered: the user of a list is its viewer, -1 if nobody looks at the list, and
    those of events are all 0. `PreparedReaders` knows what readers did before.

    Args:
        directory: with a folder for each of `EVENTS`, `LISTS` and `PROFILES`.
        facts: of the log.
    """

    name = "archive"
    integer_ids = False
    text_keys = False
    late_until = -np.inf

    def __init__(self, directory: Path, facts: LogFacts) -> None:
        self._directory, self._facts = directory, facts
        self.users = IdMap()
        self.merges: Merges = facts.merges()
        self._held: dict[int, _Part] = {}

    @property
    def articles(self) -> IdMap:
        """The numbering of articles."""
        return self._facts.articles

    @property
    def first_seen_at(self) -> Floats:
        """When each article first appeared, f64 [articles]."""
        return self._facts.first_seen_at

    @property
    def catalogue(self) -> tuple[Article, ...]:
        """What is known of articles."""
        return self._facts.catalogue

    @property
    def begins_at(self) -> float:
        """Time of the first event or list."""
        return self._facts.begins_at

    @property
    def ends_at(self) -> float:
        """Time of the last event or list."""
        return self._facts.ends_at

    @property
    def lists_from(self) -> float:
        """Time of the first list."""
        return self._facts.lists_from

    def window(self, start: float, end: float) -> EventLog:
        """Return what happened in [start, end), under the same numbers."""
        low = int(max(start - self.begins_at, 0.0) // PART_S)
        high = int((min(end, self.ends_at + 1.0) - self.begins_at) // PART_S)
        found = [self.part(number).log.window(start, end) for number in range(low, high + 1)]
        found = [log for log in found if np.isfinite(log.begins_at)]
        if not found:
            return self.part(0).log.window(-np.inf, -np.inf)
        first = next((log.impressions.first for log in found if len(log.impressions)), 0)
        log = join_parts(found)
        return replace(log, impressions=replace(log.impressions, first=first))

    def part(self, number: int) -> _Part:
        """Return a part of the log, with what readers did before its clicks and lists."""
        if number not in self._held:
            if len(self._held) > 1:
                del self._held[next(iter(self._held))]
            self._held[number] = self._read(number)
        return self._held[number]

    def part_at(self, at: float) -> _Part:
        """Return the part that a time lies in."""
        return self.part(int(self._facts.part_of(np.array([at]))[0]))

    def _read(self, number: int) -> _Part:
        events, previous = _events(self._table(EVENTS, number))
        log = EventLog(
            name=self.name,
            articles=self.articles,
            users=self.users,
            events=events,
            impressions=_impressions(
                self._table(LISTS, number), knows_places=self._facts.knows_places
            ),
            first_seen_at=self.first_seen_at,
            catalogue=self.catalogue,
            merges=self.merges,
        )
        table = self._table(PROFILES, number)
        viewers, at = _plain(table, "viewer"), _plain(table, "occurred_at", np.float64)
        profiles = [] if table is None else table["profile"].to_pylist()
        keys = zip(viewers.tolist(), at.tolist(), strict=True)
        return _Part(log, previous, dict(zip(keys, profiles, strict=True)))

    def _table(self, folder: str, number: int) -> pa.Table | None:
        paths = sorted((self._directory / folder / f"part={number}").glob("*.parquet"))
        return pa.concat_tables([pq.ParquetFile(p).read() for p in paths]) if paths else None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": {}}


class PreparedReaders(ReaderLog):
    """What a `ReaderLog` says of the viewers of a prepared log, which it has worked out before."""

    def __init__(self, log: PreparedLog) -> None:
        super().__init__()
        self._log = log

    def take(self, part: EventLog) -> None:
        """Do nothing: the log has everything."""

    def profile(self, user: int, now: float, config: RankingConfig) -> Profile:
        """Return a viewer's profile; it was made with the parameters of the training."""
        del config
        profile: Profile = from_bytes(self._log.part_at(now).profiles[user, now])
        return profile

    def previous_of(self, events: LoggedEvents, clicks: Rows) -> tuple[Rows, Floats, Integers]:
        """Return rows and times of the clicks before some, and how many belong to each."""
        if not len(clicks):
            return np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        times = events.columns.occurred_at
        part = self._log.part_at(float(times[0]))
        whole = part.log.events.columns.occurred_at
        return part.previous.of(clicks + int(np.searchsorted(whole, times[0], "left")))


def _events(table: pa.Table | None) -> tuple[LoggedEvents, PreviousClicks]:
    at = _plain(table, "occurred_at", np.float64)
    columns = EventColumns(
        users=np.zeros(len(at), np.int64),
        articles=_plain(table, "article"),
        kinds=_plain(table, "kind", np.int8),
        occurred_at=at,
        dwell_s=_plain(table, "dwell_s", np.float64),
    )
    flags = {n: _plain(table, n, np.bool_) for n in ("from_feed", "on_page", "counted", "first")}
    rows, starts = _flat(table, "previous")
    times, _ = _flat(table, "previous_at", np.float64)
    previous = PreviousClicks(rows, times, starts[:-1], np.diff(starts))
    return LoggedEvents(columns=columns, arrives_at=at, **flags), previous


def _impressions(table: pa.Table | None, *, knows_places: bool) -> Impressions:
    numbers = _plain(table, "number")
    shown, starts = _flat(table, "shown")
    return Impressions(
        keys=numbers,
        users=_plain(table, "viewer"),
        at=_plain(table, "occurred_at", np.float64),
        pages=_plain(table, "page"),
        devices=_plain(table, "device"),
        subscribers=np.full(len(numbers), -1, np.int64),
        starts=starts,
        shown=shown,
        clicked=_flat(table, "clicked", np.bool_)[0],
        placed=_placed(table) if knows_places else UNPLACED,
        first=int(numbers[0]) if len(numbers) else 0,
    )


def _placed(table: pa.Table | None) -> ListPlaces:
    return ListPlaces(
        places=_flat(table, "places")[0],
        scores=_flat(table, "scores", np.float32)[0],
        drawn=_flat(table, "drawn", np.bool_)[0],
    )


def _plain(table: pa.Table | None, name: str, kind: npt.DTypeLike = np.int64) -> Column:
    """Return a column; an empty one of no table."""
    if table is None:
        return np.zeros(0, kind)
    return np.asarray(table[name].to_numpy(), kind)


def _flat(
    table: pa.Table | None, name: str, kind: npt.DTypeLike = np.int64
) -> tuple[Column, Integers]:
    """Return the values of a column of lists, and where each list begins and the last one ends."""
    if table is None:
        return np.zeros(0, kind), np.zeros(1, np.int64)
    column = table[name].combine_chunks()
    sizes = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    values = column.flatten().to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.asarray(values, kind), starts
