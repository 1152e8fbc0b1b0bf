"""What the routes for the pages about experiments answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class MetricOut(BaseModel):
    """One metric that an experiment may name."""

    name: str
    title: str
    note: str
    better: Literal["up", "down", "neither"]
    can_decide: bool = Field(description="whether it may be a primary metric")


class MetricsOut(BaseModel):
    """Every metric that an experiment may name."""

    metrics: list[MetricOut]


class RankingSettingOut(BaseModel):
    """One ranking setting that a variant may change."""

    name: str
    text: str
    kind: Literal["flag", "whole", "number"]
    value: bool | int | float = Field(description="where no experiment says otherwise")
    least: float | None
    most: float | None


class DesignOptionsOut(BaseModel):
    """What the design of an experiment may hold."""

    defaults: dict[str, Any] = Field(description="values of fields that a design leaves out")
    ranking: list[RankingSettingOut]
    retention_days: int = Field(description="days that the archive keeps events; 0: for ever")
    time_zone: str


class ReportSummaryOut(BaseModel):
    """What the last report on one experiment says."""

    name: str
    version: int
    verdict: Literal["ship", "do not ship", "inconclusive", "go on", "broken"]
    sentence: str
    made_at: str
    days_run: float
    readers: int


class ReportsOut(BaseModel):
    """What the last report of each experiment says."""

    reports: list[ReportSummaryOut]
    watch_minutes: float = Field(
        description="from one report of a running experiment to the next; 0: none is made by itself"
    )
