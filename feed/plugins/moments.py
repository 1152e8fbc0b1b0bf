"""Moment: everything that a plugin sees of a request, and nothing that happened at it or later.

The same class is filled in the service, from the live counters, and in replay, from counters that
hold the events before the moment alone. It has no way to an article, an event or a reader beyond
that, its arrays are read-only copies, and columns are made when they are first asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.features.counters import HALF_LIVES_S, Counters
from feed.features.ids import find
from feed.features.pool import ArticlePool
from feed.features.profile import Profile
from feed.features.request_context import RequestContext

Names = npt.NDArray[np.object_]
"""Strings, one for each article; empty where there is none."""

_Array = TypeVar("_Array", bound=npt.NDArray[Any])

HALF_LIVES_MINUTES = tuple(round(seconds / 60) for seconds in HALF_LIVES_S)
"""The half-lives with which clicks and impressions are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What all articles of a moment are read from; for `Articles` alone."""

    pool: ArticlePool
    content: Matrix
    counters: Counters
    now: float


class Articles:
    """Some articles, in an order, as columns: element i of each tells of article i.

    Plugins get these from a `Moment` and do not make them.
    """

    def __init__(self, known: Known, rows: Rows) -> None:
        self._known, self._rows = known, rows

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def ids(self) -> Names:
        """The publisher's ids of the articles, str [k]."""
        return _names(self._known.pool.ids.ids, self._rows)

    @cached_property
    def sections(self) -> Names:
        """Names of the sections, one spelling for each, str [k]."""
        pool = self._known.pool
        return _names(pool.sections.ids, pool.section[self._rows])

    @cached_property
    def sources(self) -> Names:
        """Names of the sources, str [k]."""
        pool = self._known.pool
        return _names(pool.sources.ids, pool.source[self._rows])

    @cached_property
    def languages(self) -> Names:
        """Codes of the languages, str [k]."""
        pool = self._known.pool
        return _names(pool.languages.ids, pool.language[self._rows])

    @cached_property
    def published_at(self) -> Floats:
        """When they were published, epoch seconds, f64 [k]; 0 if unknown."""
        return _frozen(self._known.pool.published_at[self._rows])

    @cached_property
    def first_seen_at(self) -> Floats:
        """When feed first saw them, epoch seconds, f64 [k]."""
        return _frozen(self._known.pool.first_seen_at[self._rows])

    @cached_property
    def age_hours(self) -> Floats:
        """Hours since feed first saw them, f64 [k], never negative."""
        return _frozen(np.maximum(self._known.now - self.first_seen_at, 0.0) / 3600.0)

    @cached_property
    def sponsored(self) -> Flags:
        """Which carry the label "sponsored", bool [k]."""
        return _frozen(self._known.pool.sponsored[self._rows])

    @cached_property
    def ai_generated(self) -> Flags:
        """Which were written by a machine, in whole or in part, bool [k]."""
        return _frozen(self._known.pool.ai_generated[self._rows])

    @cached_property
    def content(self) -> Matrix:
        """What they are about: unit vectors, f32 [k, d]; zero rows without one, d 0 without any."""
        return _frozen(self._known.content[self._rows])

    def clicks(self, half_life_minutes: int) -> Floats:
        """Return how many readers clicked, with a half-life, f64 [k].

        Raises:
            ValueError: the half-life is none of `HALF_LIVES_MINUTES`.
        """
        return self._count("clicks", half_life_minutes)

    def impressions(self, half_life_minutes: int) -> Floats:
        """Return how often they were in view in a feed, with a half-life, f64 [k].

        Raises:
            ValueError: the half-life is none of `HALF_LIVES_MINUTES`.
        """
        return self._count("impressions", half_life_minutes)

    @cached_property
    def readers(self) -> Floats:
        """Distinct readers since the beginning, f64 [k]."""
        return _frozen(self._known.counters.readers(self._rows))

    @cached_property
    def _counts(self) -> dict[str, Floats]:
        blocks = self._known.counters.blocks(self._rows, self._known.now)
        return {name: _frozen(values) for name, values in blocks.items()}

    def _count(self, name: str, half_life_minutes: int) -> Floats:
        if half_life_minutes not in HALF_LIVES_MINUTES:
            raise ValueError(f"half_life_minutes must be one of {HALF_LIVES_MINUTES}")
        values: Floats = self._counts[name][HALF_LIVES_MINUTES.index(half_life_minutes)]
        return values


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReaderSeen:
    """What is known of the reader at the moment; who they are is not.

    Attributes:
        clicked: the articles they clicked, newest first.
        clicked_at: when, epoch seconds, f64.
        shown_counts: how often each of the moment's articles was shown to them, f64 [k].
        followed_sections: names.
        followed_sources: names.
    """

    clicked: Articles
    clicked_at: Floats
    shown_counts: Floats
    followed_sections: tuple[str, ...]
    followed_sources: tuple[str, ...]


class Moment:
    """A request at its moment: which articles are asked about, its reader, time and place.

    Plugins get one and do not make it. For a source `articles` are those that may be shown, for a
    feature the candidates, for a rule the ranked articles in their order.
    """

    def __init__(self, known: Known, profile: Profile, request: RequestContext, rows: Rows) -> None:
        self._known, self._profile, self._request, self._rows = known, profile, request, rows

    @property
    def now(self) -> float:
        """The time of the request, epoch seconds."""
        return self._request.now

    @property
    def device(self) -> int:
        """The publisher's device code, -1 if unknown."""
        return self._request.device

    @property
    def subscriber(self) -> int:
        """The publisher's subscription code, -1 if unknown."""
        return self._request.subscriber

    @cached_property
    def articles(self) -> Articles:
        """The articles asked about."""
        return Articles(self._known, self._rows)

    @cached_property
    def page(self) -> Articles:
        """The article below which the feed stands; none on a front page."""
        return Articles(self._known, self._inside(np.array([self._request.page_row])))

    @cached_property
    def reader(self) -> ReaderSeen:
        """What is known of the reader."""
        profile, pool = self._profile, self._known.pool
        known = profile.clicked_rows < pool.size
        at = find(profile.shown_rows, self._rows)
        counts = np.zeros(len(self._rows))
        counts[at >= 0] = profile.shown_counts[at[at >= 0]]
        followed = profile.preferences
        return ReaderSeen(
            clicked=Articles(self._known, profile.clicked_rows[known]),
            clicked_at=_frozen(profile.clicked_at[known]),
            shown_counts=_frozen(counts),
            followed_sections=tuple(pool.sections.ids[i] for i in followed.followed_sections),
            followed_sources=tuple(pool.sources.ids[i] for i in followed.followed_sources),
        )

    def _inside(self, rows: Rows) -> Rows:
        return rows[(rows >= 0) & (rows < self._known.pool.size)]


def _names(names: list[str], codes: npt.NDArray[np.integer]) -> Names:
    return _frozen(np.array([names[i] if i >= 0 else "" for i in codes.tolist()], object))


def _frozen(values: _Array) -> _Array:
    values.setflags(write=False)
    return values
