"""The frame of the desk's pages: rooms, messages that survive a redirect, and errors in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, tzinfo
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from apiflask import APIBlueprint
from flask import Response, g, render_template, request, url_for
from markupsafe import Markup

from feed.domain import StoreUnavailableError, format_time
from feed.service.desk.desk_words import (
    begin_sentence,
    describe_distance,
    describe_moment,
    list_changes,
)
from feed.service.desk.visitors import Role, Visitor
from feed.service.services import current_services
from feed.storage.records import AuditEntry
from feed.zones import read_zone

SAID_COOKIE = "feed_desk_said"
SAID_SECONDS = 60
SAID = "messages"
TOKEN_FIELD = "form_token"  # noqa: S105 - the name of a form's field
TROUBLE_TITLES = {
    401: "You are not signed in",
    403: "You may not do this",
    404: "There is nothing here",
    409: "This did not work",
    422: "Something in it is wrong",
    503: "The store is away",
}


@dataclass(frozen=True, slots=True)
class Room:
    """One room of the desk: its name in code, its title, where it is, and who may enter."""

    name: str
    title: str
    path: str
    role: Role = Role.ANALYST


ROOMS = (
    Room("now", "Now", "/desk"),
    Room("articles", "Articles", "/desk/articles"),
    Room("readers", "Readers", "/desk/readers", Role.ADMIN),
    Room("front_page", "Front page", "/desk/front-page"),
    Room("models", "Models", "/desk/models"),
    Room("experiments", "Experiments", "/experiments"),
    Room("sources", "Sources", "/desk/sources"),
    Room("settings", "Settings", "/desk/settings"),
    Room("audit", "Audit log", "/desk/audit"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """What the page says at its top after something was done; `undo` is an audit entry's id."""

    text: str
    undo: str = ""
    is_error: bool = False


def desk_blueprint(name: str) -> APIBlueprint:
    """Return the blueprint of one module of pages."""
    folder = str(Path(__file__).parent / "templates")
    return APIBlueprint(f"desk_{name}", __name__, enable_openapi=False, template_folder=folder)


def render(template: str, *, room: str, status: int = 200, **data: Any) -> Response:
    """Return a page of the desk.

    Args:
        template: name of a template that extends `desk/base.html`.
        room: name of the room, one of `ROOMS`.
        status: HTTP status.
        **data: what the template uses.
    """
    visitor: Visitor | None = g.get("visitor")
    rooms = [r for r in ROOMS if visitor is not None and visitor.may(r.role)]
    text = render_template(
        template,
        room=room,
        rooms=rooms,
        visitor=visitor,
        store_is_away=g.get("store_is_away", False) and template != "desk/trouble.html",
        messages=_take_messages(),
        csrf=_form_token,
        here=_present_address,
        format_time=format_time,
        in_path=in_path,
        article_address=article_address,
        time_ago=_time_ago,
        begin_sentence=begin_sentence,
        local_time=_local_time,
        clock_time=_clock_time,
        zone_name=current_services().settings.time_zone,
        list_changes=partial(list_changes, zone=_zone()),
        **data,
    )
    response = Response(text, status=status, mimetype="text/html")
    response.headers["Cache-Control"] = "private, no-store"
    return response


def in_path(text: str) -> str:
    """Return a text as one step of an address: an id may hold slashes, dots and quotes."""
    return quote(text, safe="")


def article_address(article_id: str) -> str:
    """Return where the desk shows an article.

    Browsers take the steps `.` and `..` out of an address, so these ids travel as a query.
    """
    if article_id in {".", ".."}:
        return f"/desk/article?id={article_id}"
    return f"/desk/articles/{in_path(article_id)}"


def say(text: str, *, undo: AuditEntry | None = None, is_error: bool = False) -> None:
    """Show a message at the top of the next page, with a button that takes the action back."""
    said = g.setdefault("said", [])
    said.append(Message(text, undo.id if undo else "", is_error))


def keep_messages(response: Response) -> Response:
    """Give messages that no page has shown to the next one, in a cookie."""
    said: list[Message] = g.get("said", [])
    if said:
        text = current_services().desk.sign([asdict(message) for message in said[-5:]], SAID)
        set_cookie(response, SAID_COOKIE, text, SAID_SECONDS)
    elif SAID_COOKIE in request.cookies and g.get("has_shown"):
        clear_cookie(response, SAID_COOKIE)
    return response


def set_cookie(response: Response, name: str, text: str, seconds: int) -> None:
    """Set a cookie of the desk that scripts and other sites never get."""
    response.set_cookie(
        name,
        text,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=is_secure(),
    )


def clear_cookie(response: Response, name: str) -> Response:
    """Take a cookie of the desk away."""
    response.delete_cookie(name, path="/", httponly=True, samesite="Lax", secure=is_secure())
    return response


def is_secure() -> bool:
    """Whether the visitor's browser speaks https, perhaps with a proxy."""
    proxies = current_services().proxies
    return proxies.is_secure(request.remote_addr or "", request.scheme, request.headers)


def show_trouble(status: int, text: str, *, room: str = "") -> Response:
    """Return a page that says what went wrong."""
    sentence = f"{text[:1].upper()}{text[1:]}"
    return render(
        "desk/trouble.html",
        room=room,
        status=status,
        title=TROUBLE_TITLES.get(status) or HTTPStatus(status).phrase,
        text=sentence if sentence.endswith((".", "?", "!")) else f"{sentence}.",
    )


def _form_token() -> Markup:
    visitor: Visitor = g.visitor
    return Markup('<input type="hidden" name="{}" value="{}">').format(TOKEN_FIELD, visitor.token)


def _present_address() -> str:
    """Return the address of the page that the visitor sees, to which its forms come back."""
    seen = urlsplit(request.headers.get("HX-Current-URL", ""))  # of a page that asks for a part
    if seen.path:
        return f"{seen.path}?{seen.query}".rstrip("?")
    return asked_address() if request.method == "GET" else "/desk"


def asked_address() -> str:
    """Return the address of the present request, in which ids are encoded as they came."""
    ids = request.view_args
    path = url_for(request.endpoint or "", **ids) if ids else request.path
    query = request.query_string.decode("ascii", "ignore")
    return f"{path}?{query}" if query else path


def _time_ago(at: float) -> str:
    return describe_distance(at, current_services().clock())


def _local_time(at: float) -> str:
    return describe_moment(at, _zone())


def _clock_time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, _zone()):%H:%M:%S}"


def _zone() -> tzinfo:
    return read_zone(current_services().settings.time_zone)


def _take_messages() -> list[Message]:
    """Return the messages for this page, once."""
    now = g.pop("said", [])
    text = request.cookies.get(SAID_COOKIE, "")
    g.has_shown = True
    try:
        before = current_services().desk.unsign(text, SAID_SECONDS, SAID) if text else None
    except StoreUnavailableError:  # without the secret nothing can be read; the page matters more
        before = None
    return [*(Message(**message) for message in before or ()), *now]
