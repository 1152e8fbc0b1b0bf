"""The slots of a stored slate as JSON columns, in which repeated values are written once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import compress, count
from operator import attrgetter
from typing import Any, TypeVar

from feed.domain import Reason, ReasonCode, Slots

V = TypeVar("V")

_reason_fields = attrgetter(
    "code", "text", "article_id", "section", "source", "readers", "window_minutes"
)
_REASON_CODES = {code.value: code for code in ReasonCode}


def slots_to_json(slots: Slots) -> list[Any]:
    """Return the columns of slots, JSON-ready.

    Sources and reasons are lists of the different values, each followed by the number of its
    value for each slot. Flags are the places where they are true.
    """
    # Reasons are told apart by identity: equal ones are mostly one object, and hashing is slow.
    reasons, reason_numbers = _number(slots.reasons, [*map(id, slots.reasons)])
    sources, source_numbers = _number(slots.sources, slots.sources)
    return [
        slots.article_ids,
        list(slots.positions),
        slots.scores,
        [[*map(_reason_fields, given)] for given in reasons],
        reason_numbers,
        sources,
        source_numbers,
        _true_at(slots.trending),
        _true_at(slots.explored),
        _true_at(slots.pinned),
        slots.propensities,
    ]


def slots_from_json(columns: list[Any]) -> Slots:
    """Return the slots that `slots_to_json` wrote."""
    ids, positions, scores, reasons, reason_numbers, sources, source_numbers = columns[:7]
    trending, explored, pinned, propensities = columns[7:]
    different_reasons = [tuple([_reason(fields) for fields in given]) for given in reasons]
    different_sources = [tuple(names) for names in sources]
    return Slots(
        article_ids=ids,
        positions=positions,
        scores=scores,
        reasons=[different_reasons[number] for number in reason_numbers],
        sources=[different_sources[number] for number in source_numbers],
        trending=_flags(trending, len(ids)),
        explored=_flags(explored, len(ids)),
        pinned=_flags(pinned, len(ids)),
        propensities=propensities,
    )


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


def _number(values: Sequence[V], keys: Sequence[Hashable]) -> tuple[list[V], list[int]]:
    """Return the different values, by their keys, and for each value its number among them."""
    numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)  # a new key: the next one
    different = dict(zip(keys, values, strict=True))
    return [*different.values()], [*map(numbers.__getitem__, keys)]


def _true_at(flags: Sequence[bool]) -> list[int]:
    return [*compress(range(len(flags)), flags)]


def _flags(places: list[int], count: int) -> list[bool]:
    flags = [False] * count
    for at in places:
        flags[at] = True
    return flags
