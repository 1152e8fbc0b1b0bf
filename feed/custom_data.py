"""The rules of what a newsroom defines itself: its own events."""

from __future__ import annotations

import re

from feed.domain import Event, EventKind, InvalidInputError

EVENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What the name of a custom event may be."""
LARGEST_VALUE = 1e12
"""Largest absolute value of a custom event: sums of squares stay far from the end of a float."""

_NAME_RULE = (
    "must be 1 to 64 lower-case letters, digits and _, starting with a letter, for kind custom"
)


def check_event(event: Event) -> Event:
    """Return an event if its fields suit its kind.

    Raises:
        InvalidInputError: a custom event has no valid name, or its value is out of range; any
            other event has no article, or has a name or a value.
    """
    if event.kind is not EventKind.CUSTOM:
        if event.name or event.value is not None:
            raise InvalidInputError("name" if event.name else "value", "is only for kind custom")
        if not event.article_id:
            raise InvalidInputError("article_id", "must be given, except for kind custom")
        return event
    if not EVENT_NAME.fullmatch(event.name):
        raise InvalidInputError("name", _NAME_RULE)
    if event.value is not None and not abs(event.value) <= LARGEST_VALUE:
        raise InvalidInputError("value", f"must be a number from -{LARGEST_VALUE:g} to 1e+12")
    return event
