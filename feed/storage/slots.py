"""Slots: a slate as columns, whose slots become objects only when somebody looks at them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, count
from operator import attrgetter
from typing import Any, TypeVar, overload

from feed.domain import FeedItem, Reason, ReasonCode

H = TypeVar("H", bound=Hashable)

_REASON_CODES = {code.value: code for code in ReasonCode}
_FIELDS = attrgetter(
    "article_id", "position", "score", "reasons", "sources", "trending", "explored", "pinned",
    "propensity",
)  # fmt: skip
_COLUMNS = attrgetter(
    "article_ids", "positions", "scores", "reasons", "sources", "trending", "explored", "pinned",
    "propensities",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slots(Sequence[FeedItem]):
    """The slots of one slate, column by column; the fields are those of `FeedItem`.

    A slate has ten times as many slots as the page that is shown of it. Kept as columns, the
    others cost neither an object each when the slate is made nor when it is read again.
    """

    article_ids: Sequence[str]
    positions: Sequence[int]
    scores: Sequence[float]
    reasons: Sequence[tuple[Reason, ...]]
    sources: Sequence[tuple[str, ...]]
    trending: Sequence[bool]
    explored: Sequence[bool]
    pinned: Sequence[bool]
    propensities: Sequence[float]

    @classmethod
    def of(cls, items: Iterable[FeedItem]) -> Slots:
        """Return the columns of slots, which may be columns already."""
        if isinstance(items, Slots):
            return items
        columns = tuple(zip(*map(_FIELDS, items), strict=True))
        return cls(*columns) if columns else cls(*([()] * 9))

    def pick(self, places: Sequence[int]) -> Slots:
        """Return the slots at some places, in their order."""
        return Slots(*([column[at] for at in places] for column in _COLUMNS(self)))

    def __len__(self) -> int:
        return len(self.article_ids)

    @overload
    def __getitem__(self, at: int) -> FeedItem: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[FeedItem, ...]: ...
    def __getitem__(self, at: int | slice) -> FeedItem | tuple[FeedItem, ...]:
        if isinstance(at, slice):
            return tuple([self[i] for i in range(*at.indices(len(self)))])
        return FeedItem(
            article_id=self.article_ids[at],
            position=self.positions[at],
            score=self.scores[at],
            reasons=self.reasons[at],
            sources=self.sources[at],
            trending=self.trending[at],
            explored=self.explored[at],
            pinned=self.pinned[at],
            propensity=self.propensities[at],
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def to_json(self) -> list[Any]:
        """Return the columns, JSON-ready: what repeats is listed once and named by its place."""
        sources, of_sources = _listed(self.sources)
        # Reasons are told apart as objects: equal ones mostly are one, and hashing is dear.
        names = [*map(id, self.reasons)]
        _, of_reasons = _listed(names)
        reasons = dict(zip(names, self.reasons, strict=True)).values()
        return [
            self.article_ids,
            list(self.positions),
            self.scores,
            [[reason_fields(reason) for reason in group] for group in reasons],
            of_reasons,
            sources,
            of_sources,
            _true_at(self.trending),
            _true_at(self.explored),
            _true_at(self.pinned),
            self.propensities,
        ]

    @classmethod
    def from_json(cls, columns: list[Any]) -> Slots:
        """Return the slots that `to_json` gave."""
        ids, positions, scores, reasons, of_reasons, sources, of_sources = columns[:7]
        trending, explored, pinned, propensities = columns[7:]
        count = len(ids)
        groups = [tuple([_reason(fields) for fields in group]) for group in reasons]
        names = [tuple(group) for group in sources]
        return cls(
            ids,
            positions,
            scores,
            [groups[i] for i in of_reasons],
            [names[i] for i in of_sources],
            _flags(trending, count),
            _flags(explored, count),
            _flags(pinned, count),
            propensities,
        )


def reason_fields(reason: Reason) -> list[Any]:
    """Return a reason as a list, JSON-ready."""
    return [
        reason.code,
        reason.text,
        reason.article_id,
        reason.section,
        reason.source,
        reason.readers,
        reason.window_minutes,
    ]


def _reason(fields: list[Any]) -> Reason:
    code, text, article_id, section, source, readers, window_minutes = fields
    return Reason(
        code=_REASON_CODES[code],
        text=text,
        article_id=article_id,
        section=section,
        source=source,
        readers=readers,
        window_minutes=window_minutes,
    )


def _listed(column: Iterable[H]) -> tuple[list[H], list[int]]:
    """Return the different values of a column and, for each element, the place of its value."""
    places: defaultdict[H, int] = defaultdict(count().__next__)
    of_values = [*map(places.__getitem__, column)]
    return [*places], of_values


def _true_at(flags: Sequence[bool]) -> list[int]:
    return [*compress(range(len(flags)), flags)]


def _flags(places: list[int], count: int) -> list[bool]:
    flags = [False] * count
    for at in places:
        flags[at] = True
    return flags
