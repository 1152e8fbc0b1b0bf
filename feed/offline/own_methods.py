"""Ranking methods of other people, measured in the same table: `feed evaluate --method`."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Kinds, Matrix, Rows
from feed.domain import Article, FeedError, InvalidInputError
from feed.offline.event_log import EventLog, LoggedEvents, Seen
from feed.offline.log_source import LogSource, parts

ENTRY_GROUP = "feed.methods"
"""Group of the entry points by whose names methods may be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What has happened since the last call, and nothing that happened at a list or after it.

    Articles and readers are numbers from 0 that stay the same throughout. `appeared` are the n
    articles that were not known before, with `articles` (None where only the number is known) and
    `vectors` f32 [n, d] (None without any texts; zero rows for articles without one).

    Lists that readers saw: the reader `list_users` and the time `list_at` of each; list i showed
    `shown[list_starts[i]:list_starts[i + 1]]`. What was clicked in them comes as events.

    Events in time order: `users`, `rows` (of articles), `kinds` (codes of
    `feed.features.interactions.KINDS`), `at` and `dwell_s` (NaN if unknown). `counted` is False
    for clicks that are known as a reader's history, but whose time and article's success are not.
    """

    appeared: Rows
    articles: tuple[Article | None, ...]
    vectors: Matrix | None
    list_users: Rows
    list_at: Floats
    list_starts: Rows
    shown: Rows
    users: Rows
    rows: Rows
    kinds: Kinds
    at: Floats
    dwell_s: Floats
    counted: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A list to order: `rows` of articles, for a reader at a moment (epoch seconds).

    `page` is the article below which the list stands, -1 for a front page; `device` and
    `subscriber` are the publisher's codes, -1 if unknown.
    """

    user: int
    at: float
    page: int
    device: int
    subscriber: int
    rows: Rows


class OwnMethod(Protocol):
    """A method that learns from what happened and orders lists; made without arguments.

    It is called in the log's time order. Before each list `observe` is given everything that
    happened strictly before it, so a method cannot see the future.
    """

    def observe(self, happened: Happened) -> None:
        """Learn from what has happened since the last call."""
        ...

    def score(self, asked: Asked) -> npt.ArrayLike:
        """Return a finite number for each of `asked.rows`; the highest comes first."""
        ...


class MethodError(FeedError):
    """A method raised an error, or returned what is not a score for each article."""


class OwnMethods:
    """Methods, and how far the log was shown to them.

    Args:
        names: of the methods, as `module:Class`.
        log: the log.
        vectors: f32 [len(log.articles), d], or None.

    Raises:
        InvalidInputError: one of them cannot be made, or lacks `observe` or `score`.
    """

    def __init__(self, names: Sequence[str], log: LogSource, vectors: Matrix | None) -> None:
        self._methods = {name: open_method(name) for name in names}
        self._log, self._vectors = log, vectors
        self._articles = {log.articles.row(one.article_id): one for one in log.catalogue}
        self._by_appearance = np.argsort(log.first_seen_at, kind="stable")
        self._is_known = np.zeros(len(log.articles), bool)
        self._shown_until, self._appeared = -np.inf, 0
        self._late: list[LoggedEvents] = []

    def score(self, seen: Seen, rows: Rows) -> dict[str, Floats]:
        """Return the scores of a list by every method, f64 [k] each.

        Raises:
            MethodError: a method fails.
        """
        if not self._methods:
            return {}
        self._show_before(seen.at, rows)
        asked = Asked(
            user=seen.user,
            at=seen.at,
            page=seen.page,
            device=seen.device,
            subscriber=seen.subscriber,
            rows=rows,
        )
        return {name: _score(name, method, asked) for name, method in self._methods.items()}

    def _show_before(self, now: float, rows: Rows) -> None:
        """Show what happened before `now`, and the articles that are there or stand in a list."""
        appeared = self._take_new(now, rows)
        late = [events.part(events.arrived(now)) for events in self._late]
        self._late = [rest for e in self._late if len(rest := e.part(~e.arrived(now)))]
        nothing = self._log.window(-np.inf, -np.inf)
        self._show(appeared, nothing, nothing.events)
        for events in late:
            self._show(_NONE, nothing, events)
        for part in parts(self._log, self._shown_until, now):
            arrived = part.events.arrived(now)
            self._show(_NONE, part, part.events.part(arrived))
            if not arrived.all():
                self._late.append(part.events.part(~arrived))
        self._shown_until = max(self._shown_until, now)

    def _take_new(self, now: float, rows: Rows) -> Rows:
        times = self._log.first_seen_at
        first = self._appeared
        while self._appeared < len(times) and times[self._by_appearance[self._appeared]] <= now:
            self._appeared += 1
        found = np.concatenate([self._by_appearance[first : self._appeared], rows])
        new = np.unique(found[~self._is_known[found]])
        self._is_known[new] = True
        return new

    def _show(self, appeared: Rows, part: EventLog, events: LoggedEvents) -> None:
        views, columns = part.impressions, events.columns
        if not len(appeared) and not len(views) and not len(events):
            return
        happened = Happened(
            appeared=appeared,
            articles=tuple(self._articles.get(row) for row in appeared.tolist()),
            vectors=None if self._vectors is None else self._vectors[appeared],
            list_users=views.users,
            list_at=views.at,
            list_starts=views.starts,
            shown=views.shown,
            users=columns.users,
            rows=columns.articles,
            kinds=columns.kinds,
            at=columns.occurred_at,
            dwell_s=columns.dwell_s,
            counted=events.counted,
        )
        for name, method in self._methods.items():
            with _naming(name, "observe"):
                method.observe(happened)


_NONE = np.zeros(0, np.int64)


def open_method(name: str) -> OwnMethod:
    """Return a new method, named as `module:Class` or as an entry point of `feed.methods`.

    Raises:
        InvalidInputError: there is none, it cannot be made, or it lacks `observe` or `score`.
    """
    module, colon, attribute = name.partition(":")
    entries = () if colon else entry_points(group=ENTRY_GROUP, name=name)
    if not entries and not (module and colon and attribute):
        raise InvalidInputError("--method", "must be module:Class, or a name in feed.methods")
    try:
        made = [entry.load() for entry in entries][:1]
        method = (made[0] if made else getattr(importlib.import_module(module), attribute))()
    except Exception as error:  # the code is somebody else's and may raise anything
        raise InvalidInputError("--method", f"{name}: {_told(error)}") from error
    for wanted in ("observe", "score"):
        if not callable(getattr(method, wanted, None)):
            raise InvalidInputError("--method", f"{name} has no method {wanted}")
    return cast("OwnMethod", method)


def _score(name: str, method: OwnMethod, asked: Asked) -> Floats:
    with _naming(name, "score"):
        scores = np.asarray(method.score(asked), np.float64)
    if scores.shape != (len(asked.rows),):
        raise MethodError(
            f"{name}: score must return {len(asked.rows)} numbers, not shape {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise MethodError(f"{name}: score must return finite numbers")
    return scores


@contextmanager
def _naming(name: str, step: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the code is somebody else's and may raise anything
        raise MethodError(f"{name}: {step} failed: {_told(error)}") from error


def _told(error: Exception) -> str:
    """Return an error with the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
