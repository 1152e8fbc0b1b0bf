"""Routes for the newsroom's limits, their price, and what readers were shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.catalogue.limit_changes import change_limits
from feed.editorial.editorial import LIMITS, Editorial, editorial_from_store
from feed.editorial.editorial_limits import check_limits
from feed.service.credentials import Scope
from feed.service.limit_answers import (
    FrontPageOut,
    FrontPageQuery,
    LimitPriceOut,
    LimitPricesIn,
    LimitsIn,
    LimitsOut,
)
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services
from feed.service.unknown_names import hints_for_limits

routes = APIBlueprint("limits", __name__, tag="Newsroom")


@routes.get("/v1/limits")
@routes.output(LimitsOut)
@operation(Scope.READ)
def get_limits() -> Response:
    """Return the newsroom's limits on front pages."""
    return json_response(orjson.dumps(_described(_present())))


@routes.put("/v1/limits")
@routes.output(LimitsOut)
@operation(Scope.WRITE, body=LimitsIn, problems=(409,))
def put_limits() -> Response:
    """Replace the newsroom's limits on front pages.

    Every feed of mode `personalized` without a section, and not below an article, keeps them as
    far as the articles allow it, and says which it does not keep.
    """
    services = current_services()
    body = read_body(LimitsIn)
    change_limits(
        services.store,
        [limit.to_limit() for limit in body.limits],
        version=body.version,
        by=g.principal.signature,
        now=services.clock(),
    )
    services.keeper.catch_up()
    found = _present()
    hints = hints_for_limits(found.limits, services.keeper.current())
    return json_response(orjson.dumps(_described(found) | {"hints": hints}))


@routes.get("/v1/limits/price")
@routes.output(LimitPriceOut)
@operation(Scope.READ, queued=False)
def get_limit_price() -> Response:
    """Return what limits cost on recorded clicks, or how far the computation is."""
    state = current_services().front_page.price() or {"state": "none"}
    return json_response(orjson.dumps(state))


@routes.post("/v1/limits/price")
@routes.output(LimitPriceOut, status_code=202)
@operation(Scope.WRITE, body=LimitPricesIn, problems=(409,))
def post_limit_price() -> Response:
    """Begin to compute what limits cost: the recorded feeds of the last day are ranked again."""
    services = current_services()
    limits = [limit.to_limit() for limit in read_body(LimitPricesIn).limits]
    check_limits(limits)
    services.front_page.start_price(limits, services.ranking)
    return json_response(orjson.dumps(services.front_page.price()), 202)


@routes.get("/v1/front-page")
@routes.input(FrontPageQuery, location="query", arg_name="query")
@routes.output(FrontPageOut)
@operation(Scope.READ, queued=False)
def get_front_page(query: FrontPageQuery) -> Response:
    """Return what readers were shown in the last hours, beside what was published."""
    return json_response(orjson.dumps(current_services().front_page.read(float(query.hours))))


def _present() -> Editorial:
    return editorial_from_store(current_services().store.read_editorial())


def _described(editorial: Editorial) -> dict[str, Any]:
    limits = [{**asdict(limit), "text": limit.sentence()} for limit in editorial.limits]
    return {"version": editorial.versions.get(LIMITS, 0), "limits": limits}
