"""Times and changes in the words of the desk's pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from feed.domain import InvalidInputError, parse_time

LONGEST = 120
_UNITS = (("year", 31_557_600), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_JUST_NOW_S = 5.0
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def describe_distance(at: float, now: float) -> str:
    """Return how long before or after `now` something is, such as `3 minutes ago`.

    Args:
        at: epoch seconds.
        now: epoch seconds.
    """
    amount = abs(now - at)
    if amount < _JUST_NOW_S:
        return "just now"
    name, length = next((unit for unit in _UNITS if amount >= unit[1]), _UNITS[-1])
    count = int(amount / length)
    text = f"{count} {name}{'' if count == 1 else 's'}"
    return f"{text} ago" if at < now else f"in {text}"


def begin_sentence(text: str) -> str:
    """Return a text with a capital letter, unless it begins with a name in code or a formula."""
    first = text.split(" ", 1)[0]
    return text if "_" in first or first.startswith("ln") else f"{text[:1].upper()}{text[1:]}"


def describe_moment(at: float, zone: tzinfo) -> str:
    """Return a time as a clock and a calendar of the newsroom say it: `3 Mar 2026, 14:05`.

    Args:
        at: epoch seconds.
        zone: of the newsroom.
    """
    local = datetime.fromtimestamp(at, zone)
    return f"{local.day} {local:%b %Y, %H:%M}"


def list_changes(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    zone: tzinfo = UTC,
    title_of: Callable[[str], str] | None = None,
    value_of: Callable[[str, Any], str] | None = None,
) -> list[tuple[str, str, str]]:
    """Return name, old and new text of everything that differs; an empty text: there was none.

    Args:
        before: What it was.
        after: What it is.
        zone: In which times are told.
        title_of: Gives the name that people use; without it, the name with spaces.
        value_of: Gives the text of a value by its name; without it, as it is said anywhere.
    """
    old, new = before or {}, after or {}

    def said(name: str, value: Any) -> str:
        if value is None or value == "":
            return ""
        text = value_of(name, value) if value_of else _said(value, zone)
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

    return [
        (
            title_of(name) if title_of else name.replace("_", " "),
            said(name, old.get(name)),
            said(name, new.get(name)),
        )
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _said(value: Any, zone: tzinfo) -> str:
    """Return a value as people write it: lists with commas, and the parts of a thing by name."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        counted = {"slot": value["slot"] + 1} if isinstance(value.get("slot"), int) else {}
        every = {**value, **counted}  # the desk counts slots from 1
        parts = [(name, part) for name, part in every.items() if part not in (None, "", [], {})]
        return ", ".join(f"{name.replace('_', ' ')} {_said(part, zone)}" for name, part in parts)
    if isinstance(value, list | tuple):
        joint = "; " if any(isinstance(part, Mapping) for part in value) else ", "
        return joint.join(_said(part, zone) for part in value)
    if isinstance(value, float):
        return f"{value:.10g}"
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return _moment_in(value, zone) if _ISO_TIME.fullmatch(value) else value


def _moment_in(text: str, zone: tzinfo) -> str:
    try:
        return describe_moment(parse_time("time", text), zone)
    except InvalidInputError:
        return text
