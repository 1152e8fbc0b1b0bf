"""The newest position of the catalogue's change log: one command, asked for in two parts."""

from __future__ import annotations

from typing import Any

from feed.storage.node import Command

START = "0-0"
"""The position before the first entry."""


def newest_entry(key: str) -> Command:
    """Return the command that reads the newest entry of the log."""
    return ("XREVRANGE", key, "+", "-", "COUNT", 1)


def position_of(reply: Any) -> str:
    """Return the position that its reply tells, `START` for an empty log."""
    return reply[0][0].decode() if reply else START
