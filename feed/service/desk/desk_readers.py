"""The room Readers: what a reader sees and why, and why they do not see something."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Response, g, redirect, request
from pydantic import ValidationError

from feed.domain import InvalidInputError, check_id
from feed.preferences import wishes_at
from feed.reader_schemas import AccountQuery
from feed.schemas import rules_broken
from feed.service.account_presentation import present_account, present_answers, read_titles
from feed.service.account_words import (
    FACTOR_WORDS,
    GROUP_WORDS,
    SOURCE_WORDS,
    factor_words,
    lack_words,
    weight_words,
)
from feed.service.article_search import ArticleSearch, find_articles
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, render
from feed.service.desk.visitors import Role
from feed.service.reader_accounts import (
    FeedAccount,
    account_of_feed,
    explain_missing,
    look_at_reader,
    present_snapshot,
)
from feed.service.services import Services, current_services
from feed.storage.records import ReaderState

pages = desk_blueprint("readers")
LOOKS = 20
EVENTS = 20
MATCHES = 10
WORDS: dict[str, Any] = {
    "source_words": SOURCE_WORDS,
    "group_words": GROUP_WORDS,
    "factor_names": FACTOR_WORDS,
    "factor_words": factor_words,
    "weight_words": weight_words,
    "lack_words": lack_words,
}
"""What templates say accounts with."""


@pages.get("/desk/readers")
@desk_page(Role.ADMIN)
def show_readers() -> Response:
    """Ask for a reader's id, and show who looked at readers last."""
    user_id, fault = request.args.get("user_id", "").strip(), ""
    if user_id:
        try:
            address = f"/desk/readers/{quote(check_id('user_id', user_id), safe='')}"
            return redirect(address, 303)  # type: ignore[return-value]
        except InvalidInputError as error:
            fault = error.rule
    looks = current_services().store.read_audit(LOOKS, "readers")
    status = 422 if fault else 200
    return render(
        "desk/readers.html",
        room="readers",
        status=status,
        user_id=user_id,
        fault=fault,
        looks=looks,
    )


@pages.get("/desk/readers/<id:user_id>")
@desk_page(Role.ADMIN)
def show_reader(user_id: str) -> Response:
    """Show one reader: what is known of them, their feed as of now, and why it is so."""
    services = current_services()
    check_id("user_id", user_id)
    query, faults = _read_query()
    article = request.args.get("article", "").strip()[:200]
    what = {"article": article} if article else {}
    asked = query.feed_query(user_id)
    state = look_at_reader(services, asked, g.visitor.name, **what)
    account = account_of_feed(services, asked, state)
    return render(
        "desk/reader.html",
        room="readers",
        status=422 if faults else 200,
        asked_for=user_id,
        query=query,
        faults=faults,
        article=article,
        account=present_account(account, services.card_cache),
        sections=sorted(set(present_snapshot(services).view.pool.section_names.ids)),
        **_known_of(services, account.user_id, state),
        **_why_not(services, account, article),
        **WORDS,
    )


def _read_query() -> tuple[AccountQuery, dict[str, str]]:
    """Return what the form asks for, and the rule that each wrong field breaks."""
    names = ("section", "language", "device", "limit")
    given = {name: text for name in names if (text := request.args.get(name, "").strip())}
    try:
        return AccountQuery.model_validate(given), {}
    except ValidationError as error:
        return AccountQuery.model_validate({}), dict(rules_broken(error))


def _known_of(services: Services, user_id: str, state: ReaderState) -> dict[str, Any]:
    events = list(reversed(state.history[-EVENTS:]))
    titles = read_titles(services.card_cache, [event.article_id for event in events])
    return {
        "user_id": user_id,
        "preferences": state.preferences,
        "wishes": [one.words for one in wishes_at(state.preferences.wishes, services.clock())],
        "attributes": state.attributes,
        "events": events,
        "titles": titles,
        "event_count": len(state.history),
    }


def _why_not(services: Services, account: FeedAccount, text: str) -> dict[str, Any]:
    """Return the answer about an article given by id, or the articles that a title may mean."""
    if not text:
        return {"answer": None, "matches": []}
    if present_snapshot(services).knows(text) or services.store.read_articles([text]) != [None]:
        answers = explain_missing(services, account, text)
        answer = present_answers(account, text, answers, services.card_cache)
        return {"answer": answer, "matches": []}
    snapshot, now = present_snapshot(services), services.clock()
    found = find_articles(ArticleSearch(text=text), snapshot, now, 0, MATCHES)
    ids = [snapshot.view.pool.ids.ids[row] for row in found.rows]
    stored = services.store.read_articles(ids)
    return {"answer": None, "matches": [one.article for one in stored if one is not None]}
