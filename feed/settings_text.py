"""Settings as people read them."""

from __future__ import annotations

from dataclasses import Field
from typing import Any

from feed.setting_fields import ANY_NUMBER, LEAST, documented


def describe(config: type[Any]) -> list[tuple[str, str, str]]:
    """Return (name, default, description) for every setting of a configuration class."""
    instance = config()
    return [
        (f.name, setting_text(getattr(instance, f.name)), f.metadata["doc"] + _range_of(f))
        for f in documented(config)
    ]


KINDS: dict[Any, str] = {bool: "flag", int: "whole", float: "number"}
"""What a form asks for, by the type of a setting."""


def range_of(one: Field[Any]) -> dict[str, float | None]:
    """Return the lowest and the highest value of a setting, None where there is no limit."""
    low, high = one.metadata["between"]
    if (low, high) == ANY_NUMBER:
        return {"least": None, "most": None}
    return {"least": 0.0 if low == LEAST else low, "most": high}


def _range_of(one: Field[Any]) -> str:
    low, high = one.metadata["between"]
    if (low, high) == ANY_NUMBER:
        return ""
    if only := one.metadata["only"]:
        return f" ({' or '.join(f'{number:.12g}' for number in only)})"
    return f" (more than 0, up to {high:.12g})" if low == LEAST else f" ({low:.12g} to {high:.12g})"


def setting_text(value: Any) -> str:
    """Return a value as people read it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:g}" for name, number in value.items())
    return str(value)
