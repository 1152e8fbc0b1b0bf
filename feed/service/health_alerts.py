"""An alert about the installation: what is wrong, what it means, and what to do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum


class AlertLevel(IntEnum):
    """How bad it is."""

    FAULT = 0
    WARNING = 1
    HINT = 2


@dataclass(frozen=True, slots=True)
class HealthAlert:
    """One thing that is wrong, or that is still to be done.

    Attributes:
        kind: Short name, the same as long as it lasts.
        level: How bad it is.
        title: What is wrong.
        meaning: What it means for readers and for the newsroom.
        action: What to do; commands, settings and names stand between backticks.
        page: Where on the desk to look; may be empty.
    """

    kind: str
    level: AlertLevel
    title: str
    meaning: str
    action: str
    page: str = ""


@dataclass(frozen=True, slots=True)
class AlertLimit:
    """A limit with a lower one below which an alert ends, so that it does not come and go."""

    raise_at: float
    clear_at: float

    def passed(self, value: float | None, kind: str, before: Collection[str]) -> bool:
        """Whether a value calls for an alert, given the kinds of those that are there already."""
        if value is None:
            return False
        return value >= (self.clear_at if kind in before else self.raise_at)


def share_text(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def duration_text(seconds: float | None) -> str:
    """Return a time in the unit that suits it."""
    if seconds is None:
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
