"""The room Articles: find an article, see how it does, and act on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from flask import Response, g, redirect, request

from feed.catalogue.boosting import remove_boost, set_boost
from feed.catalogue.decisions import Editor, article_subject
from feed.catalogue.pinning import SUBJECT, add_pin, present_pins, remove_pins
from feed.domain import Article, ConflictError, InvalidInputError, check_id
from feed.features.trend_tests import TrendTests
from feed.offline.place_clicks import PlaceClicks
from feed.service.article_numbers import (
    ArticleNumbers,
    account_for_trend,
    numbers_of,
)
from feed.service.article_search import (
    ArticleOrder,
    ArticleSearch,
    ArticleStanding,
    find_articles,
    standings_of,
)
from feed.service.desk.article_forms import (
    DURATIONS,
    FACTORS,
    describe_expiry,
    form_id,
    read_boost,
    read_expiry,
    read_labels,
    read_pin,
)
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import article_address, desk_blueprint, render, say
from feed.service.desk.undo import can_undo
from feed.service.desk.visitors import Role, Visitor
from feed.service.place_reading import Places, kept_place_clicks, read_place_clicks
from feed.service.services import Services, current_services
from feed.service.snapshot import LiveSnapshot
from feed.service.unknown_names import hints_for_pins
from feed.storage.records import AuditEntry, StoredArticle
from feed.worker.publication import TREND_TESTS_BLOB

pages = desk_blueprint("articles")
ADDRESS = "/desk/articles"
QUERY_ADDRESS = "/desk/article"
PAGE = 30
HISTORY = 30
MARKS = {
    ArticleStanding.LIVE: "good",
    ArticleStanding.RETRACTED: "bad",
    ArticleStanding.EXPIRED: "warn",
    ArticleStanding.SCHEDULED: "calm",
    ArticleStanding.BOOSTED: "calm",
    ArticleStanding.BURIED: "warn",
    ArticleStanding.PINNED: "calm",
}
"""How the mark of a state looks."""
Act = Callable[[Services, StoredArticle, Editor], AuditEntry | None]


@dataclass(frozen=True, slots=True)
class ArticleLine:
    """One article of a list."""

    article: Article
    standings: list[ArticleStanding]
    numbers: ArticleNumbers
    trend: float
    address: str
    places: PlaceClicks


@pages.get(ADDRESS)
@desk_page(Role.ANALYST)
def show_articles() -> Response:
    """Show the articles that a search finds."""
    services = current_services()
    snapshot, now = services.snapshot, services.clock()
    search, start = _search(), _start()
    found = find_articles(search, snapshot, now, start, PAGE)
    pool = snapshot.view.pool
    is_known, places = kept_place_clicks(services.settings, now)
    if not is_known and "places" in request.args:
        with suppress(ConflictError):  # somebody else's question; the page asks again
            places, is_known = read_place_clicks(services.settings, now), True
    return render(
        "desk/articles.html",
        room="articles",
        search=search,
        lines=_lines(services, snapshot, found.rows, now, places or {}),
        places_known=is_known,
        has_places=places is not None,
        with_places=_address(start, places="yes"),
        total=found.total,
        start=start,
        newer=_address(max(start - PAGE, 0)) if start else "",
        older=_address(start + PAGE) if start + PAGE < found.total else "",
        sections=sorted(set(pool.section_names.ids)),
        sources=sorted(pool.sources.ids),
        standings=list(ArticleStanding),
        orders=list(ArticleOrder),
        marks=MARKS,
        named=_named,
    )


@pages.get(f"{ADDRESS}/<id:article_id>")
@desk_page(Role.ANALYST)
def show_article(article_id: str) -> Response:
    """Show everything about one article, and what can be done with it."""
    return _show(article_id)


@pages.get(QUERY_ADDRESS)
@desk_page(Role.ANALYST)
def show_article_of_query() -> Response:
    """Show an article whose id cannot be a step of an address (see `article_address`)."""
    return _show(request.args.get("id", ""))


def _show(article_id: str) -> Response:
    services = current_services()
    if "places" not in request.args:
        return show_page(article_id)
    check_id("article_id", article_id)
    every = read_place_clicks(services.settings, services.clock())
    places = None if every is None else every.get(article_id, PlaceClicks())
    return show_page(article_id, asked_places=True, places=places)


@pages.post(f"{ADDRESS}/pin")
@desk_page(Role.EDITOR)
def pin() -> Response:
    """Pin an article."""

    def act(services: Services, stored: StoredArticle, editor: Editor) -> AuditEntry | None:
        article_id = stored.article.article_id
        wanted = read_pin(article_id, request.form, editor.at, editor.name)
        return add_pin(services.store, wanted, editor)

    place = request.form.get("slot", "")
    return _act("pin", act, f"Pinned at place {place}.")


@pages.post(f"{ADDRESS}/unpin")
@desk_page(Role.EDITOR)
def unpin() -> Response:
    """Take away every pin of an article."""

    def act(services: Services, stored: StoredArticle, editor: Editor) -> AuditEntry | None:
        return remove_pins(services.store, stored.article.article_id, editor)

    return _act("unpin", act, "It is not pinned any more.")


@pages.post(f"{ADDRESS}/boost")
@desk_page(Role.EDITOR)
def boost() -> Response:
    """Boost or bury an article."""

    def act(services: Services, stored: StoredArticle, editor: Editor) -> AuditEntry | None:
        article_id = stored.article.article_id
        wanted = read_boost(article_id, request.form, editor.at, editor.name)
        return set_boost(services.store, wanted, editor)

    return _act("boost", act, "Its score is changed from the next second on.")


@pages.post(f"{ADDRESS}/unboost")
@desk_page(Role.EDITOR)
def unboost() -> Response:
    """End the boost or burial of an article."""

    def act(services: Services, stored: StoredArticle, editor: Editor) -> AuditEntry | None:
        return remove_boost(services.store, stored.article.article_id, editor)

    return _act("unboost", act, "Its score is its own again.")


@pages.post(f"{ADDRESS}/retract")
@desk_page(Role.EDITOR)
def retract() -> Response:
    """Retract an article."""

    def act(services: Services, stored: StoredArticle, editor: Editor) -> AuditEntry | None:
        return services.articles.retract(stored.article.article_id, editor, hold=True)

    return _act("retract", act, "Retracted: no feed shows it any more.")


@pages.post(f"{ADDRESS}/restore")
@desk_page(Role.EDITOR)
def restore() -> Response:
    """Take back a retraction."""

    def act(services: Services, stored: StoredArticle, editor: Editor) -> AuditEntry | None:
        return services.articles.restore(stored.article.article_id, editor)

    return _act("restore", act, "Restored: feeds may show it again.")


@pages.post(f"{ADDRESS}/labels")
@desk_page(Role.EDITOR)
def labels() -> Response:
    """Set the labels of an article by hand."""

    def act(services: Services, stored: StoredArticle, editor: Editor) -> AuditEntry | None:
        wanted = read_labels(stored.article, request.form)
        return services.articles.patch(wanted, editor, hold=True, action="labelled")

    return _act("labels", act, "Its labels are changed, and later deliveries keep them.")


@pages.post(f"{ADDRESS}/expiry")
@desk_page(Role.EDITOR)
def expiry() -> Response:
    """Set when an article expires."""

    def act(services: Services, stored: StoredArticle, editor: Editor) -> AuditEntry | None:
        wanted = read_expiry(stored.article, request.form)
        return services.articles.patch(wanted, editor, hold=True)

    def text() -> str:
        words = describe_expiry(request.form, current_services().clock())
        return f"{words} Later deliveries keep this."

    return _act("expiry", act, text)


def _act(action: str, act: Act, text: str | Callable[[], str]) -> Response:
    """Do something with the article of the form, say so, and return to its page."""
    services, article_id = current_services(), form_id(request.form)
    try:
        entry = act(services, services.articles.read(article_id), _editor())
    except InvalidInputError as error:
        return show_page(article_id, action, error)
    services.keeper.catch_up()
    done = text() if callable(text) else text
    say(done if entry else "Nothing was changed: it was so already.", undo=entry)
    return redirect(article_address(article_id), 303)  # type: ignore[return-value]


def show_page(
    article_id: str,
    action: str = "",
    error: InvalidInputError | None = None,
    **more: Any,
) -> Response:
    """Return the page of an article; after a refused form, with the fault beside its field."""
    services = current_services()
    check_id("article_id", article_id)
    stored = services.articles.read(article_id)
    snapshot, now = services.snapshot, services.clock()
    row = snapshot.view.pool.ids.row(article_id)
    subjects = (article_subject(article_id), f"{SUBJECT}/{article_id}")
    boosts = snapshot.editorial.boosts
    boost_now = boosts.get(article_id)
    pins = [p for p in present_pins(services.store, now)[0] if p.article_id == article_id]
    data = {
        "stored": stored,
        "article": stored.article,
        "action": action,
        "given": request.form if action else {},
        "faults": {error.field_name.partition(".")[0]: error.rule} if error else {},
        "boost": boost_now if boost_now and boost_now.ends_at > now else None,
        "pins": pins,
        "pin_hints": hints_for_pins(pins, snapshot),
        "entries": [
            entry  # the log also finds what lies below: an article whose id begins like this one
            for entry in services.store.read_audit(HISTORY, subjects)
            if entry.subject in subjects
        ],
        "preview": None,
        "asked_places": False,
        "places": None,
        **_known(row, snapshot, services),
        **more,
    }
    return render(
        "desk/article.html",
        room="articles",
        status=422 if error else 200,
        durations=DURATIONS,
        factors=FACTORS,
        marks=MARKS,
        can_undo=can_undo,
        address=article_address(article_id),
        **data,
    )


def _known(row: int, snapshot: LiveSnapshot, services: Services) -> dict[str, Any]:
    """Return what the snapshot knows of an article; it may not know a very new one yet."""
    pool = snapshot.view.pool
    if not 0 <= row < pool.size:
        return {"numbers": None, "trend": None, "standings": [], "leader": "", "is_labelled": False}
    rows, now = np.array([row]), services.clock()
    tests = services.store.read_blob(TREND_TESTS_BLOB)
    leader = pool.leader_of(row)
    return {
        "numbers": numbers_of(rows, snapshot, now)[0],
        "trend": account_for_trend(row, snapshot, TrendTests.from_bytes(tests) if tests else None),
        "is_labelled": bool(snapshot.trending.labelled(rows)[0]),
        "standings": standings_of(rows, snapshot, now)[0],
        "leader": pool.ids.ids[leader] if leader != row else "",
    }


def _lines(
    services: Services, snapshot: LiveSnapshot, found: list[int], now: float, places: Places
) -> list[ArticleLine]:
    rows = np.array(found, np.int64)
    ids = [snapshot.view.pool.ids.ids[row] for row in found]
    facts = zip(
        services.store.read_articles(ids),
        standings_of(rows, snapshot, now),
        numbers_of(rows, snapshot, now),
        snapshot.trending.score(rows).tolist(),
        strict=True,
    )
    return [
        ArticleLine(
            stored.article,
            standings,
            numbers,
            trend,
            article_address(stored.article.article_id),
            places.get(stored.article.article_id, PlaceClicks()),
        )
        for stored, standings, numbers, trend in facts
        if stored is not None
    ]


def _named(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the choices of a form that say what they send."""
    return [(str(name), str(name)) for name in names]


def _search() -> ArticleSearch:
    """Return what the address asks for; what it may not ask for counts as nothing."""
    args = request.args
    state, order = args.get("state", ""), args.get("order", "")
    return ArticleSearch(
        text=args.get("text", "").strip(),
        section=args.get("section", "").strip(),
        source=args.get("source", "").strip(),
        state=ArticleStanding(state) if state in set(ArticleStanding) else None,
        order=ArticleOrder(order) if order in set(ArticleOrder) else ArticleOrder.NEWEST,
    )


def _start() -> int:
    text = request.args.get("start", "")
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _address(start: int, **more: str) -> str:
    known = {"start", "places"}
    kept = {name: text for name, text in request.args.items() if text and name not in known}
    return f"{ADDRESS}?{urlencode({**kept, 'start': start, **more})}"


def _editor() -> Editor:
    visitor: Visitor = g.visitor
    return Editor(visitor.name, current_services().clock())
