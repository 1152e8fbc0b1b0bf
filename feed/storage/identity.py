"""Which reader an id is: the identity the store keeps of ids that were merged."""

from __future__ import annotations

HOPS_MAX = 8
"""Merges in a row that an id is followed through."""


def reader_moved_to(identity: bytes | None) -> str:
    """Return the reader that an id was merged into; empty if it was not."""
    if not identity or not identity.startswith(b">"):
        return ""
    return identity.split(b" ", 1)[1].decode()


def unit_of(identity: bytes | None) -> str:
    """Return what experiments know a reader by; empty if that is the reader's own id."""
    return identity[1:].decode() if identity and identity.startswith(b"=") else ""


def noted_ids(pairs: list[bytes]) -> dict[str, float]:
    """Return ids and times (epoch seconds; below 0: not done yet) from members and scores."""
    scores = zip(pairs[::2], pairs[1::2], strict=True)
    return {member.decode(): float(score) / 1000 for member, score in scores}
