"""Time zones by name."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo

from feed.domain import InvalidInputError


def read_zone(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database, such as `Europe/Berlin`.

    Raises:
        InvalidInputError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInputError("zone", "is not a time zone such as Europe/Berlin") from None
