"""The pydantic models that document every answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from feed.domain import AiGenerated, Mode, ReasonCode, Rung
from feed.editorial.bodies import PinIn
from feed.reader_schemas import PreferencesBody
from feed.schemas import KeyScope
from feed.service.limit_answers import LimitStateOut
from feed.sources.subscription import SourceStatus


class RuleBroken(BaseModel):
    """One field and the rule it breaks."""

    field: str
    rule: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[RuleBroken]


class ArticleOut(BaseModel):
    """An article as readers may see it."""

    article_id: str
    title: str
    standfirst: str
    body: str
    url: str | None
    image_url: str | None
    section: str
    other_sections: list[str]
    tags: list[str]
    source: str
    author: str
    language: str
    published_at: datetime
    updated_at: datetime | None
    expires_at: datetime | None
    ai_generated: AiGenerated
    human_reviewed: bool
    sponsored: bool
    retracted: bool


class StoredArticleOut(ArticleOut):
    """An article. Callers who may write also see who owns its fields."""

    owned_fields: list[str] | None = None
    held_fields: list[str] | None = None
    origins: list[str] | None = None


class ReasonOut(BaseModel):
    """Why an article is in its place in the feed."""

    code: ReasonCode
    text: str
    article_id: str | None = None
    section: str | None = None
    source: str | None = None
    readers: int | None = None
    window_minutes: int | None = None


class ReactionsOut(BaseModel):
    """How many readers like and dislike an article."""

    likes: int
    dislikes: int


class MoreOnThisOut(BaseModel):
    """Other articles about the event of which a feed shows one."""

    story_id: str = Field(description="for GET /v1/stories/{story_id}")
    count: int


class FeedItemOut(BaseModel):
    """One slot of a feed."""

    position: int
    article: ArticleOut
    score: float
    reasons: list[ReasonOut]
    labels: list[Literal["trending", "ai_generated", "ai_assisted", "sponsored", "editors_pick"]]
    disclosure: str
    reactions: ReactionsOut
    my_reaction: Literal["like", "dislike"] | None
    more_on_this: MoreOnThisOut | None = Field(
        None, description="left out if no other article tells of the same event"
    )


class WindowOut(BaseModel):
    """The age limit of a feed that had to take in older articles."""

    max_age_hours: float = Field(description="the age limit that was used, hours")
    widened: Literal[True]


class FeedOut(BaseModel):
    """One page of a reader's feed."""

    request_id: str
    personalized: bool
    notice: str
    mode: Mode
    mode_served: Rung
    model_version: str
    experiments: dict[str, str]
    items: list[FeedItemOut]
    next_cursor: str | None
    window: WindowOut | None = Field(
        None, description="present only if too few articles were young enough for this reader"
    )
    limits: list[LimitStateOut] | None = Field(None, description="left out where none hold")


class EventResult(BaseModel):
    """The outcome of one event."""

    event_id: str | None
    status: Literal["accepted", "duplicate", "waiting", "rejected"]
    detail: str | None = None


class EventsOut(BaseModel):
    """The outcome of a batch of events."""

    accepted: int
    duplicate: int
    waiting: int
    rejected: int
    results: list[EventResult]


class ArticleResult(BaseModel):
    """The outcome of one article."""

    article_id: str
    status: Literal["created", "updated", "unchanged", "erased"]


class ArticlesOut(BaseModel):
    """The outcome of a batch of articles."""

    results: list[ArticleResult]


class RetractedOut(BaseModel):
    """An article that feeds no longer show."""

    article_id: str
    status: Literal["retracted", "erased"]


class RestoredOut(BaseModel):
    """An article that may be shown or written again."""

    article_id: str
    status: Literal["restored", "unchanged"]


class TrendingItemOut(BaseModel):
    """One story that is read more than usual, with the article that leads it and the numbers.

    `readers` is the number that the test counts, of all `articles` of the story together: each
    reader once, and of many readers from one network only about as many as it usually brings.
    """

    article: ArticleOut
    readers: float
    expected: float
    lift: float
    p_value: float
    score: float
    labelled: bool
    since: datetime | None
    articles: int


class TrendingOut(BaseModel):
    """The trending stories."""

    at: datetime | None
    window_minutes: int
    items: list[TrendingItemOut]


