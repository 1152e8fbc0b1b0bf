"""Chooses ids of entries: the same at every reading, and different between sources."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from feed.config import Settings
from feed.domain import ID_PATTERN
from feed.features.canonical_address import canonical_address, read_tracking_parameters

_TRACKING = read_tracking_parameters(Settings().tracking_parameters)
"""What feed's own default drops: an id must not depend on an installation's settings."""


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
    that share a guid but lead to different pages are different stories, and the first link to each
    page decides; of entries without a guid that share a link, the title does.

    Args:
        entries: of one feed.
        scope: names the source: the host of its pages, or its title.
    """
    stories = [(_key(entry, scope), *_story(entry)) for entry in entries]
    first: dict[tuple[str, str], str] = {}
    for key, page, written in stories:
        first.setdefault((key, page), written)
    shared = Counter(key for key, _ in first)
    return [
        _identifier(f"{key} {first[key, page]}" if shared[key] > 1 else key)
        for key, page, _ in stories
    ]


def _story(entry: Marks) -> tuple[str, str]:
    """Return what tells entries of one key apart, and how it is written.

    It is the page to which the link leads, or the title if that is no page of its own.
    """
    page = canonical_address(entry.link, _TRACKING) if entry.guid else ""
    return (page, entry.link) if page else (entry.title, entry.title)


def _key(entry: Marks, scope: str) -> str:
    text = entry.guid or entry.link or entry.title
    is_global = "://" in text or text.startswith(("urn:", "tag:"))
    return text if is_global else f"{scope}:{text}"


def _identifier(text: str) -> str:
    if ID_PATTERN.fullmatch(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:32]
