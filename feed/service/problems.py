"""Every error answer, as RFC 9457 problem documents that name field and rule."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response
from pydantic import ValidationError

from feed.domain import (
    ArchiveError,
    BundleError,
    ConflictError,
    CursorExpiredError,
    FeedError,
    GateRefusedError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    StoreUnavailableError,
)
from feed.schemas import rules_broken

MEDIA_TYPE = "application/problem+json"
NO_JSON = "the body is not JSON"
_UNREADABLE = {
    "recursion limit": ("the body is nested too deeply", "must be nested less deeply"),
    "number out of range": ("a number in the body is too long", "must hold no number so long"),
}
"""What is told of JSON that pydantic does not read, by what it says of it."""
RETRY_AFTER_S = 2

log = structlog.get_logger("feed.problems")

_STATUS_OF: tuple[tuple[type[FeedError], int], ...] = (
    (InvalidInputError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (NotAllowedError, 403),
    (GateRefusedError, 409),
    (CursorExpiredError, 410),
    (StoreUnavailableError, 503),
    (ArchiveError, 503),
    (BundleError, 503),
)


class ProblemError(Exception):
    """Ends a request with a problem document.

    Args:
        status: HTTP status code.
        detail: one sentence for the caller.
        errors: the faults of the input as (field, rule) pairs.
        headers: further response headers.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def problem_body(
    status: int, detail: str, errors: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return a problem document, JSON-ready."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"field": field, "rule": rule} for field, rule in errors],
    }


def problem_response(
    status: int,
    detail: str,
    errors: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document as a response."""
    body = orjson.dumps(problem_body(status, detail, errors))
    response = Response(body, status=status, mimetype=MEDIA_TYPE)
    response.headers.update(headers or {})
    if status in {429, 503}:
        response.headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return response


def problem_of(error: FeedError) -> Response:
    """Return the problem document of one of our own errors."""
    status = next((code for kind, code in _STATUS_OF if isinstance(error, kind)), 500)
    if isinstance(error, InvalidInputError):
        rule = (error.field_name, error.rule)
        return problem_response(status, f"{error.field_name} {error.rule}", [rule])
    if isinstance(error, StoreUnavailableError):
        return problem_response(status, "the store does not answer; try again shortly")
    return problem_response(status, str(error) or HTTPStatus(status).phrase)


def unreadable_json(error: ValidationError) -> ProblemError | None:
    """Return the problem of a body that a pydantic model cannot read at all, else None."""
    broken = rules_broken(error)
    if error.errors(include_url=False, include_input=False)[0]["type"] != "json_invalid":
        return None
    for reason, (detail, rule) in _UNREADABLE.items():
        if reason in broken[0][1]:
            return ProblemError(400, detail, [("body", rule)])
    return ProblemError(400, NO_JSON, broken)


def register_problems(app: APIFlask) -> None:
    """Make every error of `app` answer with a problem document."""

    @app.error_processor
    def from_http(error: HTTPError) -> Any:
        headers = {k: str(v) for k, v in dict(error.headers).items() if k != "Content-Length"}
        cause = error.__cause__  # of a query that breaks a rule
        errors = rules_broken(cause) if isinstance(cause, ValidationError) else []
        status = error.status_code
        if errors:
            field, rule = errors[0]
            return problem_response(status, f"{field} {rule}", errors, headers)
        return problem_response(status, f"{error.message}", errors, headers)

    @app.errorhandler(ProblemError)
    def from_problem(error: ProblemError) -> Response:
        return problem_response(error.status, error.detail, error.errors, error.headers)

    @app.errorhandler(FeedError)
    def from_feed(error: FeedError) -> Response:
        return problem_of(error)

    @app.errorhandler(Exception)
    def from_bug(error: Exception) -> Response:
        log.error("request_failed", exc_info=error, level=logging.ERROR)
        return problem_response(500, "an unexpected error; the log has it under the request id")
