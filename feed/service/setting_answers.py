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
