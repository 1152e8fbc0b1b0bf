"""What the API takes about experiments and the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from feed.schemas import EXPERIMENT_PATTERN_TEXT, Query

MOST_ENTRIES = 1000

ExperimentName = Annotated[str, Field(min_length=1, max_length=64, pattern=EXPERIMENT_PATTERN_TEXT)]


class ExperimentIn(BaseModel):
    """The definition of an experiment; docs/experiments.md lists its fields."""

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="constants")

    name: ExperimentName

    def definition(self) -> dict[str, Any]:
        """Return the definition as plain values."""
        return self.model_dump(mode="json")


class RampIn(BaseModel):
    """How much of the layer's traffic a running experiment gets."""

    model_config = ConfigDict(extra="forbid")

    traffic: Annotated[float, Field(gt=0, le=1, description="share of the layer's readers")]


class DuplicateIn(BaseModel):
    """What the copy of an experiment is called."""

    model_config = ConfigDict(extra="forbid")

    name: ExperimentName


class ExperimentsQuery(Query):
    """Which experiments are listed."""

    archived: bool = Field(False, description="list archived experiments, too")
    status: Literal["draft", "running", "stopped"] | None = None


class AuditQuery(Query):
    """Which entries of the audit log are returned."""

    limit: Annotated[int, Field(ge=1, le=MOST_ENTRIES)] = 100
    subject: Annotated[str, Field(max_length=200)] = Field(
        "", description="only on this subject, or on all below it: experiments, experiments/NAME"
    )
    by: Annotated[str, Field(max_length=200)] = Field("", description="only what this person did")
