"""Routes of one reader's rights: preferences, everything held on them, and being forgotten."""

from __future__ import annotations

import orjson
from apiflask import APIBlueprint
from flask import Response

from feed.domain import Preferences, check_id
from feed.service.answers import ErasedOut, ExportOut, PreferencesOut
from feed.service.credentials import Scope
from feed.service.export import export_reader
from feed.service.operations import ReaderAccess, json_response, operation, read_body
from feed.service.schemas import PreferencesBody
from feed.service.services import current_services

routes = APIBlueprint("users", __name__, tag="Readers")


def _present(user_id: str, preferences: Preferences) -> Response:
    body = PreferencesBody.of(preferences).model_dump(mode="json")
    return json_response(orjson.dumps({"user_id": user_id, **body}))


@routes.get("/v1/users/<id:user_id>/preferences")
@routes.output(PreferencesOut)
@operation(Scope.READ, reader=ReaderAccess.OWN)
def get_preferences(user_id: str) -> Response:
    """Return a reader's preferences; a reader nobody knows has the default ones."""
    check_id("user_id", user_id)
    return _present(user_id, current_services().store.read_preferences(user_id))


@routes.put("/v1/users/<id:user_id>/preferences")
@routes.output(PreferencesOut)
@operation(Scope.WRITE, reader=ReaderAccess.OWN, body=PreferencesBody)
def put_preferences(user_id: str) -> Response:
    """Replace a reader's preferences.

    With `personalization: false` no history is kept or read from now on, what was kept is
    deleted, and the feed says that it is not customized.
    """
    check_id("user_id", user_id)
    preferences = read_body(PreferencesBody).to_preferences()
    current_services().store.write_preferences(user_id, preferences)
    return _present(user_id, preferences)


@routes.get("/v1/users/<id:user_id>/export")
@routes.output(ExportOut)
@operation(Scope.ADMIN, reader=ReaderAccess.OWN, gated=False)
def get_export(user_id: str) -> Response:
    """Return everything held on a reader, in the store and in the archive."""
    check_id("user_id", user_id)
    answer = export_reader(user_id, current_services())
    return json_response(orjson.dumps(answer))


@routes.delete("/v1/users/<id:user_id>")
@routes.output(ErasedOut, status_code=202)
@operation(Scope.ADMIN, reader=ReaderAccess.OWN)
def delete_user(user_id: str) -> Response:
    """Forget a reader: at once in the store, and soon after in the archive."""
    check_id("user_id", user_id)
    current_services().store.erase_reader(user_id)
    answer = {"user_id": user_id, "store": "erased", "archive": "erasure queued"}
    return json_response(orjson.dumps(answer), 202)
