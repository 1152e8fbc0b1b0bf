"""The pydantic models of what the newsroom sends about its decisions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from feed.domain import Pin
from feed.editorial.boosts import GREATEST_FACTOR, LEAST_FACTOR, Boost
from feed.schemas import MAX_PAGE, Id, Input, Label, Language, Name, Time

MOST_AUDIENCE = 50
"""Platforms, languages, or values of one attribute that a pin may name."""


class PinIn(Input):
    """An article that an editor puts into one slot, between two times."""

    article_id: Id
    slot: Annotated[int, Field(ge=0, lt=MAX_PAGE, description="0 is the top")]
    starts_at: Time
    ends_at: Time
    section: Label = Field(
        "", description="the pin applies only to feeds of this section; empty: to all feeds"
    )
    platforms: Annotated[list[Name], Field(max_length=MOST_AUDIENCE)] = Field(
        default_factory=list, description="only feeds of these platforms; empty: all"
    )
    languages: Annotated[list[Language], Field(max_length=MOST_AUDIENCE)] = Field(
        default_factory=list,
        description="only feeds that ask for one of these languages; empty: all",
    )
    attributes: Annotated[
        dict[str, Annotated[list[str], Field(min_length=1, max_length=MOST_AUDIENCE)]],
        Field(max_length=16),
    ] = Field(
        default_factory=dict,
        description="only readers who have one of the values of each attribute; an empty value "
        "stands for readers of whom the attribute is not known",
        examples=[{"subscriber": ["yes"]}],
    )
    author: Annotated[str, Field(max_length=256)] = Field(
        "", description="who decided it; by default who calls"
    )

    def to_pin(self, author: str = "") -> Pin:
        """Return the pin of the domain; `author` counts if the body names none."""
        return Pin(
            article_id=self.article_id,
            slot=self.slot,
            starts_at=self.starts_at.timestamp(),
            ends_at=self.ends_at.timestamp(),
            section=self.section,
            author=self.author or author,
            platforms=tuple(self.platforms),
            languages=tuple(self.languages),
            attributes={name: tuple(values) for name, values in self.attributes.items()},
        )


class PinsIn(Input):
    """The complete list of pins."""

    pins: Annotated[list[PinIn], Field(max_length=200)]
    version: Annotated[str, Field(max_length=64)] | None = Field(
        None,
        description="of the pins that you have read: if somebody has changed them since, the "
        "answer is 409 and nothing is changed",
    )


class BoostIn(Input):
    """How much an article is boosted or buried, and how long."""

    factor: Annotated[float, Field(ge=LEAST_FACTOR, le=GREATEST_FACTOR, allow_inf_nan=False)] = (
        Field(description="multiplies the score; below 1 it buries the article")
    )
    ends_at: Time
    starts_at: Time | None = Field(None, description="by default now")

    def to_boost(self, article_id: str, now: float, author: str) -> Boost:
        """Return the boost of an article."""
        return Boost(
            article_id=article_id,
            factor=self.factor,
            starts_at=now if self.starts_at is None else self.starts_at.timestamp(),
            ends_at=self.ends_at.timestamp(),
            author=author,
        )
