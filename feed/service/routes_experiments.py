"""Routes for experiments, from the design to the archive, and for the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.domain import check_id, format_time
from feed.experiment_schemas import AuditQuery, DuplicateIn, ExperimentIn, ExperimentsQuery, RampIn
from feed.experiments.design.definition_json import experiment_to_json
from feed.experiments.design.definitions import Experiment, Status
from feed.experiments.design.lifecycle import (
    archive_experiment,
    create_experiment,
    duplicate_experiment,
    listed_experiments,
    read_experiment,
    read_experiments,
    start_experiment,
    stop_experiment,
    unarchive_experiment,
)
from feed.experiments.design.own_metrics import design_from_json
from feed.experiments.design.ramp import ramp_experiment
from feed.models.registry import ModelRegistry
from feed.service.answers import ExperimentsOut
from feed.service.audit_answers import READERS, AuditOut
from feed.service.credentials import Scope
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services

routes = APIBlueprint("experiment_routes", __name__, tag="Newsroom")


@routes.get("/v1/experiments")
@routes.input(ExperimentsQuery, location="query", arg_name="query")
@routes.output(ExperimentsOut)
@operation(Scope.READ)
def get_experiments(query: ExperimentsQuery) -> Response:
    """Return the experiments that are not archived, or all of them, or those of one status."""
    found = read_experiments(current_services().store).values()
    status = None if query.status is None else Status(query.status)
    return _present(listed_experiments(found, archived=query.archived, status=status))


@routes.post("/v1/experiments")
@routes.output(ExperimentsOut, status_code=201)
@operation(Scope.ADMIN, body=ExperimentIn, problems=(409,))
def post_experiment() -> Response:
    """Register the design of an experiment as a draft; it takes effect when started."""
    services = current_services()
    design = design_from_json(read_body(ExperimentIn).definition(), services.settings_in_force)
    stored = create_experiment(
        services.store,
        design,
        now=services.clock(),
        by=g.principal.signature,
        settings=services.settings_in_force,
    )
    return _present([stored], 201)


@routes.get("/v1/experiments/<id:name>")
@routes.output(ExperimentsOut)
@operation(Scope.READ, problems=(404,))
def get_experiment(name: str) -> Response:
    """Return one experiment, archived or not."""
    return _present([read_experiment(current_services().store, check_id("name", name))])


@routes.post("/v1/experiments/<id:name>/start")
@routes.output(ExperimentsOut)
@operation(Scope.ADMIN, problems=(404, 409))
def start(name: str) -> Response:
    """Start a draft experiment. From then on its definition is frozen."""
    services = current_services()
    started = start_experiment(
        services.store,
        check_id("name", name),
        registry=ModelRegistry(services.settings.data_dir / "models"),
        now=services.clock(),
        by=g.principal.signature,
    )
    return _present_effect(started)


@routes.post("/v1/experiments/<id:name>/ramp")
@routes.output(ExperimentsOut)
@operation(Scope.ADMIN, body=RampIn, problems=(404, 409))
def ramp(name: str) -> Response:
    """Let more readers into a running experiment. Those who are in stay, with their variants."""
    check_id("name", name)
    services, traffic = current_services(), read_body(RampIn).traffic
    by = g.principal.signature
    return _present_effect(
        ramp_experiment(services.store, name, traffic, now=services.clock(), by=by)
    )


@routes.post("/v1/experiments/<id:name>/stop")
@routes.output(ExperimentsOut)
@operation(Scope.ADMIN, problems=(404, 409))
def stop(name: str) -> Response:
    """Stop a running experiment."""
    check_id("name", name)
    services, by = current_services(), g.principal.signature
    return _present_effect(stop_experiment(services.store, name, now=services.clock(), by=by))


@routes.post("/v1/experiments/<id:name>/duplicate")
@routes.output(ExperimentsOut, status_code=201)
@operation(Scope.ADMIN, body=DuplicateIn, problems=(404, 409))
def duplicate(name: str) -> Response:
    """Register the design of an experiment once more, as a draft of another name."""
    check_id("name", name)
    services = current_services()
    copy = duplicate_experiment(
        services.store,
        name,
        read_body(DuplicateIn).name,
        now=services.clock(),
        by=g.principal.signature,
        settings=services.settings_in_force,
    )
    return _present([copy], 201)


@routes.post("/v1/experiments/<id:name>/archive")
@routes.output(ExperimentsOut)
@operation(Scope.ADMIN, problems=(404, 409))
def archive(name: str) -> Response:
    """Hide a draft or a stopped experiment from lists. Nothing is deleted."""
    check_id("name", name)
    services, by = current_services(), g.principal.signature
    return _present([archive_experiment(services.store, name, now=services.clock(), by=by)])


@routes.post("/v1/experiments/<id:name>/unarchive")
@routes.output(ExperimentsOut)
@operation(Scope.ADMIN, problems=(404, 409))
def unarchive(name: str) -> Response:
    """Show an archived experiment in lists again."""
    check_id("name", name)
    services, by = current_services(), g.principal.signature
    return _present([unarchive_experiment(services.store, name, now=services.clock(), by=by)])


@routes.get("/v1/audit")
@routes.input(AuditQuery, location="query", arg_name="query")
@routes.output(AuditOut)
@operation(Scope.READ)
def get_audit(query: AuditQuery) -> Response:
    """Return who changed what and when, the newest first. The newest 10,000 entries are kept.

    Only the scope `admin` shows who looked at which reader.
    """
    hidden = None if Scope.ADMIN in g.principal.grants else READERS
    store = current_services().store
    entries = store.read_audit(query.limit, query.subject, query.by, hidden)
    found = [{**asdict(entry), "at": format_time(entry.at)} for entry in entries]
    return json_response(orjson.dumps({"entries": found}))


def _present(experiments: Iterable[Experiment], status: int = 200) -> Response:
    body = {"experiments": [experiment_to_json(e) for e in experiments]}
    return json_response(orjson.dumps(body), status)


def _present_effect(changed: Experiment) -> Response:
    """Present an experiment that is served otherwise from now on, and let this process know."""
    current_services().keeper.wake()
    return _present([changed])
