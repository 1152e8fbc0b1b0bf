"""Which reader an id is: the pointer that stands in place of a merged id's preferences."""

from __future__ import annotations

HOPS_MAX = 8
"""Merges in a row that an id is followed through."""


def reader_moved_to(preferences: bytes | None) -> str:
    """Return the reader that an id was merged into; empty if it was not."""
    if not preferences or preferences[:1] != b">":
        return ""
    return preferences.split(b" ", 2)[1].decode()


def noted_ids(pairs: list[bytes]) -> dict[str, float]:
    """Return ids and times (epoch seconds; below 0: not done yet) from members and scores."""
    scores = zip(pairs[::2], pairs[1::2], strict=True)
    return {member.decode(): float(score) / 1000 for member, score in scores}
