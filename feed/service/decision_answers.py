"""What the API answers about boosts and about what was taken back."""

from __future__ import annotations

from pydantic import BaseModel, Field


class BoostOut(BaseModel):
    """One article that is boosted or buried."""

    article_id: str
    factor: float
    starts_at: str
    ends_at: str
    author: str


class BoostsOut(BaseModel):
    """Every boost that has not ended."""

    boosts: list[BoostOut]
    hints: list[str] = Field(
        default_factory=list,
        description="after a boost was set: that no feed can show the article now",
    )


class UndoneOut(BaseModel):
    """The entry of the audit log about what was taken back."""

    entry: str = Field(description="id of the new entry, which can be taken back, too")
    subject: str
