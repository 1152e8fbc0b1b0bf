"""What the API answers about models, training runs and drift."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class ModelsOut(BaseModel):
    """The published models."""

    live: str | None = Field(description="the version that serves")
    as_of: datetime = Field(
        description="when the list was read: up to some seconds ago with an object store, and "
        "longer ago if that does not answer"
    )
    models: list[dict[str, Any]] = Field(
        description="what is known of each version, the newest first: version, live, created_at, "
        "window, counts, gate, held_out, importance, feature_bins, parameters; error instead where "
        "it cannot be read"
    )


class TrainingRunBody(BaseModel):
    """One run of feed retrain."""

    id: str
    by: str
    started_at: str
    ended_at: str | None
    stage: str
    share: float = Field(description="of the stage, 0 to 1")
    outcome: Literal["running", "published", "refused", "dry run", "failed", "interrupted"]
    detail: str = Field(description="the version published, or why there is none")


class TrainingRunOut(TrainingRunBody):
    """One run with the end of its log."""

    log: str


class TrainingRunsOut(BaseModel):
    """The newest runs first."""

    runs: list[TrainingRunBody]


class FeatureDriftOut(BaseModel):
    """How far one feature is off."""

    name: str
    group: str
    text: str
    index: float = Field(description="population stability index")
    chance: float = Field(description="what the index would be on average if nothing had changed")
    word: Literal["stable", "moved", "shifted", "unclear"] = Field(
        description="how far the index exceeds chance: by less than 0.1, by less than 0.25, or by "
        "more; unclear if there is too little to tell"
    )


class DriftOut(BaseModel):
    """The features of recent requests against those of training, the greatest drift first."""

    requests: int
    rows: int = Field(description="candidates that were looked at")
    verdict: str = Field(description="what it means and what to do")
    features: list[FeatureDriftOut]
