"""The pydantic models that document the present state of the installation."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from feed.domain import Rung


class LiveModelOut(BaseModel):
    """The model that serves."""

    version: str = Field(description="none before the first model")
    trained_at: datetime | None
    verdict: str = Field(description="what the gate said")
    forced: bool = Field(description="whether it was published against that verdict")


class AlertOut(BaseModel):
    """One thing that is wrong, or that is still to be done."""

    kind: str
    level: Literal["fault", "warning", "hint"]
    title: str = Field(description="what is wrong")
    meaning: str = Field(description="what it means for readers and for the newsroom")
    action: str = Field(description="what to do")
    page: str = Field(description="where on the desk to look; may be empty")


class EncodingOut(BaseModel):
    """How far `feed encode` is, which encodes articles anew after a change of encoder."""

    encoder: str = Field(description="name of the vectors that it makes")
    began_at: datetime
    at: datetime = Field(description="its last sign of life")
    done: int = Field(description="articles that have a vector of this encoder")
    total: int = Field(description="articles that there were at the beginning")
    state: Literal["running", "stalled", "over"]


class StatusOut(BaseModel):
    """The present state of the installation."""

    at: datetime
    store: bool = Field(
        description="whether the store answers; if not, the numbers are those of the web process "
        "that answered"
    )
    worker: str | None = Field(description="which worker leads")
    articles: int = Field(description="articles that can be shown")
    model: LiveModelOut
    numbers: dict[str, float | None] = Field(
        description="rates of the last minute, times of feeds in the last five minutes, and the "
        "present lags and sizes; null where nothing is known"
    )
    rungs: dict[Rung, float] = Field(
        description="share of each rung in the feeds of the last five minutes"
    )
    sources: int = Field(description="sources that are polled")
    encoding: EncodingOut | None = Field(
        description="the last run of `feed encode`; null if there was none within a week"
    )
    alerts: list[AlertOut]
