"""Routes for the newsroom's desk: pins, experiments, and the description of the ranking."""

from __future__ import annotations

from typing import Any

import orjson
from apiflask import APIBlueprint
from flask import Response

from feed.domain import InvalidInputError, check_id, format_time
from feed.experiments.design.definition_json import experiment_to_json
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.lifecycle import (
    create_experiment,
    read_experiments,
    start_experiment,
    stop_experiment,
)
from feed.experiments.design.own_metrics import design_from_json
from feed.models.registry import ModelRegistry
from feed.schemas import ExperimentIn, PinsIn
from feed.service.about import about_ranking
from feed.service.answers import AboutRankingOut, ExperimentsOut, PinsOut
from feed.service.credentials import Scope
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services

routes = APIBlueprint("control", __name__, tag="Newsroom")


@routes.get("/v1/about-ranking")
@routes.output(AboutRankingOut)
@operation(Scope.METRICS, queued=False)
def get_about_ranking() -> Response:
    """Return the main parameters of the ranking in plain words, and how to change them."""
    return json_response(orjson.dumps(about_ranking(current_services().settings.ranking)))


def _present_pins() -> Response:
    pins = [
        {
            "article_id": pin.article_id,
            "slot": pin.slot,
            "starts_at": format_time(pin.starts_at),
            "ends_at": format_time(pin.ends_at),
            "section": pin.section,
            "author": pin.author,
        }
        for pin in current_services().store.read_pins()
    ]
    return json_response(orjson.dumps({"pins": pins}))


@routes.get("/v1/pins")
@routes.output(PinsOut)
@operation(Scope.READ)
def get_pins() -> Response:
    """Return the editors' pins that have not ended."""
    return _present_pins()


@routes.put("/v1/pins")
@routes.output(PinsOut)
@operation(Scope.WRITE, body=PinsIn)
def put_pins() -> Response:
    """Replace the editors' pins. Each puts one article into one slot between two times."""
    pins = [pin.to_pin() for pin in read_body(PinsIn).pins]
    for number, pin in enumerate(pins):
        if pin.ends_at <= pin.starts_at:
            raise InvalidInputError(f"pins.{number}.ends_at", "must be after starts_at")
    current_services().store.write_pins(pins)
    current_services().keeper.wake()
    return _present_pins()


def _present(experiments: list[Experiment], status: int = 200) -> Response:
    body: dict[str, list[Any]] = {"experiments": [experiment_to_json(e) for e in experiments]}
    return json_response(orjson.dumps(body), status)


@routes.get("/v1/experiments")
@routes.output(ExperimentsOut)
@operation(Scope.READ)
def get_experiments() -> Response:
    """Return every experiment."""
    return _present(list(read_experiments(current_services().store).values()))


@routes.post("/v1/experiments")
@routes.output(ExperimentsOut, status_code=201)
@operation(Scope.ADMIN, body=ExperimentIn, problems=(409,))
def post_experiment() -> Response:
    """Register the design of an experiment as a draft; it takes effect when started."""
    services = current_services()
    design = design_from_json(read_body(ExperimentIn).definition(), services.settings)
    stored = create_experiment(
        services.store,
        design,
        now=services.clock(),
        settings=services.settings,
    )
    return _present([stored], 201)


@routes.post("/v1/experiments/<id:name>/start")
@routes.output(ExperimentsOut)
@operation(Scope.ADMIN, problems=(404, 409))
def start(name: str) -> Response:
    """Start a draft experiment. From then on its definition is frozen."""
    check_id("name", name)
    services = current_services()
    registry = ModelRegistry(services.settings.data_dir / "models")
    started = start_experiment(services.store, name, registry=registry, now=services.clock())
    services.keeper.wake()
    return _present([started])


@routes.post("/v1/experiments/<id:name>/stop")
@routes.output(ExperimentsOut)
@operation(Scope.ADMIN, problems=(404, 409))
def stop(name: str) -> Response:
    """Stop a running experiment."""
    check_id("name", name)
    stopped = stop_experiment(current_services().store, name, now=current_services().clock())
    current_services().keeper.wake()
    return _present([stopped])
