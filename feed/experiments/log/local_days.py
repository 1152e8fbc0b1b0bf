"""Calendar days of the newsroom's time zone, by number: 0 is 1 January 1970."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import duckdb

from feed.config import DAY_S

_EPOCH = date(1970, 1, 1).toordinal()


def day_of(moment: float, zone: str = "UTC") -> int:
    """Return the number of the day on which a moment (epoch seconds) lies in a time zone."""
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).date().toordinal() - _EPOCH


def create_day_macro(connection: duckdb.DuckDBPyConnection, zone: str) -> None:
    """Let queries call `day_of(moment)`, which agrees with `day_of` here.

    Args:
        connection: Gets the macro.
        zone: IANA name; one that `ZoneInfo` knows has no quotes.
    """
    ZoneInfo(zone)
    local = "moment" if zone == "UTC" else f"epoch(timezone('{zone}', to_timestamp(moment)))"
    connection.execute(
        "CREATE OR REPLACE TEMP MACRO day_of(moment) AS"
        f" CAST(floor({local} / {DAY_S:.0f}) AS INTEGER)"
    )


def day_name(day: int) -> str:
    """Return the date of a day by its number."""
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
