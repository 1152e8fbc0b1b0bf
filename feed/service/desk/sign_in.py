"""Signing in with an API key, and signing out."""

from __future__ import annotations

from flask import Response, g, redirect, request

from feed.service.desk.desk_access import begin_session, desk_page, end_session, find_visitor
from feed.service.desk.desk_shell import desk_blueprint, keep_messages, render, say
from feed.service.desk.undo import local_address
from feed.service.desk.visitors import ROLES_OF_SCOPES, Role, Visitor
from feed.service.problems import ProblemError
from feed.service.services import current_services
from feed.storage.records import AuditEntry

pages = desk_blueprint("sign_in")
TRIES_A_MINUTE = 10


@pages.get("/desk")
@desk_page(Role.ANALYST)
def open_desk() -> Response:
    """Lead to the room from which the desk is seen first."""
    return redirect("/desk/audit", 303)  # type: ignore[return-value]


@pages.get("/desk/sign-in")
def show_sign_in() -> Response:
    """Ask for a key."""
    target = local_address(request.args.get("next", ""))
    if find_visitor() is not None:
        return redirect(target, 303)  # type: ignore[return-value]
    return keep_messages(render("desk/sign_in.html", room="", target=target, fault=""))


@pages.post("/desk/sign-in")
def sign_in() -> Response:
    """Begin a session, if the key is one that opens the desk."""
    services = current_services()
    target = local_address(request.form.get("next", ""))
    key = None
    try:
        services.access.limit("desk-sign-in", TRIES_A_MINUTE, g.address)
    except ProblemError:
        fault = "There were too many tries from your address. Wait a minute."
    else:
        key = services.access.keys.find(request.form.get("key", "").strip())
        fault = "This key is not known."
    if key is not None and key.scope not in ROLES_OF_SCOPES:
        fault = f"A key with the scope {key.scope} does not open the desk."
        key = None
    if key is None:
        return render("desk/sign_in.html", room="", status=403, target=target, fault=fault)
    services.store.append_audit(AuditEntry(services.clock(), key.name, "signed in", "desk"))
    response: Response = redirect(target, 303)  # type: ignore[assignment]
    begin_session(response, services.desk.begin(key))
    return response


@pages.post("/desk/sign-out")
@desk_page(Role.ANALYST)
def sign_out() -> Response:
    """End the session."""
    visitor: Visitor = g.visitor
    say(f"{visitor.name} has signed out.")
    response: Response = redirect("/desk/sign-in", 303)  # type: ignore[assignment]
    end_session(response)
    return response
