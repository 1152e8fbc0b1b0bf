"""Routes for one reader: preferences, attributes, export, erasure, and merging at login."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson
from apiflask import APIBlueprint
from flask import Response, g

from feed.domain import InvalidInputError, check_id
from feed.features.sections import section_key
from feed.preferences import Preferences, Wish, WishOf
from feed.reader_schemas import AttributesBody, MergeBody, PreferencesBody
from feed.service.access import refuse_merged
from feed.service.answers import AttributesOut, ErasedOut, MergedOut, PreferencesOut
from feed.service.credentials import Caller, Scope
from feed.service.operations import ReaderAccess, json_response, operation, read_body
from feed.service.problems import ProblemError
from feed.service.reader_export import ExportOut, export_reader
from feed.service.services import current_services

routes = APIBlueprint("users", __name__, tag="Readers")


def _check_reader(user_id: str) -> None:
    """Check the id in the path; the token of an id that was merged is no longer accepted."""
    check_id("user_id", user_id)
    if g.principal.caller is Caller.READER:
        refuse_merged(moved=current_services().store.resolve(user_id) != user_id)


def _about(wish: Wish) -> tuple[WishOf, str]:
    """Return what a wish is about; the spellings of a section are one."""
    return wish.of, section_key(wish.value) if wish.of is WishOf.SECTION else wish.value


def _check_wishes(wishes: Sequence[Wish]) -> None:
    """Refuse two wishes about one thing."""
    if len({*map(_about, wishes)}) < len(wishes):
        raise InvalidInputError("wishes", "must not be about the same thing twice")


def _present(user_id: str, preferences: Preferences) -> Response:
    """Return preferences as they can be sent back: of two wishes about one thing, the later one.

    Earlier versions kept both where they spelled a section in two ways.
    """
    different = {_about(wish): wish for wish in preferences.wishes}
    preferences = replace(preferences, wishes=tuple(different.values()))
    body = PreferencesBody.of(preferences, current_services().clock()).model_dump(mode="json")
    return json_response(orjson.dumps({"user_id": user_id, **body}))


def _present_attributes(user_id: str, attributes: Mapping[str, str]) -> Response:
    return json_response(orjson.dumps({"user_id": user_id, "attributes": attributes}))


@routes.get("/v1/users/<id:user_id>/preferences")
@routes.output(PreferencesOut)
@operation(Scope.READ, reader=ReaderAccess.OWN)
def get_preferences(user_id: str) -> Response:
    """Return a reader's preferences; an unknown reader has the defaults."""
    _check_reader(user_id)
    return _present(user_id, current_services().store.read_preferences(user_id))


@routes.put("/v1/users/<id:user_id>/preferences")
@routes.output(PreferencesOut)
@operation(Scope.WRITE, reader=ReaderAccess.OWN, body=PreferencesBody)
def put_preferences(user_id: str) -> Response:
    """Replace a reader's preferences, wishes included.

    With `personalization: false` the stored history is deleted, and none is stored or read from
    then on. What the reader states still counts: these preferences, dislikes and hides. A feed then
    says that it is customized only if they changed it.
    """
    _check_reader(user_id)
    preferences = read_body(PreferencesBody).to_preferences(current_services().clock())
    _check_wishes(preferences.wishes)
    current_services().store.write_preferences(user_id, preferences)
    return _present(user_id, preferences)


@routes.get("/v1/users/<id:user_id>/attributes")
@routes.output(AttributesOut)
@operation(Scope.READ, reader=ReaderAccess.OWN)
def get_attributes(user_id: str) -> Response:
    """Return what the newsroom knows of a reader."""
    _check_reader(user_id)
    return _present_attributes(user_id, current_services().store.read_choices(user_id).attributes)


@routes.put("/v1/users/<id:user_id>/attributes")
@routes.output(AttributesOut)
@operation(Scope.WRITE, body=AttributesBody)
def put_attributes(user_id: str) -> Response:
    """Replace what the newsroom knows of a reader, for audiences and segments of experiments.

    It counts before what a feed request states. It is kept for 400 days. A reader's own token may
    not set it, because only the newsroom can say, for example, who is a subscriber.
    """
    _check_reader(user_id)
    attributes = read_body(AttributesBody).attributes
    current_services().store.write_attributes(user_id, attributes)
    return _present_attributes(user_id, attributes)


@routes.delete("/v1/users/<id:user_id>/attributes")
@routes.output(AttributesOut)
@operation(Scope.WRITE)
def delete_attributes(user_id: str) -> Response:
    """Forget what the newsroom knows of a reader."""
    _check_reader(user_id)
    current_services().store.write_attributes(user_id, {})
    return _present_attributes(user_id, {})


@routes.get("/v1/users/<id:user_id>/export")
@routes.output(ExportOut)
@operation(Scope.ADMIN, reader=ReaderAccess.OWN, queued=False)
def get_export(user_id: str) -> Response:
    """Return everything that is held on a reader in the store and in the archive."""
    _check_reader(user_id)
    answer = export_reader(user_id, current_services())
    return json_response(orjson.dumps(answer))


@routes.post("/v1/users/<id:user_id>/merge")
@routes.output(MergedOut)
@operation(Scope.WRITE, reader=ReaderAccess.OWN, body=MergeBody, problems=(409,))
def post_merge(user_id: str) -> Response:
    """Merge an anonymous reader's history, reactions and preferences into this reader's.

    Call this when somebody logs in, either with a key and the anonymous id, or with the reader's
    own token and the anonymous reader's token. From then on the id stands for the reader wherever
    it is used, also in events that were still queued. Another call changes nothing.
    """
    check_id("user_id", user_id)
    services = current_services()
    from_id = _anonymous_id(read_body(MergeBody))
    merge = services.store.merge_reader(from_id, user_id, services.clock())
    status = "merged" if merge.is_new else "already_merged"
    answer = {"user_id": merge.user_id, "merged": from_id, "status": status}
    return json_response(orjson.dumps(answer))


def _anonymous_id(given: MergeBody) -> str:
    if given.token is None:
        if g.principal.caller is Caller.READER:
            rule = "is needed: a reader's token can merge an anonymous reader by its token alone"
            raise ProblemError(403, f"token {rule}", [("token", rule)])
        return str(given.from_id)
    try:
        anonymous = current_services().access.reader_of(given.token)
    except ProblemError as problem:
        raise ProblemError(422, problem.detail, [("token", problem.detail)]) from None
    if not anonymous.anonymous:
        rule = "must be an anonymous reader's"
        raise ProblemError(403, f"token {rule}", [("token", rule)])
    return str(anonymous.user_id)


@routes.delete("/v1/users/<id:user_id>")
@routes.output(ErasedOut, status_code=202)
@operation(Scope.ADMIN, reader=ReaderAccess.OWN)
def delete_user(user_id: str) -> Response:
    """Erase a reader's data: at once in the store, and soon after in the archive."""
    _check_reader(user_id)
    current_services().store.erase_reader(user_id)
    answer = {"user_id": user_id, "store": "erased", "archive": "erasure queued"}
    return json_response(orjson.dumps(answer), 202)
