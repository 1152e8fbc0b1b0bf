"""What every route declares about itself, and the OpenAPI document made from it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes

from apiflask import APIFlask
from flask import Response, current_app, request
from gunicorn.http.errors import ParseException
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.routing import BaseConverter

from feed.ingest.json_text import mend_json
from feed.schemas import ID_PATTERN_TEXT, rules_broken
from feed.service.answers import Problem
from feed.service.credentials import Scope
from feed.service.problems import MEDIA_TYPE, ProblemError, unreadable_json

M = TypeVar("M", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Any])
_ATTRIBUTE = "feed_operation"
_METHODS = ("get", "put", "post", "patch", "delete")
_SLASH, _NO_SLASH = "\x1f", "\x1e"
"""What stands for an encoded slash in a path, and for that character; no id may hold either."""

DESCRIPTION = """\
A news site sends articles and what readers did with them, and asks for a reader's feed.
Times are ISO 8601; inputs without an offset are UTC. Errors are problem documents (RFC 9457)
that name field and rule. Where credentials are needed, send `Authorization: Bearer <credential>`:
an API key, or a reader's own token (a JSON Web Token whose `sub` is the reader's id).
"""


def mark_slashes(path: str, sent: str) -> str:
    """Return a decoded path in which the slashes that were sent as `%2F` are marked.

    So `/v1/users/joe%2Fattributes` is the reader `joe/attributes`, not the attributes of `joe`.

    Args:
        path: as the server decoded it.
        sent: the target of the request as it was sent; empty: unknown.
    """
    path = path.replace(_SLASH, _NO_SLASH)
    if "%2f" not in sent.lower():
        return path
    target = re.sub(f"%1f|{_SLASH}", _NO_SLASH, sent.partition("?")[0], flags=re.IGNORECASE)
    target = re.sub("%2f", _SLASH, target, flags=re.IGNORECASE)
    whole = unquote_to_bytes(target.encode("latin-1", "replace")).decode(errors="replace")
    is_same = whole.replace(_SLASH, "/").endswith(path)  # there may be a prefix, or a host
    return whole[len(whole) - len(path) :] if is_same else path


class IdConverter(BaseConverter):
    """Accepts any text in a path, even slashes and line breaks; `check_id` then validates it."""

    regex = "(?s:.+?)"
    part_isolating = False

    def to_python(self, value: str) -> str:
        """Return the id of a path that `mark_slashes` made."""
        return value.replace(_SLASH, "/")

    def to_url(self, value: str) -> str:
        """Return an id as one step of an address, whatever it holds."""
        return quote(value, safe="")


class ReaderAccess(StrEnum):
    """What a reader's own token may do at a route."""

    NONE = "none"
    ANY = "any"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route requires, and which other answers it may give.

    Args:
        scope: scope that an API key needs, if credentials are required.
        reader: what a reader's token allows: nothing, everything, or only what is the reader's.
        body: model of the JSON request body.
        problems: error statuses beyond those that any route may answer.
        answers: answers other than the JSON of `output`, as status, media type and description.
        queued: whether it waits for its turn under load.
    """

    scope: Scope
    reader: ReaderAccess = ReaderAccess.NONE
    body: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
    answers: tuple[tuple[int, str, str], ...] = ()
    queued: bool = True


def operation(
    scope: Scope,
    *,
    reader: ReaderAccess = ReaderAccess.NONE,
    body: type[BaseModel] | None = None,
    problems: Sequence[int] = (),
    answers: Sequence[tuple[int, str, str]] = (),
    queued: bool = True,
) -> Callable[[View], View]:
    """Declare an `Operation` on a view."""

    def declare(view: View) -> View:
        setattr(view, _ATTRIBUTE, declared)
        return view

    declared = Operation(scope, reader, body, tuple(problems), tuple(answers), queued)
    return declare


def operation_of(view: Any) -> Operation | None:
    """Return what a view declared."""
    declared: Operation | None = getattr(view, _ATTRIBUTE, None)
    return declared


def read_body(model: type[M]) -> M:
    """Return the JSON body of the present request.

    Raises:
        ProblemError: 400, the body is not JSON; 422, it breaks a rule; or as `read_json_bytes`.
    """
    try:
        return model.model_validate_json(read_json_bytes())
    except ValidationError as error:
        if problem := unreadable_json(error):
            raise problem from None
        broken = rules_broken(error)
        field, rule = broken[0]
        raise ProblemError(422, f"{field} {rule}", broken) from None


def read_json_bytes(*, beacon: bool = False) -> bytes:
    """Return the body of the present request, which must be declared as JSON.

    What `mend_json` can mend is mended.

    Args:
        beacon: `text/plain`, which a browser's `sendBeacon` sends, will do too.

    Raises:
        ProblemError: 400, the body breaks off or is not complete gzip; 413, it is too large,
            compressed or decompressed; 415, it is declared as something else, or is compressed
            by anything but gzip.
    """
    if not request.is_json and not (beacon and request.mimetype == "text/plain"):
        raise _unsupported("Content-Type", "must be application/json")
    most: int = current_app.config["MAX_CONTENT_LENGTH"]
    data = _read(most)
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "gzip":
        data = _decompressed(data, most)
    elif encoding != "identity":
        raise _unsupported("Content-Encoding", "must be gzip or left out")
    return mend_json(data)


def _read(most: int) -> bytes:
    request.max_content_length = most + 1  # a body in chunks is cut there without a word
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _too_large(most) from None
    except (ClientDisconnected, ParseException):
        rule = "must arrive whole, in well-formed chunks or with its Content-Length"
        raise ProblemError(400, f"the body {rule}", [("body", rule)]) from None
    if len(data) > most:
        raise _too_large(most)
    return data


def _decompressed(data: bytes, most: int) -> bytes:
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # gzip alone
    try:
        found = stream.decompress(data, most + 1)
    except zlib.error:
        found = b""
    if len(found) > most:
        raise _too_large(most)
    if not stream.eof or stream.unused_data:
        raise ProblemError(
            400, "the body is not complete gzip", [("body", "must be one complete gzip stream")]
        )
    return found


def _unsupported(header: str, rule: str) -> ProblemError:
    return ProblemError(415, f"{header} {rule}", [(header, rule)])


def _too_large(most: int) -> ProblemError:
    rule = f"must be at most {most} bytes"
    return ProblemError(413, f"the body {rule}", [("body", rule)])


def complete_openapi(app: APIFlask, document: dict[str, Any]) -> dict[str, Any]:
    """Return APIFlask's document with bodies, problems, keys and rules of ids added."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    models: set[type[BaseModel]] = {op.body for op in _operations(app) if op.body} | {Problem}
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda m: m.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    schemas.update(definitions.get("$defs", {}))
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "an API key"},
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "a reader's own token",
        },
    }
    for rule in app.url_map.iter_rules():
        declared = operation_of(app.view_functions[rule.endpoint])
        path = document["paths"].get(_openapi_path(rule.rule), {})
        for method in (rule.methods or set()) & {m.upper() for m in _METHODS}:
            if declared and method.lower() in path:
                _complete(path[method.lower()], declared, has_path_id="<" in rule.rule)
    return document


