"""Routes that say why a feed is as it is: for support, and for trying out settings."""

from __future__ import annotations

from typing import Any

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.domain import check_id
from feed.reader_schemas import AccountQuery, SimulationIn
from feed.service.account_answers import ReaderAccountOut, SimulationOut, WhyNotOut
from feed.service.account_presentation import (
    present_account,
    present_answers,
    present_difference,
)
from feed.service.credentials import Scope
from feed.service.operations import json_response, operation, read_body
from feed.service.reader_accounts import account_of_feed, explain_missing, look_at_reader
from feed.service.services import current_services
from feed.service.simulated_feeds import simulate

routes = APIBlueprint("accounts", __name__, tag="Readers")


@routes.get("/v1/users/<id:user_id>/account")
@routes.input(AccountQuery, location="query", arg_name="query")
@routes.output(ReaderAccountOut)
@operation(Scope.ADMIN)
def get_account(user_id: str, query: AccountQuery) -> Response:
    """Return a reader's feed as of now, and for each slot how its article came there.

    The feed is ranked as the reader's next request would be, with their experiments, but nothing
    is recorded and the drawn slots are drawn with a fixed seed. That somebody looked at the reader
    is written to the audit log first; if it cannot be, nothing is shown.
    """
    services = current_services()
    asked = query.feed_query(check_id("user_id", user_id))
    state = look_at_reader(services, asked, g.principal.signature)
    account = account_of_feed(services, asked, state)
    answer = {"user_id": account.user_id, **present_account(account, services.card_cache)}
    return json_response(orjson.dumps(answer))


@routes.get("/v1/users/<id:user_id>/account/<id:article_id>")
@routes.input(AccountQuery, location="query", arg_name="query")
@routes.output(WhyNotOut)
@operation(Scope.ADMIN)
def get_why_not(user_id: str, article_id: str, query: AccountQuery) -> Response:
    """Say why an article is not in a reader's feed, or at which slot it is.

    The look is written to the audit log first, as for the whole account.
    """
    services = current_services()
    asked = query.feed_query(check_id("user_id", user_id))
    check_id("article_id", article_id)
    state = look_at_reader(services, asked, g.principal.signature, article_id=article_id)
    account = account_of_feed(services, asked, state)
    answers = explain_missing(services, account, article_id)
    found = present_answers(account, article_id, answers, services.card_cache)
    return json_response(orjson.dumps({"user_id": account.user_id, **found}))


@routes.post("/v1/simulate")
@routes.output(SimulationOut)
@operation(Scope.ADMIN, body=SimulationIn)
def post_simulation() -> Response:
    """Compare what two imaginary readers would see now.

    Either may have read some articles, follow something, and be ranked with other settings. Without
    any of these it is a new reader. No experiment applies, and nothing is recorded.
    """
    services = current_services()
    first, second, difference = simulate(services, read_body(SimulationIn))
    answer: dict[str, Any] = {
        "first": present_account(first, services.card_cache),
        "second": present_account(second, services.card_cache),
        "difference": present_difference(difference),
    }
    return json_response(orjson.dumps(answer))
