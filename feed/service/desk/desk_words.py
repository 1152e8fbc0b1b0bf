"""Times and changes in the words of the desk's pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LONGEST = 120
_UNITS = (("year", 31_557_600), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_JUST_NOW_S = 5.0


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


def list_changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> list[tuple[str, str, str]]:
    """Return name, old and new text of everything that differs; an empty text: there was none."""
    old, new = before or {}, after or {}
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [
        (name.replace("_", " "), _short(old.get(name)), _short(new.get(name))) for name in names
    ]


def _short(value: Any) -> str:
    if value is None or value == "":
        return ""
    text = _said(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _said(value: Any) -> str:
    """Return a value as people write it: lists with commas, and the parts of a thing by name."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        parts = [(name, part) for name, part in value.items() if part not in (None, "", [], {})]
        return ", ".join(f"{name.replace('_', ' ')} {_said(part)}" for name, part in parts)
    if isinstance(value, list | tuple):
        joint = "; " if any(isinstance(part, Mapping) for part in value) else ", "
        return joint.join(_said(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
