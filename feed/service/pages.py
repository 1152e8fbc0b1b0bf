"""Pages of a slate, filled with the articles that may still be shown, for one reader."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feed.arrays import Rows
from feed.domain import WINDOW_KEY, EventKind, ServedFeed, Slots
from feed.features.profile import profile_from_state
from feed.ranking.eligibility import find_barred
from feed.service.cards import Card
from feed.service.presentation import Reactions, notice_of, present_slots
from feed.service.snapshot import LiveSnapshot
from feed.service.stated_limits import present_limits
from feed.service.story_pages import more_on_this, trend_by_story
from feed.storage.records import ReaderState

Take = Callable[[Sequence[str]], list[Card | None]]

_NO_TITLES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Page:
    """The slots of one page, with their cards.

    `titles` are the titles of articles that reasons name. `gone` are the offsets in the slate
    that were skipped because their articles may no longer be shown. `next_offset` is where the
    next page begins in the slate (None: there is none).
    """

    slots: Slots
    cards: tuple[Card, ...]
    titles: dict[str, str]
    gone: tuple[int, ...]
    next_offset: int | None


def fill_page(
    slate: Slots,
    offset: int,
    limit: int,
    take: Take,
    known: Mapping[str, str] = _NO_TITLES,
    barred: Collection[str] = (),
) -> Page:
    """Return up to `limit` slots from `offset` on whose articles may still be shown.

    A slot whose article is barred or gone is skipped, and the page is filled with later slots.

    Args:
        slate: the slots to fill it from.
        offset: the first slot of the page.
        limit: how many slots the page has at most.
        take: gives cards.
        known: titles that need no card, by article id.
        barred: articles that this reader may not be shown.
    """
    places: list[int] = []
    cards: list[Card] = []
    titles: dict[str, str] = {}
    gone: list[int] = []
    at = offset
    while len(places) < limit and at < len(slate):
        chunk = range(at, min(at + limit - len(places), len(slate)))
        shown = slate.article_ids[at : chunk.stop]
        reasons = slate.reasons[at : chunk.stop]
        named = {r.article_id for given in reasons for r in given if r.article_id}
        titles.update({a: title for a in named if (title := known.get(a)) is not None})
        taken = take([*shown, *(named - titles.keys())])
        for place, card in zip(chunk, taken, strict=False):
            if card is None or slate.article_ids[place] in barred:
                gone.append(place)
            else:
                places.append(place)
                cards.append(card)
        titles.update({card.article_id: card.title for card in taken[len(shown) :] if card})
        at = chunk.stop
    return Page(
        slots=slate.pick(places),
        cards=tuple(cards),
        titles=titles,
        gone=tuple(gone),
        next_offset=at if at < len(slate) else None,
    )


def barred_since(
    slate: Slots, reader: ReaderState, snapshot: LiveSnapshot, now: float
) -> frozenset[str]:
    """Return the articles of a kept slate that its reader may no longer be shown.

    Args:
        slate: ranked some time ago.
        reader: what the reader has chosen by now.
        snapshot: the articles as they are by now.
        now: epoch seconds.
    """
    pool = snapshot.view.pool
    profile = profile_from_state(reader, pool, now, snapshot.ranking.config)
    barred = find_barred(pool, pool.ids.rows(slate.article_ids), now, profile)
    return frozenset(slate.article_ids[place] for place in barred.nonzero()[0].tolist())


def without_gone(slate: Slots, page: Page) -> Slots:
    """Return a slate without the slots that a page had to skip."""
    if not page.gone:
        return slate
    gone = frozenset(page.gone)
    return slate.pick([at for at in range(len(slate)) if at not in gone])


def present_page(
    served: ServedFeed, page: Page, reader: ReaderState, snapshot: LiveSnapshot
) -> dict[str, Any]:
    """Return a page in the form that its reader gets, JSON-ready, without the cursor."""
    rows = snapshot.view.pool.ids.rows(page.slots.article_ids)
    reactions = _reactions(page.slots.article_ids, rows, reader, snapshot)
    hours = served.context.get(WINDOW_KEY)
    limits = present_limits(served)
    window = {"max_age_hours": float(hours), "widened": True} if hours else None
    items = present_slots(
        page.slots,
        page.cards,
        reactions,
        page.titles,
        trend_by_story(rows, snapshot),
        personalized=served.personalized,
    )
    more = more_on_this(rows, snapshot, served.served_at)
    for item, others in zip(items, more, strict=True):
        if others:
            item["more_on_this"] = others
    return {
        "request_id": served.request_id,
        "personalized": served.personalized,
        "notice": notice_of(page.cards, personalized=served.personalized),
        "mode": served.mode.value,
        "mode_served": served.rung.value,
        "model_version": served.model_version,
        "experiments": served.experiments,
        "items": items,
        **({"window": window} if window else {}),
        **({"limits": limits} if limits else {}),
    }


def _reactions(
    article_ids: Sequence[str], rows: Rows, reader: ReaderState, snapshot: LiveSnapshot
) -> list[Reactions]:
    """Return the counts of articles; a reader's own newest reaction always shows in them."""
    counts = snapshot.signals.counters.reactions(rows).tolist()
    own, counted_at = reader.reactions, snapshot.signals_at
    return [
        _with_own(article_id, likes, dislikes, reader, counted_at)
        if article_id in own
        else Reactions(likes, dislikes, None)
        for article_id, (likes, dislikes) in zip(article_ids, counts, strict=True)
    ]


def _with_own(
    article_id: str, likes: int, dislikes: int, reader: ReaderState, counted_at: float
) -> Reactions:
    mine = reader.reactions[article_id]
    uncounted = int(reader.reacted_at.get(article_id, 0.0) > counted_at)
    if mine is EventKind.LIKE:
        likes = max(likes + uncounted, 1)
    elif mine is EventKind.DISLIKE:
        dislikes = max(dislikes + uncounted, 1)
    return Reactions(likes, dislikes, mine)
