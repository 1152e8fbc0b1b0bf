"""What the API answers about the ranking settings of the installation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class SettingOut(BaseModel):
    """One ranking setting."""

    name: str = Field(description="a weight is named weights.FEATURE")
    text: str = Field(description="what it is, and in which unit")
    kind: Literal["flag", "whole", "number"]
    value: bool | int | float = Field(description="in force where no experiment says otherwise")
    default: bool | int | float
    environment: bool | int | float = Field(description="what FEED_RANKING_... says")
    least: float | None
    most: float | None
    changed_at: str | None = Field(description="null: as the environment says")
    changed_by: str | None
    experiments: list[str] = Field(
        description="what running experiments set instead, as EXPERIMENT, VARIANT: VALUE"
    )


class FaultOut(BaseModel):
    """A stored change that cannot be used, so that the environment's value holds."""

    name: str
    rule: str


class RankingSettingsOut(BaseModel):
    """The ranking settings of the installation."""

    version: int = Field(description="how often they were changed; send it in If-Match")
    settings: list[SettingOut]
    faults: list[FaultOut]


class MixOut(BaseModel):
    """What stands in the first ten slots of the requests."""

    slots: int
    articles: int = Field(description="how many different ones")
    trending: float = Field(description="share of the slots with the trending label")
    ai_generated: float = Field(description="share of the slots with an AI-generated article")
    mean_age_hours: float | None
    sections: dict[str, float] = Field(description="share of the slots by section")


class RankingPreviewOut(BaseModel):
    """What a change would do to the feeds of recent requests."""

    requests: int
    hours: float = Field(description="how long ago the oldest request was served")
    changed: float = Field(description="share of the requests whose first ten slots differ")
    replaced: float = Field(description="share of the articles in these slots that are new there")
    before: MixOut
    after: MixOut
    not_previewed: list[str] = Field(
        description="settings of the change that the worker uses, so that a preview shows nothing"
    )
