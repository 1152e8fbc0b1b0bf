"""Pins: added, removed and replaced by editors, each change with its audit entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from feed.catalogue.decisions import TAKEN_BACK, Editor
from feed.custom_data import check_attribute, check_attribute_name, check_text
from feed.domain import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    Pin,
    format_time,
    parse_time,
)
from feed.storage.catalogue_part import CataloguePart
from feed.storage.records import AuditEntry

MOST_PINS = 200
ATTEMPTS = 20
"""How often a change is tried, because somebody else may change the pins meanwhile."""
SUBJECT = "pins"
PINS = "pins"
"""Name of the pins in audit entries."""

Decide = Callable[[list[Pin]], list[Pin]]
"""Takes the pins that have not ended; returns what they are to be."""


def check_pin(pin: Pin, place: str = "") -> Pin:
    """Return a pin if it may be set, its attributes in the form in which readers have them.

    Args:
        pin: the pin.
        place: what comes before the names of its fields: `pins.3.`.

    Raises:
        InvalidInputError: it ends before it starts, a name of it holds control characters, or it
            names no such attribute as there may be.
    """
    if pin.ends_at <= pin.starts_at:
        raise InvalidInputError(f"{place}ends_at", "must be after starts_at")
    check_text(f"{place}section", pin.section)
    for kind, names in (("platforms", pin.platforms), ("languages", pin.languages)):
        for name in names:
            check_text(f"{place}{kind}", name)
    field = f"{place}attributes"
    for name in pin.attributes:
        check_attribute_name(field, name)
    attributes = {
        name: tuple(check_attribute(field, name, value) if value else "" for value in values)
        for name, values in pin.attributes.items()
    }
    return replace(pin, attributes=attributes)


def replace_pins(
    store: CataloguePart, pins: Sequence[Pin], editor: Editor, version: str | None = None
) -> AuditEntry | None:
    """Replace all pins; return the entry, None if they were the same already.

    Args:
        store: keeps them.
        pins: all that there are to be.
        editor: who does it.
        version: of the pins that they knew, as `present_pins` gave it; None: whatever is there.

    Raises:
        InvalidInputError: a pin breaks a rule.
        ConflictError: somebody else has changed the pins since.
    """
    checked = [check_pin(pin, f"pins.{number}.") for number, pin in enumerate(pins)]
    return _change(store, SUBJECT, "replaced", lambda _: checked, editor, version)


def add_pin(store: CataloguePart, pin: Pin, editor: Editor) -> AuditEntry | None:
    """Pin an article; a pin that it has in the same feeds moves. Return the entry.

    Raises:
        InvalidInputError: the pin breaks a rule.
        ConflictError: there are as many pins as there may be.
    """
    checked = check_pin(pin)

    def add(pins: list[Pin]) -> list[Pin]:
        return [*(other for other in pins if feeds_of(other) != feeds_of(checked)), checked]

    return _change(store, f"{SUBJECT}/{pin.article_id}", "pinned", add, editor)


def remove_pins(store: CataloguePart, article_id: str, editor: Editor) -> AuditEntry | None:
    """Take away every pin of an article; return the entry.

    Raises:
        NotFoundError: it has none.
    """

    def remove(pins: list[Pin]) -> list[Pin]:
        left = [pin for pin in pins if pin.article_id != article_id]
        if len(left) == len(pins):
            raise NotFoundError("the article is not pinned")
        return left

    return _change(store, f"{SUBJECT}/{article_id}", "unpinned", remove, editor)


def take_back_pins(store: CataloguePart, entry: AuditEntry, editor: Editor) -> AuditEntry:
    """Take back what an entry did to pins, and leave all other pins as they are.

    Raises:
        ConflictError: the pins that the entry is about were changed since.
    """
    before, left = (_read(side, editor.at) for side in (entry.before, entry.after))
    article_id = entry.subject.partition("/")[2]

    def restore(pins: list[Pin]) -> list[Pin]:
        if _described(pins, article_id) != _described(left, article_id):
            raise ConflictError("the pins were changed since: look at them again")
        return [*(pin for pin in pins if article_id not in ("", pin.article_id)), *before]

    done = _change(store, entry.subject, TAKEN_BACK, restore, editor)
    if done is None:
        raise ConflictError("these pins have ended: there is nothing to take back")
    return done


def present_pins(store: CataloguePart, now: float) -> tuple[list[Pin], str]:
    """Return the pins that have not ended, and the version that `replace_pins` compares."""
    pins, version = store.read_pins()
    return [pin for pin in pins if pin.ends_at > now], version


def _change(
    store: CataloguePart,
    subject: str,
    action: str,
    decide: Decide,
    editor: Editor,
    version: str | None = None,
) -> AuditEntry | None:
    article_id = subject.partition("/")[2]
    for _ in range(ATTEMPTS):
        pins, found = present_pins(store, editor.at)
        if version is not None and version != found:
            raise ConflictError("the pins were changed meanwhile: look at them again")
        decided = decide(pins)
        if decided == pins:
            return None
        if len(decided) > MOST_PINS:
            raise ConflictError(f"there are {MOST_PINS} pins already: take one away first")
        sides = (_described(side, article_id) for side in (pins, decided))
        entry = editor.entry(action, subject, *sides)
        if store.write_pins(decided, found, entry):
            return entry
    raise ConflictError("others keep changing the pins: try again")


def describe_pin(pin: Pin) -> dict[str, Any]:
    """Return a pin as callers and the audit log see it, times in ISO 8601."""
    return {
        "article_id": pin.article_id,
        "slot": pin.slot,
        "starts_at": format_time(pin.starts_at),
        "ends_at": format_time(pin.ends_at),
        "section": pin.section,
        "platforms": list(pin.platforms),
        "languages": list(pin.languages),
        "attributes": {name: list(values) for name, values in sorted(pin.attributes.items())},
        "author": pin.author,
    }


def _described(pins: Sequence[Pin], article_id: str) -> dict[str, Any]:
    """Return the pins of an article, or all of them, as an entry holds them."""
    own = [pin for pin in pins if article_id in ("", pin.article_id)]
    return {PINS: [describe_pin(pin) for pin in sorted(own, key=feeds_of)]}


def _read(side: Mapping[str, Any] | None, now: float) -> list[Pin]:
    """Return the pins of one side of an entry that have not ended."""
    described = (side or {}).get(PINS, ())
    pins = [
        Pin(
            article_id=one["article_id"],
            slot=one["slot"],
            starts_at=parse_time("starts_at", one["starts_at"]),
            ends_at=parse_time("ends_at", one["ends_at"]),
            section=one["section"],
            platforms=tuple(one["platforms"]),
            languages=tuple(one["languages"]),
            attributes={name: tuple(values) for name, values in one["attributes"].items()},
            author=one["author"],
        )
        for one in described
    ]
    return [pin for pin in pins if pin.ends_at > now]


def feeds_of(pin: Pin) -> tuple[Any, ...]:
    """Return in which feeds a pin puts which article."""
    audience = (pin.platforms, pin.languages, sorted(pin.attributes.items()))
    return (pin.article_id, pin.section.casefold(), *audience)
