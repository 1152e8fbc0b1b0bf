"""Routes for the sources that are polled."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.domain import AgeFrom, InvalidInputError, check_id, format_time
from feed.ingest.urls import mask_login
from feed.schemas import SourceIn, SourcesIn
from feed.service.answers import AddedSourcesOut, SourceOut, SourcesOut
from feed.service.credentials import Scope
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services
from feed.sources.reach import SETTING, AllowedHosts
from feed.sources.subscription import Source, SourceState, read_address, status_of
from feed.zones import read_zone

routes = APIBlueprint("sources", __name__, tag="Sources")


@routes.get("/v1/sources")
@routes.output(SourcesOut)
@operation(Scope.READ)
def get_sources() -> Response:
    """Return every source that is polled, and what its last check found."""
    directory = current_services().sources
    states = directory.states()
    shown = [
        _present(source, states.get(source_id, SourceState()))
        for source_id, source in directory.all().items()
    ]
    shown.sort(key=lambda one: (one["name"].lower(), one["address"]))
    return json_response(orjson.dumps({"sources": shown}))


@routes.post("/v1/sources")
@routes.output(AddedSourcesOut)
@operation(Scope.WRITE, body=SourcesIn)
def post_sources() -> Response:
    """Add sources to poll.

    A source whose address is known already stays as it is, but a login in the address that is new
    is used from now on.
    """
    allowed = AllowedHosts(current_services().settings.source_networks)
    given = read_body(SourcesIn).sources
    sources = [read_source(one, allowed, f"sources.{n}.") for n, one in enumerate(given)]
    added = current_services().sources.add(sources, g.principal.signature)
    results = [
        {
            "source_id": source.source_id,
            "address": mask_login(source.address),
            "status": status,
        }
        for source, status in zip(sources, added, strict=True)
    ]
    return json_response(orjson.dumps({"results": results}))


@routes.get("/v1/sources/<id:source_id>")
@routes.output(SourceOut)
@operation(Scope.READ, problems=(404,))
def get_source(source_id: str) -> Response:
    """Return one source and what its last check found."""
    check_id("source_id", source_id)
    return _answer(source_id)


@routes.delete("/v1/sources/<id:source_id>")
@routes.output(SourcesOut)
@operation(Scope.WRITE, problems=(404,))
def delete_source(source_id: str) -> Response:
    """Stop polling a source and forget it. Its articles stay."""
    check_id("source_id", source_id)
    current_services().sources.remove(source_id, g.principal.signature)
    return get_sources()


@routes.post("/v1/sources/<id:source_id>/pause")
@routes.output(SourceOut)
@operation(Scope.WRITE, problems=(404,))
def pause_source(source_id: str) -> Response:
    """Stop polling a source until it is resumed."""
    check_id("source_id", source_id)
    current_services().sources.pause(source_id, g.principal.signature)
    return _answer(source_id)


@routes.post("/v1/sources/<id:source_id>/resume")
@routes.output(SourceOut)
@operation(Scope.WRITE, problems=(404,))
def resume_source(source_id: str) -> Response:
    """Poll a source again, after it was paused or its server said that it was gone."""
    check_id("source_id", source_id)
    current_services().sources.resume(source_id, g.principal.signature)
    return _answer(source_id)


@routes.post("/v1/sources/<id:source_id>/check")
@routes.output(SourceOut)
@operation(Scope.WRITE, problems=(404,))
def check_one_source(source_id: str) -> Response:
    """Have a source checked at once. `check_pending` turns false when that is done."""
    check_id("source_id", source_id)
    current_services().sources.ask(source_id)
    return _answer(source_id)


def _answer(source_id: str) -> Response:
    return json_response(orjson.dumps(_present(*current_services().sources.get(source_id))))


def read_source(given: SourceIn, allowed: AllowedHosts, place: str = "") -> Source:
    """Return a source; what the rules of its fields cannot say is checked here.

    Args:
        given: as it was sent.
        allowed: which hosts may be polled.
        place: where it was in the input, before the name of a field.

    Raises:
        InvalidInputError: names the field.
    """
    address = read_address(given.address, f"{place}address")
    host = httpx.URL(address).host
    try:
        allowed.check_literal(host)
    except InvalidInputError:
        rule = f"is at {host}, which is not a public address: see {SETTING}"
        raise InvalidInputError(f"{place}address", rule) from None
    try:
        read_zone(given.zone)
    except InvalidInputError as error:
        raise InvalidInputError(f"{place}zone", error.rule) from None
    shortest, longest = given.min_minutes, given.max_minutes
    if shortest is not None and longest is not None and shortest > longest:
        raise InvalidInputError(f"{place}min_minutes", "must not be more than max_minutes")
    return Source(
        address=address,
        name=" ".join(given.name.split()),
        zone=given.zone,
        age_from=AgeFrom(given.age_from),
        min_minutes=shortest,
        max_minutes=longest,
    )


def _present(source: Source, state: SourceState) -> dict[str, Any]:
    return {
        "source_id": source.source_id,
        "address": mask_login(source.address),
        "feed_address": mask_login(state.feed_address or source.address),
        "name": source.name or state.title,
        "zone": source.zone,
        "age_from": source.age_from,
        "min_minutes": source.min_minutes,
        "max_minutes": source.max_minutes,
        "status": status_of(source, state),
        "message": state.message,
        "checked_at": _time(state.checked_at),
        "succeeded_at": _time(state.succeeded_at),
        "changed_at": _time(state.changed_at),
        "next_at": None if source.paused or state.gone else _time(state.next_at),
        "check_pending": source.asked != state.answered,
        "failures": state.failures,
        "articles": state.articles,
        "left_out": state.left_out,
        "findings": [
            {"record": record, "field": field, "rule": rule}
            for record, field, rule in state.findings
        ],
    }


def _time(epoch_s: float) -> str | None:
    return format_time(epoch_s) if epoch_s else None
