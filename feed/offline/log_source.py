"""LogSource: a log that is read a day at a time, in memory or from files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from feed.arrays import Columns, Floats
from feed.config import DAY_S
from feed.domain import Article
from feed.features.ids import IdMap
from feed.features.interactions import EventColumns
from feed.offline.event_log import EventLog, Impressions, ListPlaces, LoggedEvents
from feed.offline.merges import Merges

PART_S = DAY_S
"""Span of a log that is held at once."""


class LogSource(Protocol):
    """What a replay needs of a log: its numberings, its span, and any window of it."""

    @property
    def name(self) -> str:
        """The data set."""
        ...

    @property
    def articles(self) -> IdMap:
        """The numbering of articles."""
        ...

    @property
    def users(self) -> IdMap:
        """The numbering of readers."""
        ...

    @property
    def first_seen_at(self) -> Floats:
        """When each article first appeared, f64 [articles]."""
        ...

    @property
    def catalogue(self) -> tuple[Article, ...]:
        """What is known of articles."""
        ...

    @property
    def merges(self) -> Merges:
        """Which users became one reader, and when."""
        ...

    @property
    def integer_ids(self) -> bool:
        """Ids were integers in the data set."""
        ...

    @property
    def text_keys(self) -> bool:
        """Impressions are named by texts in the data set, not by numbers."""
        ...

    @property
    def begins_at(self) -> float:
        """Time of the first event or impression, epoch seconds; inf in an empty log."""
        ...

    @property
    def ends_at(self) -> float:
        """Time of the last event or impression, epoch seconds; inf in an empty log."""
        ...

    @property
    def lists_from(self) -> float:
        """Time of the first impression, epoch seconds; inf where there is none."""
        ...

    @property
    def late_until(self) -> float:
        """When the last event that was delivered late had arrived; -inf if none was."""
        ...

    def window(self, start: float, end: float) -> EventLog:
        """Return what happened in [start, end), under the same numbers."""
        ...


def parts(source: LogSource, start: float, end: float) -> Iterator[EventLog]:
    """Yield what happened in [start, end), `PART_S` at a time; empty spans are left out.

    The cuts lie at the same times whatever the window, counted from the log's begin.
    """
    begin, last = source.begins_at, source.ends_at
    if not np.isfinite(begin):
        return
    number = int(max(start - begin, 0.0) // PART_S)
    while (low := begin + number * PART_S) < end and low <= last:
        number += 1
        part = source.window(max(low, start), min(begin + number * PART_S, end))
        if np.isfinite(part.begins_at):
            yield part


class StoredLog:
    """A log in files of one part each, of which the last one read is held.

    The numberings, and the first appearance of each article, stay in memory: they grow with the
    number of articles and readers. Events and lists do not: whoever reads a window holds that.
    It can be sent to another process, which reads the same files.
    """

    def __init__(self, log: EventLog, directory: Path) -> None:
        """Write a log's parts into a directory, which must stay as long as this is used."""
        self._directory = directory
        self._empty = log.window(-np.inf, -np.inf)
        self.name, self.integer_ids, self.text_keys = log.name, log.integer_ids, log.text_keys
        self.articles, self.users, self.merges = log.articles, log.users, log.merges
        self.first_seen_at, self.catalogue = log.first_seen_at, log.catalogue
        self.begins_at, self.ends_at = log.begins_at, log.ends_at
        self.lists_from, self.late_until = log.lists_from, log.late_until
        self._held: tuple[int, EventLog] | None = None
        self._numbers: list[int] = []
        for part in parts(log, -np.inf, np.inf):
            number = int((part.begins_at - self.begins_at) // PART_S)
            np.savez(self._path(number), allow_pickle=False, **_pack(part))
            self._numbers.append(number)

    def window(self, start: float, end: float) -> EventLog:
        """Return what happened in [start, end), under the same numbers."""
        if not np.isfinite(self.begins_at):
            return self._empty
        span = float(min(end, self.ends_at + 1.0)) - self.begins_at
        low = int(max(start - self.begins_at, 0.0) // PART_S)
        high = int(np.ceil(max(span, 0.0) / PART_S))
        wanted = [number for number in self._numbers if low <= number < high]
        found = [self._read(number).window(start, end) for number in wanted]
        return join_parts(found) if found else self._empty

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": None}

    def _read(self, number: int) -> EventLog:
        if self._held is None or self._held[0] != number:
            with np.load(self._path(number), allow_pickle=False) as columns:
                self._held = number, _unpack(self._empty, dict(columns))
        return self._held[1]

    def _path(self, number: int) -> Path:
        return self._directory / f"part-{number:05d}.npz"


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """Return a directory for a `StoredLog` that goes when it is closed."""
    return tempfile.TemporaryDirectory(prefix="feed-log-")


def _pack(log: EventLog) -> Columns:
    events, views = log.events, log.impressions
    packed = {f"columns.{f.name}": getattr(events.columns, f.name) for f in fields(EventColumns)}
    packed |= {f"events.{name}": getattr(events, name) for name in _names(LoggedEvents, "columns")}
    for name in _names(Impressions, "first", "placed"):
        packed[f"views.{name}"] = getattr(views, name)
    packed |= {f"placed.{name}": getattr(views.placed, name) for name in _names(ListPlaces)}
    return packed | {"views.first": np.array(views.first)}


def _unpack(empty: EventLog, packed: Columns) -> EventLog:
    columns = EventColumns(**_room(packed, "columns"))
    views = _room(packed, "views")
    first = int(views.pop("first"))
    return replace(
        empty,
        events=LoggedEvents(columns=columns, **_room(packed, "events")),
        impressions=Impressions(first=first, placed=ListPlaces(**_room(packed, "placed")), **views),
    )


def _room(packed: Columns, room: str) -> dict[str, Any]:
    return {
        name.partition(".")[2]: values
        for name, values in packed.items()
        if name.startswith(f"{room}.")
    }


def _names(kind: Any, *left_out: str) -> list[str]:
    return [f.name for f in fields(kind) if f.name not in left_out]


def join_parts(found: list[EventLog]) -> EventLog:
    """Return parts of one log that follow on each other, at least one, as one part."""
    if len(found) == 1:
        return found[0]
    packed = [_pack(part) for part in found]
    whole = {
        name: np.concatenate([part[name] for part in packed])
        for name in packed[0]
        if name not in ("views.starts", "views.first")
    }
    sizes = np.concatenate([np.diff(part["views.starts"]) for part in packed])
    whole["views.starts"] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    whole["views.first"] = packed[0]["views.first"]
    return _unpack(found[0], whole)
