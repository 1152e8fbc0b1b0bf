"""Chooses ids of entries: the same at every reading, and different between sources."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from feed.domain import ID_PATTERN
from feed.features.canonical_address import canonical_address


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
    that share a guid but lead to different pages are different stories, and the link decides; of
    entries without a guid that share a link, the title does.

    Args:
        entries: of one feed.
        scope: names the source: the host of its pages, or its title.
    """
    keys = [_key(entry, scope) for entry in entries]
    stories = [_story(entry) for entry in entries]
    shared = Counter(key for key, _ in set(zip(keys, stories, strict=True)))
    return [
        _identifier(f"{key} {story}" if shared[key] > 1 else key)
        for key, story in zip(keys, stories, strict=True)
    ]


def _story(entry: Marks) -> str:
    """Return what tells entries of one key apart: their link, if it leads to a page of its own."""
    is_page = bool(entry.guid and canonical_address(entry.link))
    return entry.link if is_page else entry.title


def _key(entry: Marks, scope: str) -> str:
    text = entry.guid or entry.link or entry.title
    is_global = "://" in text or text.startswith(("urn:", "tag:"))
    return text if is_global else f"{scope}:{text}"


def _identifier(text: str) -> str:
    if ID_PATTERN.fullmatch(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:32]
