"""What the routes for limits take and answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from feed.editorial.editorial_limits import (
    LONGEST_NAME,
    MOST_HOURS,
    MOST_LIMITS,
    MOST_SLOTS,
    Limit,
    LimitOf,
    LimitRule,
)
from feed.schemas import Input


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

    def to_limit(self) -> Limit:
        """Return the limit."""
        return Limit(**self.model_dump())


class LimitsIn(Input):
    """All limits that are to hold, and the version that they replace."""

    version: Annotated[int, Field(ge=0)] = Field(description="as GET /v1/limits gave it")
    limits: Annotated[list[LimitIn], Field(max_length=MOST_LIMITS)]


class LimitOut(LimitIn):
    """One limit, also in words."""

    text: str


class LimitsOut(BaseModel):
    """The limits that hold, and how often they were changed."""

    version: int
    limits: list[LimitOut]


class LimitStateOut(BaseModel):
    """What became of one limit on a feed."""

    limit: dict[str, Any] = Field(description="as in GET /v1/limits, without fields that are empty")
    text: str = Field(description="the limit in words")
    met: bool = Field(description="whether the front page keeps it")
    moved: int = Field(description="articles that it raised into its slots, or moved out of them")
