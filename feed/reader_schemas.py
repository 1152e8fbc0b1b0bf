"""The pydantic models of request bodies about one reader."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from feed.custom_data import check_attributes
from feed.preferences import (
    MOST_WISHES,
    STRONGEST,
    Preferences,
    Wish,
    WishKind,
    WishOf,
    wishes_at,
)
from feed.schemas import (
    MAX_PAGE,
    FeedQuery,
    Id,
    Input,
    Label,
    Language,
    Name,
    Names,
    Query,
    Time,
    epoch_seconds,
)


class MergeBody(Input):
    """The anonymous id that becomes a reader's, or a token that speaks for it."""

    from_id: Id | None = Field(None, alias="from")
    token: Annotated[str, Field(min_length=1, max_length=4_096)] | None = None

    @model_validator(mode="after")
    def _names_one(self) -> MergeBody:
        if (self.from_id is None) == (self.token is None):
            raise ValueError("must hold either from or token")
        return self


class WishBody(Input):
    """One wish: more or fewer articles, or none for a while."""

    kind: WishKind
    of: WishOf = Field(
        WishOf.ARTICLE,
        description="what it is about; to mute an article mutes its story",
    )
    value: Name = Field(description="id of the article, or name of the section or source")
    strength: Annotated[int, Field(ge=1, le=STRONGEST)] = Field(
        1, description="how much more or fewer; it says nothing of what is muted"
    )
    until: Time | None = Field(None, description="when it ends; null: when it is withdrawn")


class PreferencesBody(Input):
    """The preferences that a reader has stated."""

    followed_sections: Names = Field(default_factory=list)
    muted_sections: Names = Field(default_factory=list)
    followed_sources: Names = Field(default_factory=list)
    muted_sources: Names = Field(default_factory=list)
    languages: Annotated[list[Language], Field(max_length=50)] = Field(
        default_factory=list, description="empty: every language"
    )
    wishes: Annotated[list[WishBody], Field(max_length=MOST_WISHES)] = Field(
        default_factory=list,
        description="more or fewer like an article, of a section or from a source, or none for a "
        "while; those that have ended are left out",
    )
    personalization: bool = Field(
        True, description="false: no history is stored or read, and the feed says so"
    )

    def to_preferences(self, now: float) -> Preferences:
        """Return the preferences of the domain, without the wishes that ended before `now`."""
        wishes = (
            Wish(
                kind=wish.kind,
                of=wish.of,
                value=wish.value,
                strength=wish.strength,
                until=None if wish.until is None else epoch_seconds(wish.until),
            )
            for wish in self.wishes
        )
        return Preferences(
            followed_sections=tuple(self.followed_sections),
            muted_sections=tuple(self.muted_sections),
            followed_sources=tuple(self.followed_sources),
            muted_sources=tuple(self.muted_sources),
            languages=tuple(language.lower() for language in self.languages),
            wishes=wishes_at(wishes, now),
            personalization=self.personalization,
        )

    @classmethod
    def of(cls, preferences: Preferences, now: float) -> PreferencesBody:
        """Return preferences as a body, without the wishes that ended before `now`."""
        return cls(
            followed_sections=list(preferences.followed_sections),
            muted_sections=list(preferences.muted_sections),
            followed_sources=list(preferences.followed_sources),
            muted_sources=list(preferences.muted_sources),
            languages=list(preferences.languages),
            wishes=[
                WishBody(
                    kind=wish.kind,
                    of=wish.of,
                    value=wish.value,
                    strength=wish.strength,
                    until=None if wish.until is None else datetime.fromtimestamp(wish.until, UTC),
                )
                for wish in wishes_at(preferences.wishes, now)
            ],
            personalization=preferences.personalization,
        )


class AttributesBody(Input):
    """What the newsroom knows of a reader, by name; it replaces what was set before."""

    attributes: Annotated[
        dict[str, str],
        AfterValidator(lambda given: check_attributes("attributes", given)),
        Field(
            description="at most 16; names of 1 to 32 lower-case letters, digits and _; values of "
            "1 to 64 printable characters without commas, kept in lower case",
            examples=[{"subscriber": "yes", "region": "north"}],
        ),
    ]


class SimulatedReaderIn(Input):
    """A reader who does not exist, and what their feed is ranked with."""

    read: Annotated[list[Id], Field(max_length=50)] = Field(
        default_factory=list, description="articles they read, the last one most recently"
    )
    followed_sections: Names = Field(default_factory=list)
    followed_sources: Names = Field(default_factory=list)
    settings: Annotated[dict[str, Any], Field(max_length=50)] = Field(
        default_factory=dict, description="ranking settings that differ from the installation's"
    )


class SimulationIn(Input):
    """Two readers who do not exist; what is left out is as for a new reader."""

    first: SimulatedReaderIn = Field(default_factory=SimulatedReaderIn)
    second: SimulatedReaderIn = Field(default_factory=SimulatedReaderIn)
    section: Label = ""
    language: Language | None = None
    device: Annotated[str, Field(max_length=64)] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 20


class AccountQuery(Query):
    """The request that a feed is accounted for."""

    section: Label = ""
    language: Language | None = None
    device: Annotated[str, Field(max_length=64)] = ""
    page_article_id: Id | None = Field(
        None, description="the article that the reader is reading, for a feed on its page"
    )
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 20

    def feed_query(self, user_id: str) -> FeedQuery:
        """Return the request of a reader."""
        return FeedQuery(user_id=user_id, **self.model_dump())
