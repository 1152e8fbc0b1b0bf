"""Routes for the newsroom's desk: pins, and the description of the ranking."""

from __future__ import annotations

import orjson
from apiflask import APIBlueprint
from flask import Response

from feed.domain import InvalidInputError, format_time
from feed.schemas import PinsIn
from feed.service.about import about_ranking
from feed.service.answers import AboutRankingOut, PinsOut
from feed.service.credentials import Scope
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services

routes = APIBlueprint("control", __name__, tag="Newsroom")


@routes.get("/v1/about-ranking")
@routes.output(AboutRankingOut)
@operation(Scope.METRICS, queued=False)
def get_about_ranking() -> Response:
    """Return the main parameters of the ranking in plain words, and how to change them."""
    return json_response(orjson.dumps(about_ranking(current_services().ranking)))


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
