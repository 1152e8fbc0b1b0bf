"""The route that says how many readers and days an experiment needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import orjson
from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from feed.experiment_schemas import ExperimentIn
from feed.experiments.design.own_metrics import design_from_json
from feed.service.credentials import Scope
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services

routes = APIBlueprint("plan", __name__, tag="Newsroom")


class MetricNeedOut(BaseModel):
    """What one metric needs."""

    metric: str
    role: Literal["primary", "guardrail"]
    mean: float | None = Field(description="per reader, or the ratio")
    standard_deviation: float | None = Field(description="of one reader, without the covariate")
    variance_saved: float | None = Field(description="share that the covariate takes away")
    readers: int | None = Field(description="every variant together")
    reason: str = Field(description="why there is no number; empty otherwise")


class CurvePointOut(BaseModel):
    """What it takes to find another effect."""

    effect: float = Field(description="as a share of control")
    readers: int | None
    days: int | None


class PlanOut(BaseModel):
    """Readers and days that a design needs; null where the archive cannot tell."""

    readers: int | None = Field(description="every variant together")
    days: int | None = Field(description="in whole weeks")
    reason: str = Field(description="why there is no number; empty otherwise")
    readers_a_day: float = Field(description="readers who join on a day, at the rate of last week")
    comparisons: int = Field(description="primary metrics times treatments (Bonferroni)")
    covariate_days: int = Field(description="days of the archive that the covariate is from")
    metrics: list[MetricNeedOut]
    curve: list[CurvePointOut]


@routes.post("/v1/experiments/plan")
@routes.output(PlanOut)
@operation(Scope.ADMIN, body=ExperimentIn, queued=False)
def post_plan() -> Response:
    """Say how many readers and days the design of an experiment needs. Nothing is stored.

    The archive's own readers stand for those to come. They are read at most once in five minutes,
    and one plan at a time: while another one reads, the answer is 503 with `Retry-After`.
    """
    services = current_services()
    design = design_from_json(read_body(ExperimentIn).definition(), services.settings_in_force)
    need = services.plans.need_of(design)
    return json_response(orjson.dumps(asdict(need)))
