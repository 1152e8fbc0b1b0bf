"""Routes for what the newsroom decides: pins, boosts, and taking actions back."""

from __future__ import annotations

from typing import Any

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.catalogue.boosting import describe_boost, present_boosts, remove_boost, set_boost
from feed.catalogue.pinning import add_pin, describe_pin, present_pins, remove_pins, replace_pins
from feed.domain import Pin, check_id
from feed.editorial.bodies import BoostIn, PinIn, PinsIn
from feed.service.about import about_ranking
from feed.service.answers import AboutRankingOut, PinsOut
from feed.service.credentials import Scope
from feed.service.decision_answers import BoostsOut, UndoneOut
from feed.service.desk.undo import undo_entry
from feed.service.operations import json_response, operation, read_body
from feed.service.services import current_services, present_editor
from feed.service.unknown_names import hints_for_articles, hints_for_pins

routes = APIBlueprint("control", __name__, tag="Newsroom")


@routes.get("/v1/about-ranking")
@routes.output(AboutRankingOut)
@operation(Scope.METRICS, queued=False)
def get_about_ranking() -> Response:
    """Return the main parameters of the ranking in plain words, and how to change them."""
    services = current_services()
    snapshot = services.keeper.current()
    limits = snapshot.editorial.limits if snapshot else ()
    return json_response(orjson.dumps(about_ranking(services.ranking, limits)))


@routes.get("/v1/pins")
@routes.output(PinsOut)
@operation(Scope.READ)
def get_pins() -> Response:
    """Return the editors' pins that have not ended."""
    return json_response(orjson.dumps(_described(_present())))


@routes.put("/v1/pins")
@routes.output(PinsOut)
@operation(Scope.WRITE, body=PinsIn, problems=(409,))
def put_pins() -> Response:
    """Replace the editors' pins. Each puts one article into one slot between two times."""
    services, body, editor = current_services(), read_body(PinsIn), present_editor()
    pins = [pin.to_pin(editor.name) for pin in body.pins]
    replace_pins(services.store, pins, editor, body.version)
    return _changed_pins()


@routes.post("/v1/pins")
@routes.output(PinsOut, status_code=201)
@operation(Scope.WRITE, body=PinIn, problems=(409,))
def post_pin() -> Response:
    """Pin one article and leave the other pins as they are.

    A pin that the article has in the same feeds is replaced.
    """
    services, editor = current_services(), present_editor()
    add_pin(services.store, read_body(PinIn).to_pin(editor.name), editor)
    return _changed_pins(201)


@routes.delete("/v1/pins/<id:article_id>")
@routes.output(PinsOut)
@operation(Scope.WRITE, problems=(404, 409))
def delete_pins(article_id: str) -> Response:
    """Take away every pin of one article."""
    check_id("article_id", article_id)
    remove_pins(current_services().store, article_id, present_editor())
    return _changed_pins()


@routes.get("/v1/boosts")
@routes.output(BoostsOut)
@operation(Scope.READ)
def get_boosts() -> Response:
    """Return the articles that editors have boosted or buried."""
    return json_response(orjson.dumps({"boosts": _present_boosts()}))


@routes.put("/v1/boosts/<id:article_id>")
@routes.output(BoostsOut)
@operation(Scope.WRITE, body=BoostIn, problems=(409,))
def put_boost(article_id: str) -> Response:
    """Boost an article (factor above 1) or bury it (below 1), for at most 7 days.

    Its score is multiplied by the factor in feeds of mode `personalized`, from the next second on.
    What is trending does not depend on it.
    """
    check_id("article_id", article_id)
    services, editor = current_services(), present_editor()
    boost = read_body(BoostIn).to_boost(article_id, editor.at, editor.name)
    set_boost(services.store, boost, editor)
    services.keeper.wake()
    hints = hints_for_articles([article_id], services.store, services.clock())
    return json_response(orjson.dumps({"boosts": _present_boosts(), "hints": hints}))


@routes.delete("/v1/boosts/<id:article_id>")
@routes.output(BoostsOut)
@operation(Scope.WRITE, problems=(404, 409))
def delete_boost(article_id: str) -> Response:
    """End the boost or burial of an article."""
    check_id("article_id", article_id)
    remove_boost(current_services().store, article_id, present_editor())
    current_services().keeper.wake()
    return get_boosts()


@routes.post("/v1/audit/<id:entry_id>/undo")
@routes.output(UndoneOut)
@operation(Scope.WRITE, problems=(404, 409))
def post_undo(entry_id: str) -> Response:
    """Take back what an entry of the audit log did, if nobody has changed it since.

    What concerns keys, models, settings and readers needs the scope `admin`.
    """
    check_id("entry_id", entry_id)
    may_all = Scope.ADMIN in g.principal.grants
    done = undo_entry(current_services(), entry_id, g.principal.signature, may_all=may_all)
    return json_response(orjson.dumps({"entry": done.id, "subject": done.subject}))


def _changed_pins(status: int = 200) -> Response:
    services = current_services()
    services.keeper.wake()
    found = _present()
    pinned = (pin.article_id for pin in found[0])
    hints = hints_for_pins(found[0], services.keeper.current())
    hints += hints_for_articles(pinned, services.store, services.clock())
    return json_response(orjson.dumps(_described(found) | {"hints": hints}), status)


def _present() -> tuple[list[Pin], str]:
    services = current_services()
    return present_pins(services.store, services.clock())


def _present_boosts() -> list[dict[str, Any]]:
    services = current_services()
    boosts = present_boosts(services.store, services.clock())
    return [{"article_id": b.article_id, **(describe_boost(b) or {})} for b in boosts]


def _described(found: tuple[list[Pin], str]) -> dict[str, Any]:
    pins, version = found
    return {"pins": [describe_pin(pin) for pin in pins], "version": version}
