"""Chooses ids of entries: the same at every reading, and different between sources."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from feed.domain import ID_PATTERN


@dataclass(frozen=True, slots=True)
class Marks:
    """What distinguishes an entry from others; a missing text is empty."""

    guid: str
    link: str
    title: str


def choose_ids(entries: Sequence[Marks], scope: str) -> list[str]:
    """Return an id for each entry of one feed.

    A guid that is an address, a `urn:` or a `tag:` is unique in the world and is the id. Any
    other guid is unique within its source at best, so the id begins with the source. Entries
    that share a guid but have different links are different stories, and the link decides.

    Args:
        entries: of one feed.
        scope: names the source: the host of its pages, or its title.
    """
    keys = [_key(entry, scope) for entry in entries]
    stories = {(key, entry.link or entry.title) for key, entry in zip(keys, entries, strict=True)}
    shared = Counter(key for key, _ in stories)
    return [
        _identifier(f"{key} {entry.link or entry.title}" if shared[key] > 1 else key)
        for key, entry in zip(keys, entries, strict=True)
    ]


def _key(entry: Marks, scope: str) -> str:
    text = entry.guid or entry.link or entry.title
    is_global = "://" in text or text.startswith(("urn:", "tag:"))
    return text if is_global else f"{scope}:{text}"


def _identifier(text: str) -> str:
    if ID_PATTERN.fullmatch(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:32]
