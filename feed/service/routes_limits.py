"""Routes for the newsroom's limits on front pages."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.catalogue.limit_changes import change_limits
from feed.editorial.editorial import LIMITS, editorial_from_store
from feed.service.credentials import Scope
from feed.service.limit_answers import LimitsIn, LimitsOut
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services

routes = APIBlueprint("limits", __name__, tag="Newsroom")


@routes.get("/v1/limits")
@routes.output(LimitsOut)
@operation(Scope.READ)
def get_limits() -> Response:
    """Return the newsroom's limits on front pages."""
    editorial = editorial_from_store(current_services().store.read_editorial())
    limits = [{**asdict(limit), "text": limit.sentence()} for limit in editorial.limits]
    return json_response(
        orjson.dumps({"version": editorial.versions.get(LIMITS, 0), "limits": limits})
    )


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
    return get_limits()
