"""Routes for the pages about experiments: what a design may hold, and what reports say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import orjson
from apiflask import APIBlueprint
from flask import Response

from feed.config import RankingConfig
from feed.experiments.design.definition_json import experiment_to_json
from feed.experiments.design.definitions import Experiment, Variant
from feed.experiments.design.design_rules import SHARED_SETTINGS
from feed.experiments.design.lifecycle import read_experiments
from feed.experiments.design.metrics import METRICS
from feed.experiments.design.own_metrics import own_metrics
from feed.experiments.report.files import REPORTS, report_files
from feed.service.credentials import Scope
from feed.service.operations import json_response, operation
from feed.service.report_answers import DesignOptionsOut, MetricsOut, ReportsOut, ReportSummaryOut
from feed.service.services import current_services
from feed.setting_fields import documented
from feed.settings_text import KINDS, range_of

routes = APIBlueprint("reports", __name__, tag="Newsroom")

_SET_BY_THE_SERVICE = frozenset(
    {
        *("name", "hypothesis", "owner", "variants", "version", "revision", "buckets", "status"),
        *("excluded", "reserved", "steps", "archived", "created_at", "started_at", "stopped_at"),
    }
)


@routes.get("/v1/metrics")
@routes.output(MetricsOut)
@operation(Scope.READ, queued=False)
def get_metrics() -> Response:
    """Return every metric that an experiment may name."""
    metrics = [
        {
            "name": metric.name,
            "title": metric.title,
            "note": metric.note,
            "better": metric.better,
            "can_decide": not metric.grouped and metric.better != "neither",
        }
        for metric in (*METRICS.values(), *own_metrics(current_services().settings).values())
    ]
    return json_response(orjson.dumps({"metrics": metrics}))


@routes.get("/v1/design-options")
@routes.output(DesignOptionsOut)
@operation(Scope.ADMIN, queued=False)
def get_design_options() -> Response:
    """Return what the design of an experiment may hold: defaults and ranking settings."""
    settings = current_services().settings_in_force
    plain = Experiment(
        name="plain",
        hypothesis="none",
        owner="nobody",
        variants=(Variant(name="control", share=0.5), Variant(name="new", share=0.5)),
    )
    defaults = experiment_to_json(plain).items()
    options = {
        "defaults": {name: v for name, v in defaults if name not in _SET_BY_THE_SERVICE},
        "ranking": _ranking_settings(settings.ranking),
        "retention_days": settings.retention_days,
        "time_zone": settings.time_zone,
    }
    return json_response(orjson.dumps(options))


def _ranking_settings(config: RankingConfig) -> list[dict[str, Any]]:
    """Return the settings that a variant may change, each with its range and present value."""
    hints = get_type_hints(RankingConfig)
    return [
        {
            "name": one.name,
            "text": one.metadata["doc"],
            "kind": KINDS[hints[one.name]],
            "value": getattr(config, one.name),
            **range_of(one),
        }
        for one in documented(config)
        if hints[one.name] in KINDS and one.name not in SHARED_SETTINGS
    ]


@routes.get("/v1/reports")
@routes.output(ReportsOut)
@operation(Scope.READ, queued=False)
def get_reports() -> Response:
    """Return what the last report of each experiment says, in a few fields."""
    services = current_services()
    folder = services.settings.data_dir / REPORTS
    found = (read_summary(folder, name) for name in read_experiments(services.store))
    reports = [one.model_dump() for one in found if one is not None]
    watch_minutes = services.settings.watch_minutes
    return json_response(orjson.dumps({"reports": reports, "watch_minutes": watch_minutes}))


def read_summary(folder: Path, name: str) -> ReportSummaryOut | None:
    """Return what the last report on an experiment says; None if there is none or it is torn."""
    try:
        report = orjson.loads(report_files(folder, name).json.read_bytes())
        return ReportSummaryOut(
            name=name,
            version=int(report["experiment"]["version"]),
            verdict=report["verdict"]["kind"],
            sentence=str(report["verdict"]["sentence"]),
            made_at=str(report["generated_at"]),
            days_run=float(report["days_run"]),
            readers=sum(int(arm["analysed"]) for arm in report["arms"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
