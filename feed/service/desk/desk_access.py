"""Lets people into the desk's pages by their role, and takes forms of its own pages only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import structlog
from flask import Response, g, redirect, request

from feed.domain import (
    ArchiveError,
    ConflictError,
    FeedError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    StoreUnavailableError,
)
from feed.service.credentials import Principal
from feed.service.desk.desk_shell import (
    TOKEN_FIELD,
    asked_address,
    clear_cookie,
    keep_messages,
    set_cookie,
    show_trouble,
)
from feed.service.desk.visitors import SESSION_HOURS, Role, Visitor
from feed.service.services import current_services
from feed.storage.breaker import FAILURES

View = TypeVar("View", bound=Callable[..., Any])
SESSION_COOKIE = "feed_desk"
SIGN_IN = "/desk/sign-in"
TOKEN_HEADER = "X-Form-Token"  # noqa: S105 - the name of a header
_ATTRIBUTE = "feed_desk_role"
_STATUS_OF: tuple[tuple[type[FeedError], int], ...] = (
    (InvalidInputError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (NotAllowedError, 403),
    (StoreUnavailableError, 503),
    (ArchiveError, 503),
)

log = structlog.get_logger("feed.desk")


def desk_page(role: Role | None) -> Callable[[View], View]:
    """Declare who may open a page or send a form; errors of the view become pages, too.

    Args:
        role: that visitors need at least; None: everybody may, even without signing in.
    """

    def declare(view: View) -> View:
        @wraps(view)
        def guarded(**arguments: Any) -> Response:
            try:
                refusal = _refusal(role) if role else None
                response = refusal or view(**arguments)
            except FeedError as error:
                response = _trouble_of(error)
            return keep_messages(response)

        setattr(guarded, _ATTRIBUTE, role)
        return guarded  # type: ignore[return-value]

    return declare


def is_desk_page(view: Any) -> bool:
    """Return whether a view declared who may open it as a page of the desk."""
    return hasattr(view, _ATTRIBUTE)


def role_of_page(view: Any) -> Role | None:
    """Return the least role for a page of the desk, None if everybody may open it."""
    role: Role | None = getattr(view, _ATTRIBUTE)
    return role


def find_visitor() -> Visitor | None:
    """Return who makes the present request, None if they must sign in.

    Raises:
        StoreUnavailableError: the store was never read, and it does not answer.
    """
    services = current_services()
    access = services.access
    if not access.keys.known:
        access.keys.follow(services.clock())
    if access.is_open:
        _ask_store(services.store.ping)
        return services.desk.open_visitor()
    visitor = services.desk.read(request.cookies.get(SESSION_COOKIE, ""), access.keys)
    return None if visitor is None or _has_ended(visitor) else visitor


def _has_ended(visitor: Visitor) -> bool:
    """Return whether somebody has signed out of a session.

    While the store is away, every session counts as open: people must see what is wrong, and
    whatever changes something or shows a reader writes to the store first, so that it fails.
    """
    return bool(_ask_store(partial(current_services().store.has_ended, visitor.session)))


def _ask_store(question: Callable[[], bool | None]) -> bool | None:
    """Return the store's answer; None if it is away, which is noted, so that the page says so.

    It is asked twice, because one slow answer is no outage.
    """
    for _ in range(FAILURES):
        with suppress(StoreUnavailableError):
            return question()
    g.store_is_away = True
    return None


def api_caller() -> Principal | None:
    """Return who calls the API from a page of the desk; None if it is no such page.

    The page sends the session's form token, which no page of another site knows, in a header that
    none may send here.

    Raises:
        StoreUnavailableError: as `find_visitor`.
    """
    given = request.headers.get(TOKEN_HEADER, "")
    if not given or not current_services().cross_origin.is_own(request):
        return None
    visitor = find_visitor()
    if visitor is None or visitor.is_open or not visitor.owns(given):
        return None
    return visitor.to_principal()


def begin_session(response: Response, text: str) -> None:
    """Give a browser its session."""
    set_cookie(response, SESSION_COOKIE, text, SESSION_HOURS * 3600)


def end_session(response: Response) -> None:
    """Take a browser's session away."""
    clear_cookie(response, SESSION_COOKIE)


def _refusal(role: Role) -> Response | None:
    """Return the answer to somebody who may not do this, None if they may."""
    g.visitor = visitor = find_visitor()
    if visitor is None:
        if "HX-Request" in request.headers:  # a part of a page: the whole page must go there
            here = urlsplit(request.headers.get("HX-Current-URL", "")).path
            return Response(status=204, headers={"HX-Redirect": f"{SIGN_IN}?next={quote(here)}"})
        if request.method == "GET":
            target = asked_address()
            return redirect(f"{SIGN_IN}?next={quote(target)}", 303)  # type: ignore[return-value]
        return show_trouble(401, "Your session has ended. Sign in again; nothing was changed.")
    if not visitor.may(role):
        text = f"You are signed in as {visitor.role}. This needs the role {role}."
        return show_trouble(403, text)
    if request.method not in {"GET", "HEAD"} and not _is_own_form(visitor):
        return show_trouble(403, "This form was not sent by a page of the desk. Load it again.")
    return None


def _is_own_form(visitor: Visitor) -> bool:
    is_same = visitor.owns(request.form.get(TOKEN_FIELD, ""))
    return is_same and current_services().cross_origin.is_own(request)


def _trouble_of(error: FeedError) -> Response:
    status = next((code for kind, code in _STATUS_OF if isinstance(error, kind)), 500)
    if isinstance(error, StoreUnavailableError):
        return show_trouble(
            503,
            "The store does not answer, so this page has nothing to show. Readers still get "
            "feeds, made from what the web processes remember.",
        )
    if status == 500:
        log.error("desk_failed", exc_info=error)
    return show_trouble(status, f"{error}")
