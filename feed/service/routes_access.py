"""Routes for credentials: anonymous readers' tokens, and the API keys in the store."""

from __future__ import annotations

import secrets

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.config import DAY_S
from feed.domain import check_id, format_time
from feed.schemas import KeyIn
from feed.service.access import refuse_merged
from feed.service.answers import AnonymousOut, KeysOut, NewKeyOut
from feed.service.credentials import Principal, Scope
from feed.service.operations import ReaderAccess, json_response, operation, read_body
from feed.service.problems import ProblemError
from feed.service.services import current_services, present_editor

ANONYMOUS_PREFIX = "anon-"
ANONYMOUS_BYTES = 16

routes = APIBlueprint("access", __name__, tag="Access")


@routes.post("/v1/anonymous")
@routes.output(AnonymousOut, status_code=201)
@operation(Scope.SITE, reader=ReaderAccess.OWN, queued=False)
def post_anonymous() -> Response:
    """Make an anonymous reader and a token that speaks for it.

    A browser calls this with the site key when a reader comes for the first time. A call with a
    token from an earlier call gives the same reader a fresh token. The number of new readers that
    one address can make in a minute is limited.
    """
    services, principal = current_services(), g.principal
    now = services.clock()
    user_id, since = _anonymous_reader(principal, now)
    lifetime_s = services.settings.anonymous_token_days * DAY_S
    token = services.access.tokens.mint_anonymous(user_id, now, lifetime_s, since)
    answer = {"user_id": user_id, "token": token, "expires_at": format_time(now + lifetime_s)}
    return json_response(orjson.dumps(answer), 201)


def _anonymous_reader(principal: Principal, now: float) -> tuple[str, float]:
    """Return the caller's reader id and when it was made; for a new reader, make an id."""
    if principal.user_id is None:
        most = current_services().settings.anonymous_per_minute
        if most:
            current_services().access.limit("anonymous", most, g.address)
        return f"{ANONYMOUS_PREFIX}{secrets.token_hex(ANONYMOUS_BYTES)}", now
    if not principal.anonymous:
        raise ProblemError(403, "the token speaks for a reader who is not anonymous")
    refuse_merged(moved=current_services().store.resolve(principal.user_id) != principal.user_id)
    return principal.user_id, principal.since if principal.since is not None else now


@routes.get("/v1/keys")
@routes.output(KeysOut)
@operation(Scope.ADMIN)
def get_keys() -> Response:
    """Return every accepted API key: its name, its scope, where it is kept, and its last use."""
    ring = current_services().access.keys
    ring.follow(current_services().clock())
    used = ring.last_uses()
    keys = [
        {
            "name": key.name,
            "scope": key.scope.value,
            "kept_in": "store" if key.stored else "settings",
            "created_at": _time(key.created_at),
            "last_used_at": _time(used.get(key.name)),
        }
        for key in ring.all()
    ]
    return json_response(orjson.dumps({"keys": keys}))


@routes.post("/v1/keys")
@routes.output(NewKeyOut, status_code=201)
@operation(Scope.ADMIN, body=KeyIn, problems=(409,))
def post_key() -> Response:
    """Make an API key in the store. Only this answer contains the key itself.

    The process that answers accepts the key at once, and the others within a second.
    """
    given = read_body(KeyIn)
    ring = current_services().access.keys
    key = ring.add(given.name, Scope(given.scope), present_editor())
    answer = {"name": given.name, "scope": given.scope, "key": key}
    return json_response(orjson.dumps(answer), 201)


@routes.delete("/v1/keys/<id:name>")
@routes.output(KeysOut)
@operation(Scope.ADMIN, problems=(404, 409))
def delete_key(name: str) -> Response:
    """Revoke an API key in the store."""
    check_id("name", name)
    current_services().access.keys.remove(name, present_editor())
    return get_keys()


def _time(epoch_s: float | None) -> str | None:
    return None if epoch_s is None else format_time(epoch_s)
