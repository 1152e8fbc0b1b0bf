"""Section names: the spellings of one section have one key."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from feed.arrays import Rows
from feed.domain import InvalidInputError
from feed.features.ids import IdMap

_RULE = "must be pairs such as football=Sport, separated by commas"


@lru_cache(maxsize=8192)
def section_key(name: str) -> str:
    """Return what all spellings of a section have in common; "" for no section.

    Case, white space, the width of characters and escaped HTML entities make no difference.
    """
    text = html.unescape(html.unescape(name))  # some feeds escape twice
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def read_aliases(text: str) -> dict[str, str]:
    """Return key -> name of the section that is meant, from `FEED_SECTION_ALIASES`.

    Raises:
        InvalidInputError: an entry is not a pair of names, a name has two meanings, or a meaning is
            itself an alias.
    """
    aliases: dict[str, str] = {}
    for pair in filter(str.strip, text.split(",")):
        alias, equals, name = pair.partition("=")
        key, name = section_key(alias), " ".join(name.split())
        if not (equals and key and section_key(name)) or "=" in name:
            raise InvalidInputError("FEED_SECTION_ALIASES", f"{_RULE}, not {pair.strip()!r}")
        if section_key(aliases.get(key, name)) != section_key(name):
            rule = f"must not give {alias.strip()} two meanings"
            raise InvalidInputError("FEED_SECTION_ALIASES", rule)
        aliases[key] = name
    for name in aliases.values():
        if section_key(name) in aliases:
            rule = f"must not name {name}, which is an alias itself, as a section"
            raise InvalidInputError("FEED_SECTION_ALIASES", rule)
    return aliases


class SectionVocabulary(IdMap):
    """The numbering of sections by key: every spelling and alias of one has the same code.

    `ids` holds the name of each as it was first written, or the name that an alias stands for.
    """

    __slots__ = ("_aliases",)

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        self._aliases = aliases or {}
        super().__init__()

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and self.row(value) >= 0

    def key(self, name: str) -> str:
        """Return the key of the section that a name stands for."""
        key = section_key(name)
        return section_key(self._aliases[key]) if key in self._aliases else key

    def row(self, value: str) -> int:
        """Return the code of a section, -1 if it is unknown."""
        return self._rows.get(self.key(value), -1)

    def rows(self, values: Sequence[str]) -> Rows:
        """Return the codes of sections, int64 of shape [n], -1 where unknown."""
        return np.fromiter(map(self.row, values), np.int64, len(values))

    def add(self, value: str) -> int:
        """Return the code of a section, numbering it first if it is new; -1 for ""."""
        key = self.key(value)
        row = self._rows.get(key, -1)
        if row < 0 and key:
            row = self._rows[key] = len(self.ids)
            self.ids.append(self._aliases.get(section_key(value)) or _cleaned(value))
        return row


def _cleaned(name: str) -> str:
    return " ".join(html.unescape(html.unescape(name)).split())