class RelatedItemOut(BaseModel):
    """One related article."""

    article: ArticleOut
    score: float
    source: Literal["readers_also_read", "similar_text"]


class RelatedOut(BaseModel):
    """The articles related to one article."""

    article_id: str
    items: list[RelatedItemOut]


class StoryItemOut(BaseModel):
    """One article of a story."""

    article: ArticleOut


class StoryOut(BaseModel):
    """The articles that tell of one event."""

    story_id: str
    items: list[StoryItemOut]


class PreferencesOut(PreferencesBody):
    """A reader's preferences."""

    user_id: str


class AttributesOut(BaseModel):
    """What the newsroom knows of a reader."""

    user_id: str
    attributes: dict[str, str]


class ErasedOut(BaseModel):
    """A reader whose data was erased."""

    user_id: str
    store: Literal["erased"]
    archive: Literal["erasure queued"]


class MergedOut(BaseModel):
    """An id that now belongs to a reader, and whether it already did."""

    user_id: str
    merged: str
    status: Literal["merged", "already_merged"]


class AnonymousOut(BaseModel):
    """An anonymous reader, and a token that speaks for that reader."""

    user_id: str
    token: str = Field(description="a JSON Web Token; send it as Authorization: Bearer <token>")
    expires_at: datetime


class KeyOut(BaseModel):
    """One accepted API key, without the key itself, which only its holder knows."""

    name: str
    scope: KeyScope
    kept_in: Literal["settings", "store"]
    created_at: datetime | None
    last_used_at: datetime | None = Field(description="accurate to about a minute")


class KeysOut(BaseModel):
    """Every accepted API key."""

    keys: list[KeyOut]


class NewKeyOut(BaseModel):
    """A key that was just made."""

    name: str
    scope: KeyScope
    key: str = Field(description="shown only once")


class FindingOut(BaseModel):
    """A record of a source that was left out, or taken with a change."""

    record: str
    field: str
    rule: str


class SourceOut(BaseModel):
    """One polled source. A login in an address is shown as `***`."""

    source_id: str
    address: str
    feed_address: str = Field(description="where its feed was found")
    name: str
    zone: str
    age_from: Literal["published", "updated"]
    min_minutes: float | None
    max_minutes: float | None
    status: SourceStatus
    message: str = Field(description="what happened at the last check")
    checked_at: datetime | None
    succeeded_at: datetime | None
    changed_at: datetime | None
    next_at: datetime | None = Field(description="when it will be checked next")
    check_pending: bool = Field(
        description="whether a check was asked for and has not been done yet"
    )
    failures: int = Field(description="failed checks in a row")
    articles: int = Field(description="articles in the document that was read last")
    left_out: int = Field(description="records of that document that were left out")
    findings: list[FindingOut] = Field(description="the first records left out or changed")


class SourcesOut(BaseModel):
    """Polled sources."""

    sources: list[SourceOut]


class AddedSource(BaseModel):
    """The outcome of adding one source."""

    source_id: str
    address: str
    status: Literal["added", "known", "new_login"]


class AddedSourcesOut(BaseModel):
    """The outcome of adding sources."""

    results: list[AddedSource]


class PinsOut(BaseModel):
    """Every pin that has not ended."""

    pins: list[PinIn]
    version: str = Field(description="changes with every change of the pins")
    hints: list[str] = Field(
        default_factory=list,
        description="after a change: sections that no article has, and articles that no feed can "
        "show now",
    )


class ExperimentsOut(BaseModel):
    """Every experiment definition."""

    experiments: list[dict[str, Any]]


class HealthOut(BaseModel):
    """The process is alive."""

    status: Literal["ok"]


class ReadyOut(BaseModel):
    """The process can serve feeds."""

    status: Literal["ready", "starting"]
    store: bool = Field(description="whether the store answers")
    articles: int
    model_version: str
    snapshot_age_s: float = Field(description="seconds since the store was last read")


class ParameterOut(BaseModel):
    """One parameter of the ranking."""

    name: str
    value: Any
    text: str


class AboutRankingOut(BaseModel):
    """The main parameters of the ranking in plain words, and how a reader changes them."""

    summary: list[str]
    your_choices: list[str]
    limits: list[str] = Field(description="what the newsroom wants of every front page, in words")
    parameters: list[ParameterOut]
    signals: list[ParameterOut]