def _operations(app: APIFlask) -> list[Operation]:
    declared = (operation_of(view) for view in app.view_functions.values())
    return [op for op in declared if op is not None]


def _openapi_path(rule: str) -> str:
    return rule.replace("<id:", "{").replace("<", "{").replace(">", "}")


def _complete(entry: dict[str, Any], declared: Operation, *, has_path_id: bool) -> None:
    responses = entry["responses"]
    for status, media, text in declared.answers:
        responses.pop("200", None)
        schema = {"type": "string"}
        responses[str(status)] = {"description": text, "content": {media: {"schema": schema}}}
    for status in sorted(_problem_statuses(declared, entry, has_path_id=has_path_id)):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    if declared.body:
        schema = {"$ref": f"#/components/schemas/{declared.body.__name__}"}
        entry["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    if declared.scope is not Scope.PUBLIC:
        entry["security"] = [{}, {"key": []}]
        if declared.reader is not ReaderAccess.NONE:
            entry["security"].append({"token": []})
        entry["x-scope"] = declared.scope.value
    for parameter in entry.get("parameters", []):
        if parameter["in"] == "path":
            parameter["schema"] = {
                "type": "string",
                "minLength": 1,
                "maxLength": 128,
                "pattern": ID_PATTERN_TEXT,
            }


def _problem_statuses(declared: Operation, entry: dict[str, Any], *, has_path_id: bool) -> set[int]:
    statuses = set(declared.problems)
    if declared.scope is not Scope.PUBLIC:
        statuses |= {401, 403, 429, 503}
    if declared.body:
        statuses |= {400, 413, 415, 422}
    if has_path_id or any(p["in"] == "query" for p in entry.get("parameters", [])):
        statuses.add(422)
    return statuses


def json_response(data: bytes, status: int = 200) -> Response:
    """Return serialised JSON as a response that caches must not store."""
    response = Response(data, status=status, mimetype="application/json")
    response.headers["Cache-Control"] = "private, no-store"
    return response
