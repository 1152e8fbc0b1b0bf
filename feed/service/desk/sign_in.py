"""Signing in with an API key or at an identity provider, and signing out."""

from __future__ import annotations

from dataclasses import asdict
from hmac import compare_digest

from flask import Response, g, redirect, request

from feed.domain import StoreUnavailableError
from feed.service.desk.desk_access import begin_session, desk_page, end_session, find_visitor
from feed.service.desk.desk_shell import (
    clear_cookie,
    desk_blueprint,
    is_secure,
    render,
    say,
    set_cookie,
)
from feed.service.desk.provider import SignInAttempt, SignInRefusedError
from feed.service.desk.undo import local_address
from feed.service.desk.visitors import ROLES_OF_SCOPES, SESSION_HOURS, Role, Visitor
from feed.service.problems import ProblemError
from feed.service.services import current_services
from feed.storage.records import AuditEntry

pages = desk_blueprint("sign_in")
TRIES_A_MINUTE = 10
ATTEMPT_COOKIE = "feed_desk_attempt"
ATTEMPT_SECONDS = 600
ATTEMPT = "attempt"


@pages.get("/desk/sign-in")
@desk_page(None)
def show_sign_in() -> Response:
    """Ask for a key, or lead to the identity provider."""
    target = local_address(request.args.get("next", ""))
    if find_visitor() is not None:
        return redirect(target, 303)  # type: ignore[return-value]
    return _show_form(target)


@pages.post("/desk/sign-in")
@desk_page(None)
def sign_in() -> Response:
    """Begin a session, if the key is one that opens the desk."""
    target = local_address(request.form.get("next", ""))
    try:
        _count_try()
        if not current_services().cross_origin.is_own(request):
            raise SignInRefusedError("This form was not sent by a page of the desk. Try again.")
        text, name = _use_key(request.form.get("key", "").strip())
    except SignInRefusedError as refusal:
        return _show_form(target, refusal)
    return _let_in(text, name, target)


@pages.get("/desk/sign-in/provider")
@desk_page(None)
def go_to_provider() -> Response:
    """Lead to the identity provider."""
    services, target = current_services(), local_address(request.args.get("next", ""))
    if not services.provider.is_configured:
        return redirect("/desk/sign-in", 303)  # type: ignore[return-value]
    try:
        _count_try()
        address, attempt = services.provider.begin(_callback(), target)
    except SignInRefusedError as refusal:
        return _show_form(target, refusal)
    response: Response = redirect(address, 303)  # type: ignore[assignment]
    set_cookie(
        response, ATTEMPT_COOKIE, services.desk.sign(asdict(attempt), ATTEMPT), ATTEMPT_SECONDS
    )
    return response


@pages.get("/desk/sign-in/done")
@desk_page(None)
def come_from_provider() -> Response:
    """Begin a session for somebody who has signed in at the identity provider."""
    services, target = current_services(), "/desk"
    try:
        _count_try()
        attempt = _read_attempt()
        target = attempt.target
        person = services.provider.finish(attempt, request.args, _callback())
    except SignInRefusedError as refusal:
        return clear_cookie(_show_form(target, refusal), ATTEMPT_COOKIE)
    text = services.desk.begin_for(person.name, person.role)
    return clear_cookie(_let_in(text, person.name, target), ATTEMPT_COOKIE)


@pages.post("/desk/sign-out")
@desk_page(Role.ANALYST)
def sign_out() -> Response:
    """End the session, also for copies of its cookie."""
    visitor: Visitor = g.visitor
    services = current_services()
    entry = AuditEntry(services.clock(), visitor.name, "signed out", "desk")
    try:
        if not visitor.is_open:
            services.store.end_session(visitor.session, SESSION_HOURS * 3600, entry)
        say(f"{visitor.name} has signed out.")
    except StoreUnavailableError:
        say(
            f"{visitor.name} has signed out of this browser. The store could not note it, so a "
            f"copy of the session's cookie stays valid for up to {SESSION_HOURS} hours.",
            is_error=True,
        )
    response: Response = redirect("/desk/sign-in", 303)  # type: ignore[assignment]
    end_session(response)
    return response


def _count_try() -> None:
    try:
        current_services().access.limit("desk-sign-in", TRIES_A_MINUTE, g.address)
    except ProblemError:
        text = "There were too many tries from your address. Wait a minute."
        raise SignInRefusedError(text, 429) from None


def _use_key(given: str) -> tuple[str, str]:
    """Return the text of a session's cookie, and the name of the key."""
    services = current_services()
    key = services.access.keys.find(given)
    if key is None:
        raise SignInRefusedError("This key is not known.")
    if key.scope not in ROLES_OF_SCOPES:
        raise SignInRefusedError(f"A key with the scope {key.scope} does not open the desk.")
    return services.desk.begin(key), key.name


def _read_attempt() -> SignInAttempt:
    """Return the attempt to which the provider's answer belongs."""
    services = current_services()
    text = request.cookies.get(ATTEMPT_COOKIE, "")
    kept = services.desk.unsign(text, ATTEMPT_SECONDS, ATTEMPT)
    given = request.args.get("state", "").encode("utf-8", "surrogatepass")
    if (
        not services.provider.is_configured
        or not kept
        or not compare_digest(kept["state"].encode(), given)
    ):
        text = "This answer belongs to no sign-in of this browser, or it took too long. Try again."
        raise SignInRefusedError(text)
    return SignInAttempt(**kept)


def _callback() -> str:
    scheme = "https" if is_secure() else "http"
    return f"{scheme}://{request.host}/desk/sign-in/done"


def _let_in(session: str, name: str, target: str) -> Response:
    services = current_services()
    services.store.append_audit(AuditEntry(services.clock(), name, "signed in", "desk"))
    response: Response = redirect(target, 303)  # type: ignore[assignment]
    begin_session(response, session)
    return response


def _show_form(target: str, refusal: SignInRefusedError | None = None) -> Response:
    return render(
        "desk/sign_in.html",
        room="",
        status=refusal.status if refusal else 200,
        target=target,
        fault=refusal or "",
        has_provider=current_services().provider.is_configured,
    )
