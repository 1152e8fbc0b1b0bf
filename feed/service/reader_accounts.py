"""What a reader's feed is as of now, and why: the rankings behind it, with nothing recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from feed.config import RankingConfig
from feed.domain import Mode, Slots, StoreUnavailableError
from feed.experiments.design.resolution import Resolution, Side
from feed.ranking.absence import Answer, explain_absence
from feed.ranking.pipeline import Ranking, build_slate, rank_in_stages
from feed.ranking.slate import Slate, StageTimer, Trace
from feed.ranking.slot_account import SlotAccount, account_for
from feed.schemas import FeedQuery
from feed.service.interleaved_feed import draft_slots
from feed.service.pages import Page, fill_page
from feed.service.ranked import (
    FeedRequest,
    prepare_context,
    resolve_request,
    slate_slots,
    usable_of,
)
from feed.service.services import Services
from feed.service.snapshot import LiveSnapshot
from feed.storage.records import AuditEntry, ReaderState

SEED = 0
"""What an account draws with by chance, so that it says the same when it is asked again."""
LOOKED_AT = "looked at"


@dataclass(frozen=True, slots=True)
class RankedSide:
    """One ranking of a request; two are interleaved if an experiment says so, each with a name."""

    name: str
    ranking: Ranking
    slate: Slate


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedAccount:
    """A feed as of now, with the rankings it was made from.

    Attributes:
        user_id: the reader; another one than asked for if that id was merged.
        state: what may be used of what is known of the reader.
        now: epoch seconds.
        variants: of the running experiments.
        sides: one ranking, or the two that are interleaved.
        page: the first page, without articles that were retracted meanwhile.
        accounts: one for each slot of the page, with the name of the side that put it there.
    """

    user_id: str
    state: ReaderState
    now: float
    variants: Mapping[str, str]
    sides: tuple[RankedSide, ...]
    page: Page
    accounts: tuple[tuple[str, SlotAccount], ...]


def look_at_reader(services: Services, query: FeedQuery, by: str, **what: str) -> ReaderState:
    """Return what the store holds on a reader, after the audit log has taken who looks.

    Args:
        services: the parts of this process.
        query: whose feed.
        by: who looks.
        **what: what they look for, beside the reader.

    Raises:
        StoreUnavailableError: the reader cannot be read, or the look cannot be kept.
    """
    state = services.store.read_reader(query.user_id)
    user_id = state.moved_to or query.user_id
    asked = {"asked_for": query.user_id} if user_id != query.user_id else {}
    entry = AuditEntry(
        services.clock(), by, LOOKED_AT, f"readers/{user_id}", after={**asked, **what} or None
    )
    services.store.append_audit(entry)
    return state


def account_of_feed(
    services: Services, query: FeedQuery, state: ReaderState, base: RankingConfig | None = None
) -> FeedAccount:
    """Return the feed that a request would get now, with an account of each slot.

    It is ranked like a request in mode `personalized`, by the same functions. Nothing is recorded:
    no exposure, no slate.

    Args:
        services: the parts of this process.
        query: whose feed, and what is asked for.
        state: of the reader.
        base: the ranking settings; None: the installation's, and the running experiments'.

    Raises:
        StoreUnavailableError: there is no snapshot, or articles cannot be read.
    """
    snapshot = present_snapshot(services)
    request = FeedRequest(query=query, now=services.clock(), reader=usable_of(state, query.mode))
    if base is None:
        resolution = resolve_request(request, snapshot, snapshot.ranking.config)
    else:
        resolution = Resolution({}, base)
    sides = tuple(rank_sides(resolution, request, snapshot))
    services.card_cache.sync()
    page = fill_page(_drafted(sides, resolution), 0, query.limit, services.card_cache.take)
    return FeedAccount(
        user_id=state.moved_to or query.user_id,
        state=state,
        now=request.now,
        variants=resolution.variants,
        sides=sides,
        page=page,
        accounts=tuple(_accounts_of(sides, page)),
    )


def rank_sides(
    resolution: Resolution, request: FeedRequest, snapshot: LiveSnapshot
) -> Iterable[RankedSide]:
    """Yield each ranking of a request, all drawn with the same seed."""
    sides: tuple[Resolution | Side, ...] = resolution.interleaving or (resolution,)
    rng = np.random.default_rng(SEED)
    for side in sides:
        context = prepare_context(side, Mode.PERSONALIZED, request, snapshot, rng)
        trace = Trace()
        ranking = rank_in_stages(context, side.config, trace, StageTimer(trace, None))
        name = side.name if isinstance(side, Side) else ""
        yield RankedSide(name, ranking, build_slate(ranking))


def explain_missing(
    services: Services, account: FeedAccount, article_id: str
) -> list[tuple[RankedSide, Answer]]:
    """Return for each ranking of a feed why an article is not on its page, or where it is.

    Raises:
        StoreUnavailableError: the article cannot be read.
    """
    (stored,) = services.store.read_articles([article_id])
    is_gone = stored is None or stored.article.retracted
    answers = []
    for side in account.sides:
        ranking, view = side.ranking, side.ranking.context.view
        row = view.pool.ids.row(article_id)
        if is_gone and row in ranking.candidates.rows:  # the snapshot has not seen that yet
            ranking = _ranked_without(ranking, row)
        answers.append((side, explain_absence(ranking, row, _shown_of(side, account))))
    return answers


def _ranked_without(ranking: Ranking, row: int) -> Ranking:
    withdrawn, rng = np.array([row], np.int64), np.random.default_rng(SEED)
    context, trace = replace(ranking.context, withdrawn=withdrawn, rng=rng), Trace()
    return rank_in_stages(context, ranking.config, trace, StageTimer(trace, None))


def _shown_of(side: RankedSide, account: FeedAccount) -> int:
    """Return down to which of its slots a side was shown."""
    own = [of.standing.row for name, of in account.accounts if name == side.name]
    places = np.flatnonzero(np.isin(side.slate.rows, own))
    return int(places.max(initial=-1)) + 1


def present_snapshot(services: Services) -> LiveSnapshot:
    """Return what this process ranks with.

    Raises:
        StoreUnavailableError: it has none yet.
    """
    snapshot = services.keeper.current()
    if snapshot is None:
        raise StoreUnavailableError("no snapshot yet")
    return snapshot


def _drafted(sides: tuple[RankedSide, ...], resolution: Resolution) -> Slots:
    slots = [slate_slots(side.slate, side.ranking.context.view) for side in sides]
    if len(sides) == 1:
        return slots[0]
    names, size = [side.name for side in sides], resolution.config.slate_size
    return draft_slots(names, slots[0], slots[1], size, np.random.default_rng(SEED))


def _accounts_of(sides: tuple[RankedSide, ...], page: Page) -> Iterable[tuple[str, SlotAccount]]:
    """Yield the account of each slot of a page, by the side that put its article there."""
    needed = len(page.slots) + len(page.gone)
    accounts = {}
    for side in sides:
        ids = side.ranking.context.view.pool.ids.ids
        for account in account_for(side.ranking, side.slate, needed):
            accounts[side.name, ids[account.standing.row]] = account
    columns = (page.slots.article_ids, page.slots.positions, page.slots.sources)
    for article_id, position, sources in zip(*columns, strict=True):
        teams = [name.removeprefix("team:") for name in sources if name.startswith("team:")]
        name = teams[0] if len(sides) > 1 else ""
        yield name, replace(accounts[name, article_id], slot=position)
