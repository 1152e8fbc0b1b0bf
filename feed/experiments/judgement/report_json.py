"""A report as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from feed.domain import format_time
from feed.experiments.design.definition_json import experiment_to_json
from feed.experiments.design.metrics import Metric
from feed.experiments.judgement.results import Report


def report_to_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON without NaN: a number that does not exist is null."""
    data = {f.name: _plain(getattr(report, f.name)) for f in fields(report)}
    window = report.window
    data["experiment"] = experiment_to_json(report.experiment) | {"overrides": {}, "excluded": []}
    data["generated_at"] = format_time(report.generated_at)
    data["window"] = {
        "pre_from": format_time(window.pre_from),
        "from": format_time(window.from_at),
        "to": format_time(window.to_at),
        "time_zone": window.zone,
    }
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, Metric | Enum):
        return value.name if isinstance(value, Metric) else value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
