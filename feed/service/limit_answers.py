"""What the routes for limits and for the front page take and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from feed.editorial.editorial_limits import (
    LONGEST_NAME,
    MOST_HOURS,
    MOST_LIMITS,
    MOST_SLOTS,
    Limit,
    LimitOf,
    LimitRule,
)
from feed.schemas import Input, Query


class LimitIn(Input):
    """One limit on the first slots of every front page."""

    rule: LimitRule
    of: LimitOf = Field(description="what is counted")
    value: Annotated[str, Field(max_length=LONGEST_NAME)] = Field(
        "", description="name of a section, source or language; a cap without one is on each name"
    )
    within: Annotated[int, Field(ge=1, le=MOST_SLOTS)] = Field(20, description="slots from the top")
    share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="of these slots; at_most only"
    )
    count: Annotated[int, Field(ge=0, le=MOST_SLOTS)] = Field(
        0, description="articles; at_least only"
    )
    hours: Annotated[float, Field(ge=0, le=MOST_HOURS)] = Field(
        0.0, description="age: at_most counts older articles, at_least younger ones"
    )

    text: str = Field("", description="the limit in words, as an answer says it; ignored")

    def to_limit(self) -> Limit:
        """Return the limit."""
        return Limit(**self.model_dump(exclude={"text"}))


class LimitsIn(Input):
    """All limits that are to hold, and the version that they replace."""

    version: Annotated[int, Field(ge=0)] = Field(description="as GET /v1/limits gave it")
    limits: Annotated[list[LimitIn], Field(max_length=MOST_LIMITS)]


class LimitOut(LimitIn):
    """One limit, also in words."""

    text: str = Field(description="the limit in words")


class LimitsOut(BaseModel):
    """The limits that hold, and how often they were changed."""

    version: int
    limits: list[LimitOut]
    hints: list[str] = Field(
        default_factory=list,
        description="after a change: names in limits that no article has now",
    )


class LimitStateOut(BaseModel):
    """What became of one limit on a feed."""

    limit: dict[str, Any] = Field(description="as in GET /v1/limits, without fields that are empty")
    text: str = Field(description="the limit in words")
    met: bool = Field(description="whether the front page keeps it")
    moved: int = Field(description="articles that it raised into its slots, or moved out of them")


class LimitPricesIn(Input):
    """The limits that are to be priced; they need not hold."""

    limits: Annotated[list[LimitIn], Field(max_length=MOST_LIMITS)]


class LimitPriceOut(BaseModel):
    """A price, or how far it is."""

    state: Literal["none", "running", "done", "failed"]
    limits: list[dict[str, Any]] | None = None
    now: float | None = Field(None, description="end of the window, epoch seconds")
    hours: float | None = None
    share: float | None = Field(None, description="done so far, 0 to 1")
    price: dict[str, Any] | None = Field(
        None, description="nDCG@10 and AUC without and with the limits, and a sentence"
    )
    error: str | None = None


def _as_number(text: Any) -> Any:
    """Return one of the periods as a number; a query holds text."""
    return int(text) if text in ("1", "6", "24") else text


class FrontPageQuery(Query):
    """The period to look at."""

    hours: Annotated[Literal[1, 6, 24], BeforeValidator(_as_number)] = 1


class NameShare(BaseModel):
    """One name of a property: its part of what was shown, and of what was published."""

    name: str
    slots: int
    articles: int
    shown: float
    published: float


class ShownArticle(BaseModel):
    """An article and how often it was given out, seen and opened."""

    article_id: str
    title: str
    section: str
    source: str
    published_at: float | None
    slots: int
    readers: int
    in_view: int
    clicks: int
    ai_generated: str


class CountedLimit(BaseModel):
    """In how many feeds a limit held, was met, and moved an article."""

    text: str
    feeds: int
    met: int
    moved: int


class FrontPageOut(BaseModel):
    """What readers were shown. Published is what came out in the last 24 hours."""

    hours: float
    now: float
    newest_at: float | None = Field(description="of the archive's newest feed, epoch seconds")
    slots: int
    feeds: int
    readers: int
    published: int
    never_shown: int
    gini: float = Field(description="over the slots of the articles published; 0: all alike")
    most_shown: list[ShownArticle]
    unseen: list[ShownArticle]
    shares: dict[str, list[NameShare]]
    limits: list[CountedLimit]
