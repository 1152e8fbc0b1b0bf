"""The pydantic models of request bodies about one reader."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from feed.custom_data import check_attributes
from feed.domain import Preferences
from feed.schemas import Id, Input, Language, Names


class MergeBody(Input):
    """The anonymous id that becomes a reader's, or a token that speaks for it."""

    from_id: Id | None = Field(None, alias="from")
    token: Annotated[str, Field(min_length=1, max_length=4_096)] | None = None

    @model_validator(mode="after")
    def _names_one(self) -> MergeBody:
        if (self.from_id is None) == (self.token is None):
            raise ValueError("must hold either from or token")
        return self


class PreferencesBody(Input):
    """The preferences that a reader has stated."""

    followed_sections: Names = Field(default_factory=list)
    muted_sections: Names = Field(default_factory=list)
    followed_sources: Names = Field(default_factory=list)
    muted_sources: Names = Field(default_factory=list)
    languages: Annotated[list[Language], Field(max_length=50)] = Field(
        default_factory=list, description="empty: every language"
    )
    personalization: bool = Field(
        True, description="false: no history is stored or read, and the feed says so"
    )

    def to_preferences(self) -> Preferences:
        """Return the preferences of the domain."""
        return Preferences(
            followed_sections=tuple(self.followed_sections),
            muted_sections=tuple(self.muted_sections),
            followed_sources=tuple(self.followed_sources),
            muted_sources=tuple(self.muted_sources),
            languages=tuple(language.lower() for language in self.languages),
            personalization=self.personalization,
        )

    @classmethod
    def of(cls, preferences: Preferences) -> PreferencesBody:
        """Return preferences as a body."""
        return cls(
            followed_sections=list(preferences.followed_sections),
            muted_sections=list(preferences.muted_sections),
            followed_sources=list(preferences.followed_sources),
            muted_sources=list(preferences.muted_sources),
            languages=list(preferences.languages),
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
