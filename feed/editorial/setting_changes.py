"""Changes of ranking settings that editors made, which hold for the whole installation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """One setting of the ranking that differs from what the environment says.

    Attributes:
        value: Its value now.
        at: When it was changed, epoch seconds.
        by: Who changed it.
    """

    value: Any
    at: float
    by: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)
