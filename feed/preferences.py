"""What a reader has stated: follows, mutes, languages, and wishes that end by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

MOST_WISHES = 50
"""Wishes that a reader may have at once."""
STRONGEST = 2
"""Greatest strength of a wish."""
WISHES_KEY = "wishes"
"""Key of a served feed's context with the wishes that held, as JSON."""


class WishKind(StrEnum):
    """What a reader wants: more of something, fewer, or none for a while."""

    MORE = "more"
    FEWER = "fewer"
    MUTE = "mute"


class WishOf(StrEnum):
    """What a wish is about: articles like one (to mute: its story), a section, or a source."""

    ARTICLE = "article"
    SECTION = "section"
    SOURCE = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One wish of a reader, about an article (by id), a section or a source (by name).

    `strength` is from 1 to `STRONGEST`, and says nothing of what is muted. It holds before `until`
    (epoch seconds); None: until it is withdrawn.
    """

    kind: WishKind
    of: WishOf
    value: str
    strength: int = 1
    until: float | None = None

    @property
    def steps(self) -> int:
        """The strength with its sign: above 0 for more, below 0 for fewer, 0 for a mute."""
        return {WishKind.MORE: 1, WishKind.FEWER: -1, WishKind.MUTE: 0}[self.kind] * self.strength

    @property
    def words(self) -> str:
        """The wish as somebody reads it who helps the reader."""
        if self.kind is WishKind.MUTE:
            what = f"the story of {self.value}" if self.of is WishOf.ARTICLE else self.value
            return f"none of {what}"
        link = {WishOf.ARTICLE: "like", WishOf.SECTION: "of", WishOf.SOURCE: "from"}[self.of]
        strongly = " (strongly)" if self.strength == STRONGEST else ""
        return f"{self.kind.value} {link} {self.value}{strongly}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a reader has stated. Empty `languages` means every language."""

    followed_sections: tuple[str, ...] = ()
    muted_sections: tuple[str, ...] = ()
    followed_sources: tuple[str, ...] = ()
    muted_sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    wishes: tuple[Wish, ...] = ()
    personalization: bool = True


def wishes_at(wishes: Iterable[Wish], now: float) -> tuple[Wish, ...]:
    """Return the wishes that hold at a time, epoch seconds."""
    return tuple(wish for wish in wishes if wish.until is None or now < wish.until)


def wishes_to_json(wishes: Iterable[Wish]) -> list[dict[str, Any]]:
    """Return wishes as JSON objects."""
    return [
        {
            "kind": wish.kind.value,
            "of": wish.of.value,
            "value": wish.value,
            "strength": wish.strength,
            "until": wish.until,
        }
        for wish in wishes
    ]


def wishes_from_json(given: Iterable[dict[str, Any]]) -> tuple[Wish, ...]:
    """Return the wishes that `wishes_to_json` wrote."""
    return tuple(
        Wish(**{**one, "kind": WishKind(one["kind"]), "of": WishOf(one["of"])}) for one in given
    )


def logged_wishes(text: str) -> tuple[Wish, ...]:
    """Return the wishes that a served feed's context names under `WISHES_KEY`."""
    return wishes_from_json(orjson.loads(text)) if text else ()
