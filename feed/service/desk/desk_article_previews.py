"""Who would see an article: a preview that is ranked in batches, each with a look at how far it is.

What earlier batches found travels with the page, signed, so that any web process can go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from flask import Response, g, request

from feed.catalogue.boosting import check_boost
from feed.catalogue.merging import change_fields
from feed.catalogue.pinning import check_pin
from feed.domain import Article, ConflictError, InvalidInputError, Submission
from feed.service.article_previews import (
    REQUESTS,
    ArticlePreview,
    Reach,
    preview_article,
    with_article,
    with_boost,
    with_pin,
)
from feed.service.desk.article_forms import (
    describe_expiry,
    form_id,
    read_boost,
    read_expiry,
    read_labels,
    read_pin,
)
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_articles import ADDRESS, show_page
from feed.service.desk.desk_shell import desk_blueprint, render, say
from feed.service.desk.visitors import Role
from feed.service.previews import BATCH
from feed.service.request_replay import ReplayPlace
from feed.service.services import Services, current_services
from feed.service.snapshot import LiveSnapshot

pages = desk_blueprint("article_previews")
SO_FAR = "so_far"
"""Field of a form with what earlier batches of a preview found."""
KEPT_S = 3600
PURPOSE = "preview"
NOT_SENT_ON = frozenset({"form_token", SO_FAR, "rest"})
AFTER_WORDS = {
    "pin": "After the pin",
    "boost": "After the change",
    "retract": "After the retraction",
    "restore": "After it is restored",
    "labels": "With these labels",
    "expiry": "With this expiry",
}
"""What the preview calls the feeds after an action; an action that is not here changes nothing."""


@pages.post(f"{ADDRESS}/preview")
@desk_page(Role.EDITOR)
def preview() -> Response:
    """Show who would see an article now, and after the action of a form."""
    services, article_id = current_services(), form_id(request.form)
    action = request.form.get("action", "")
    try:
        found = _next_batch(services, article_id, action)
    except InvalidInputError as error:
        return show_page(article_id, action, error)
    except ConflictError as error:  # somebody else's preview; what was filled in stays
        say(f"{error}".capitalize() + ".", is_error=True)
        return show_page(article_id, action)
    return show_page(article_id, action, **found)


@pages.post(f"{ADDRESS}/preview/more")
@desk_page(Role.EDITOR)
def preview_more() -> Response:
    """Return the preview alone after one more batch, for which its page asks until it is over."""
    services, article_id = current_services(), form_id(request.form)
    found = _next_batch(services, article_id, request.form.get("action", ""))
    return render("desk/article_preview.html", room="articles", **found)


def _next_batch(services: Services, article_id: str, action: str) -> dict[str, Any]:
    """Rank one more batch; return what the preview's template needs.

    Raises:
        InvalidInputError: a field of the action's form breaks a rule.
        ConflictError: another preview is being made.
    """
    snapshot, form = services.snapshot, request.form
    after = _after(services, snapshot, article_id, action, form)
    so_far = _so_far(services, form.get(SO_FAR, ""))
    count = REQUESTS if "rest" in form else BATCH
    found = preview_article(services.previews, article_id, snapshot, after, so_far, count)
    return {
        "preview": found,
        "after_words": AFTER_WORDS.get(action, ""),
        "sent_on": {name: text for name, text in form.items() if name not in NOT_SENT_ON},
        "so_far": services.desk.sign(asdict(found), PURPOSE),
        "preview_notes": _notes(snapshot, article_id, action, form, services.clock()),
    }


def _notes(
    snapshot: LiveSnapshot, article_id: str, action: str, form: Mapping[str, str], now: float
) -> list[str]:
    """Return what the numbers of a preview do not say."""
    if action == "expiry":
        return [describe_expiry(form, now)]
    pool = snapshot.view.pool
    row = pool.ids.row(article_id)
    has_twins = pool.leader is not None and row >= 0 and np.sum(pool.leader == row) > 1
    if action == "retract" and has_twins:
        return ["Another article tells the same story, and may then take its place."]
    if action == "labels":
        return ["Whether readers click a labelled article otherwise is not part of this."]
    return []


def _after(
    services: Services,
    snapshot: LiveSnapshot,
    article_id: str,
    action: str,
    form: Mapping[str, str],
) -> LiveSnapshot:
    """Return the snapshot as it would be after the action of a form."""
    now, name = services.clock(), g.visitor.name
    if action == "boost":
        boost = read_boost(article_id, form, now, name)
        return with_boost(snapshot, check_boost(boost, now))
    if action == "pin":
        return with_pin(snapshot, check_pin(read_pin(article_id, form, now, name)))
    if action not in AFTER_WORDS:
        return snapshot
    stored = services.articles.read(article_id)
    wanted = _wanted(stored.article, action, form)
    article = change_fields(stored, wanted, (), now).article
    return with_article(snapshot, article, now)


def _wanted(article: Article, action: str, form: Mapping[str, str]) -> Submission:
    if action == "labels":
        return read_labels(article, form)
    if action == "expiry":
        return read_expiry(article, form)
    changed = replace(article, retracted=action == "retract")
    return Submission(changed, frozenset({"retracted"}))


def _so_far(services: Services, text: str) -> ArticlePreview | None:
    if not text:
        return None
    held = services.desk.unsign(text, KEPT_S, PURPOSE)
    if held is None:
        raise InvalidInputError(SO_FAR, "must come from a preview of the last hour")
    place, before, after = held["place"], held["before"], held["after"]
    return ArticlePreview(place=ReplayPlace(**place), before=Reach(**before), after=Reach(**after))
