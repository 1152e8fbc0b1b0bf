"""The rules of what a newsroom defines itself: its own events and attributes of readers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from feed.domain import Event, EventKind, InvalidInputError

EVENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What the name of a custom event may be."""
LARGEST_VALUE = 1e12
"""Largest absolute value of a custom event: sums of squares stay far from the end of a float."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What no name may hold: control characters and line breaks."""

ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""What the name of an attribute may be."""
MOST_ATTRIBUTES = 16
"""Attributes of one reader."""
LONGEST_VALUE = 64
"""Characters of an attribute's value."""
LONGEST_TEXT = MOST_ATTRIBUTES * (32 + LONGEST_VALUE + 2)
"""Characters of all attributes as a query writes them."""

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


def check_text(field: str, text: str) -> None:
    """Check that a name in a decision of the newsroom can be read.

    Raises:
        InvalidInputError: it holds control characters.
    """
    if CONTROL.search(text):
        raise InvalidInputError(field, "must hold no control characters")


def check_attribute_name(field: str, name: str) -> None:
    """Check the name of an attribute.

    Raises:
        InvalidInputError: it breaks a rule; `field` is what holds the attribute.
    """
    if not ATTRIBUTE_NAME.fullmatch(name):
        raise InvalidInputError(
            f"{field}.{name[:64]}",
            "must be a name of 1 to 32 lower-case letters, digits and _, starting with a letter",
        )


def check_attribute(field: str, name: str, value: str) -> str:
    """Return the value of an attribute as it is kept: trimmed, in lower case.

    Raises:
        InvalidInputError: the name or the value breaks a rule; `field` is what holds them.
    """
    check_attribute_name(field, name)
    kept = value.strip().lower()
    if not 1 <= len(kept) <= LONGEST_VALUE or "," in kept or not kept.isprintable():
        raise InvalidInputError(
            f"{field}.{name}",
            f"must be text of 1 to {LONGEST_VALUE} printable characters without commas",
        )
    return kept


def check_attributes(field: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of a reader as they are kept.

    Raises:
        InvalidInputError: there are too many, or one of them breaks a rule.
    """
    if len(attributes) > MOST_ATTRIBUTES:
        raise InvalidInputError(field, f"must be at most {MOST_ATTRIBUTES} attributes")
    return {name: check_attribute(field, name, value) for name, value in attributes.items()}


def read_attributes(field: str, text: str) -> dict[str, str]:
    """Return the attributes that a query states, as `name:value,name:value`.

    Raises:
        InvalidInputError: it is written in another way, or one of them breaks a rule.
    """
    pairs = [part.partition(":") for part in text.split(",")] if text.strip() else []
    if any(not colon for _, colon, _ in pairs):
        raise InvalidInputError(field, "must be written as name:value,name:value")
    names = [name.strip() for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise InvalidInputError(field, "must name each attribute once")
    values = (value for _, _, value in pairs)
    return check_attributes(field, dict(zip(names, values, strict=True)))
