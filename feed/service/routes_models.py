"""Routes for the models: versions, the live one, training runs, and drift."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.catalogue.model_changes import make_live, roll_back, start_training
from feed.domain import NotFoundError, check_id, format_time
from feed.models.training_runs import TrainingRun, list_runs, read_log
from feed.service.child_environment import environment_of_child
from feed.service.credentials import Scope
from feed.service.model_answers import DriftOut, ModelsOut, TrainingRunOut, TrainingRunsOut
from feed.service.operations import json_response, operation
from feed.service.services import Services, current_services

routes = APIBlueprint("models", __name__, tag="Models")


@routes.get("/v1/models")
@routes.output(ModelsOut)
@operation(Scope.READ)
def get_models() -> Response:
    """Return every published model with all that is known of it, the newest first.

    It never waits for an object store: `as_of` says when that was last read.
    """
    return _present(current_services())


@routes.post("/v1/models/<id:version>/live")
@routes.output(ModelsOut)
@operation(Scope.ADMIN, problems=(404, 409))
def post_live_model(version: str) -> Response:
    """Make a published model the live one. Every web process serves it within a second."""
    services, by = current_services(), g.principal.signature
    check_id("version", version)
    store, registry, now = services.store, services.registry, services.clock()
    make_live(store, registry, version, now=now, by=by, action="made live")
    services.keeper.wake()
    return _present(services)


@routes.post("/v1/models/rollback")
@routes.output(ModelsOut)
@operation(Scope.ADMIN, problems=(404,))
def post_rollback() -> Response:
    """Make the model live that was live before the current one."""
    services, by = current_services(), g.principal.signature
    roll_back(services.store, services.registry, now=services.clock(), by=by)
    services.keeper.wake()
    return _present(services)


@routes.get("/v1/models/drift")
@routes.output(DriftOut)
@operation(Scope.READ, problems=(409,), queued=False)
def get_drift() -> Response:
    """Say how far the features of recent requests are from what the live model learned from.

    It takes a few seconds.
    """
    services = current_services()
    return json_response(orjson.dumps(services.drift.measure(services.snapshot).to_json()))


@routes.get("/v1/training-runs")
@routes.output(TrainingRunsOut)
@operation(Scope.READ)
def get_training_runs() -> Response:
    """Return the newest training runs, with how far each is and how it ended."""
    return _present_runs(current_services())


@routes.get("/v1/training-runs/<id:run_id>")
@routes.output(TrainingRunOut)
@operation(Scope.READ, problems=(404,))
def get_training_run(run_id: str) -> Response:
    """Return one training run with the end of its log."""
    models_dir = current_services().models_dir
    run = next((r for r in list_runs(models_dir) if r.id == check_id("run_id", run_id)), None)
    if run is None:
        raise NotFoundError(f"there is no training run {run_id}")
    return json_response(orjson.dumps(_run(run) | {"log": read_log(models_dir, run.id)}))


@routes.post("/v1/training-runs")
@routes.output(TrainingRunsOut, status_code=202)
@operation(Scope.ADMIN, problems=(409,))
def post_training_run() -> Response:
    """Start `feed retrain` in a process of its own; only one trainer works at a time."""
    services, by = current_services(), g.principal.signature
    environment, now = environment_of_child(services.settings), services.clock()
    start_training(services.store, services.settings.data_dir, environment, now=now, by=by)
    return _present_runs(services, 202)


def _present(services: Services) -> Response:
    known = services.known_models
    body = {"live": known.live, "as_of": format_time(known.at), "models": known.models}
    return json_response(orjson.dumps(body))


def _present_runs(services: Services, status: int = 200) -> Response:
    body = {"runs": [_run(run) for run in list_runs(services.models_dir)]}
    return json_response(orjson.dumps(body), status)


def _run(run: TrainingRun) -> dict[str, Any]:
    times = {name: getattr(run, name) for name in ("started_at", "ended_at")}
    return asdict(run) | {name: format_time(at) if at else None for name, at in times.items()}
