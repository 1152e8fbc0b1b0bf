"""The pydantic models of articles in request bodies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from feed.domain import ALL_FIELDS, AiGenerated, Article, Submission
from feed.schemas import (
    EARLIEST,
    NOT_BLANK,
    URL_PATTERN_TEXT,
    Id,
    Input,
    Label,
    OptionalLanguage,
    Time,
)

MAX_ARTICLES = 500
MAX_ORIGIN = 2_048
MAX_TAGS = 50
MAX_OTHER_SECTIONS = 20


def _known_field(name: str) -> str:
    if name not in ALL_FIELDS:
        raise ValueError("must be a field of an article")
    return name


Section = Annotated[str, Field(min_length=1, max_length=128)]
Tag = Annotated[str, Field(min_length=1, max_length=64)]
Component = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Title = Annotated[str, Field(min_length=1, max_length=1_000, pattern=NOT_BLANK)]
Url = Annotated[str, Field(max_length=2048, pattern=URL_PATTERN_TEXT)]
FieldName = Annotated[
    str, AfterValidator(_known_field), Field(json_schema_extra={"enum": sorted(ALL_FIELDS)})
]


class ArticleBody(Input):
    """An article as the publisher sends it."""

    title: Title = Field(description="the headline")
    published_at: Time | None = Field(
        None, description="without it, the time of first receipt counts and is kept"
    )
    standfirst: Annotated[str, Field(max_length=4_000)] = Field(
        "", description="a sentence or two that stand below the title"
    )
    body: Annotated[str, Field(max_length=400_000)] = Field("", description="the full text")
    url: Url | None = Field(None, description="where readers open it")
    image_url: Url | None = Field(None, description="a picture for it")
    section: Label = Field("", description="its main section")
    other_sections: Annotated[list[Section], Field(max_length=MAX_OTHER_SECTIONS)] = Field(
        default_factory=list,
        description="further sections in which the article stands, beside its own",
    )
    tags: Annotated[list[Tag], Field(max_length=MAX_TAGS)] = Field(
        default_factory=list, description="keywords"
    )
    source: Label = Field("", description="the publication that it comes from")
    author: Annotated[str, Field(max_length=256)] = Field("", description="who wrote it")
    language: OptionalLanguage = Field("", description="BCP 47, such as en or en-GB")
    updated_at: Time | None = Field(None, description="its last change")
    expires_at: Time | None = Field(None, description="from then on, no feed shows it")
    ai_generated: AiGenerated = Field(
        AiGenerated.NONE, description="how much of it was made with generative AI"
    )
    human_reviewed: bool = Field(False, description="whether a person has checked it")
    sponsored: bool = Field(False, description="whether somebody has paid for it; shown as a label")
    retracted: bool = Field(
        False, description="once true, it stays true until the API sends false or restores it"
    )
    embedding: Annotated[list[Component], Field(min_length=1, max_length=4_096)] | None = Field(
        None, description="the publisher's own vector, any dimension, instead of the encoder's"
    )

    def to_submission(self, article_id: str) -> Submission:
        """Return the article under an id, and which fields the body has.

        The others have their defaults; an unknown `published_at` is 0.
        """
        given = {
            name: _to_domain(name, getattr(self, name))
            for name in self.model_fields_set & ALL_FIELDS
            if not (name == "published_at" and self.published_at is None)
        }
        article = Article(article_id=article_id, **{"title": "", "published_at": 0.0, **given})
        return Submission(article, frozenset(given))


def _to_domain(name: str, value: Any) -> Any:
    if name == "language":
        return value.lower()
    if isinstance(value, list):
        return tuple(value)
    return value.timestamp() if isinstance(value, datetime) else value


class ArticleIn(ArticleBody):
    """An article with its id, as one of a batch."""

    article_id: Id


class ArticleBatchIn(Input):
    """One to 500 articles; if one is invalid, none is written."""

    articles: Annotated[list[ArticleIn], Field(min_length=1, max_length=MAX_ARTICLES)]
    origin: Annotated[str, Field(max_length=MAX_ORIGIN)] = Field(
        "",
        description="the source from which the articles were read, such as a feed's address; "
        "a source does not change what callers without an origin have set",
    )


class ArticleChangesIn(ArticleBody):
    """Fields of an article to set, so that no source changes them, or to give back to sources."""

    title: Title = Field(default_factory=str)
    published_at: Time = Field(default_factory=lambda: EARLIEST)
    release: list[FieldName] = Field(
        default_factory=list,
        description="fields that sources may change again; the values stay until a source "
        "sends the article",
    )

    hold: bool = Field(
        False,
        description="true: later deliveries without an origin leave these fields alone, too, until "
        "they are released",
    )

    @model_validator(mode="after")
    def _names_each_once(self) -> ArticleChangesIn:
        if both := sorted(self.model_fields_set & set(self.release)):
            raise ValueError(f"release must not name a field that is set: {both[0]}")
        return self
