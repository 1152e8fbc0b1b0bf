"""Changes of ranking settings that editors made, which hold for the whole installation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

EVERY_CHANGE = "every change"
"""Stands in place of a name where the stored changes cannot be read at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """One setting of the ranking that differs from what the environment says.

    Attributes:
        value: Its value now.
        at: When it was changed, epoch seconds.
        by: Who changed it.
    """

    value: Any
    at: float = 0.0
    by: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def read_changes(stored: Any) -> dict[str, SettingChange]:
    """Return stored changes by name; one that is no change has its text as a value.

    Nothing here refuses a value: whoever puts the changes in force checks them.
    """
    if not isinstance(stored, Mapping):
        return {EVERY_CHANGE: SettingChange(value=stored)}
    return {str(name): _read_change(change) for name, change in stored.items()}


def _read_change(change: Any) -> SettingChange:
    try:
        return SettingChange(value=change["value"], at=float(change["at"]), by=str(change["by"]))
    except (KeyError, TypeError, ValueError):
        return SettingChange(value=f"unreadable: {change!r}"[:200])
