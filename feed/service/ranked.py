"""One request ranked: what its ranking knows, the ranking, and the rungs below if that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from secrets import token_hex

import numpy as np
import orjson
import structlog

from feed.config import RankingConfig
from feed.domain import WINDOW_KEY, Mode, Rung, ServedFeed, Slots
from feed.editorial.editorial_limits import LIMITS_KEY
from feed.experiments.design.resolution import Resolution, Side, resolve
from feed.features.profile import (
    EMPTY_PROFILE,
    NO_PREFERENCES,
    preference_codes,
    profile_from_state,
)
from feed.features.request_context import (
    RequestContext,
    asked_languages,
    asked_section,
    device_code,
)
from feed.models.view import RankingView
from feed.preferences import WISHES_KEY, wishes_at, wishes_to_json
from feed.ranking.context import RankingContext
from feed.ranking.front_page_limits import states_of
from feed.ranking.pipeline import recommend
from feed.ranking.slate import Slate
from feed.ranking.versions import first_versions
from feed.schemas import FeedQuery
from feed.service.interleaved_feed import interleave_feeds
from feed.service.pinned import pins_for
from feed.service.snapshot import LiveSnapshot
from feed.service.stated_limits import limits_of, restate_limits, states_to_text
from feed.service.telemetry import Stopwatch
from feed.storage.records import ReaderState

_LOWER_RUNGS = (Mode.TRENDING, Mode.LATEST)

log = structlog.get_logger("feed.ranked")


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """A feed request and the state of its reader (None: the store does not answer).

    `with_reasons` says whether somebody will read why each article was chosen.
    """

    query: FeedQuery
    now: float
    reader: ReaderState | None
    with_reasons: bool = True

    @property
    def attributes(self) -> dict[str, str]:
        """What is known of the reader: what the newsroom stored counts before what is stated.

        Nothing of a reader without personalisation, or while the store cannot say so.
        """
        if self.reader is None or not self.reader.preferences.personalization:
            return {}
        return {**self.query.attributes, **self.reader.attributes}


def usable_of(state: ReaderState, mode: Mode) -> ReaderState:
    """Return what a mode, and the reader, allow to be used of a reader's state.

    In mode `personalized`, likes, dislikes and hides count even without personalisation: they are
    stated, as preferences are, and not observed.
    """
    is_personal = mode is Mode.PERSONALIZED
    if is_personal and state.preferences.personalization:
        return state
    return ReaderState(
        preferences=state.preferences,
        reactions=state.reactions if is_personal else {},
        reacted_at=state.reacted_at if is_personal else {},
        hidden_ids=state.hidden_ids if is_personal else frozenset(),
        moved_to=state.moved_to,
        unit=state.unit,
        attributes=state.attributes,
    )


def rank(
    request: FeedRequest,
    snapshot: LiveSnapshot,
    base: RankingConfig,
    rng: np.random.Generator,
    watch: Stopwatch,
) -> ServedFeed:
    """Return the whole slate of a request, none of it shown yet.

    Experiments say with which settings and which model to rank, or between which two rankings to
    interleave. If that ranking fails, the reader gets what is trending, and if that fails too,
    the newest articles.
    """
    for mode, resolution in _rungs(request.query.mode, resolve_request(request, snapshot, base)):
        sides = resolution.interleaving or (resolution,)
        try:
            feeds = []
            for side in sides:
                context = prepare_context(side, mode, request, snapshot, rng)
                watch.lap("profile")
                slate = recommend(context, side.config, time.perf_counter)
                watch.split(slate.trace.seconds)
                feeds.append(_as_served(slate, context, request, snapshot, resolution))
            if resolution.interleaving is None:
                return feeds[0]
            names = [side.name for side in resolution.interleaving]
            feed = interleave_feeds(names, feeds, resolution.config.slate_size, rng)
            feed = _one_of_each_story(feed, context.view)
            return restate_limits(feed, context.limits, context.view.pool, request.now)
        except Exception:
            log.exception("ranking_failed", rung=mode.value)
    raise RuntimeError("no rung of the ladder holds")


def _one_of_each_story(feed: ServedFeed, view: RankingView) -> ServedFeed:
    """Leave out the version of a story that one side chose below that of the other side."""
    rows = view.pool.ids.rows(feed.slots.article_ids)
    kept = np.flatnonzero(np.isin(rows, first_versions(view.pool, rows)))
    if len(kept) == len(rows):
        return feed
    slots = feed.slots.pick(kept.tolist())
    return replace(feed, slots=replace(slots, positions=range(len(slots))))


def _rungs(wanted: Mode, resolution: Resolution) -> Iterator[tuple[Mode, Resolution]]:
    """Yield the wanted mode, then the lower ones, which are part of no experiment."""
    yield wanted, resolution
    for mode in _LOWER_RUNGS:
        yield mode, replace(resolution, interleaving=None, variants={})


def resolve_request(
    request: FeedRequest, snapshot: LiveSnapshot, base: RankingConfig
) -> Resolution:
    """Return what the running experiments decide about a request."""
    query, reader = request.query, request.reader
    if (
        reader is None
        or not reader.preferences.personalization
        or query.mode is not Mode.PERSONALIZED
        or not snapshot.experiments
    ):
        return Resolution({}, base)
    return resolve(
        snapshot.experiments,
        reader.moved_to or query.user_id,
        base,
        models=(snapshot.model_version, *snapshot.others),
        unit=reader.unit,
        platform=query.platform,
        language=query.language or "",
        section=snapshot.view.pool.sections.key(query.section),
        attributes=request.attributes,
    )


def prepare_context(
    side: Resolution | Side,
    mode: Mode,
    request: FeedRequest,
    snapshot: LiveSnapshot,
    rng: np.random.Generator,
) -> RankingContext:
    """Return everything that one ranking of a request is decided from.

    The reader's history is used in mode `personalized` alone; the other modes know no more than
    the stated preferences.
    """
    view = snapshot.others.get(side.model_version, snapshot.view)
    profile, preferences = EMPTY_PROFILE, NO_PREFERENCES
    if request.reader is not None and mode is Mode.PERSONALIZED:
        profile = profile_from_state(request.reader, view.pool, request.now, side.config)
    elif request.reader is not None:
        preferences = preference_codes(request.reader, view.pool, request.now)
    return RankingContext(
        view=view,
        signals=snapshot.signals,
        trending=snapshot.trending,
        request=_request_context(request, view, mode),
        rng=rng,
        profile=profile,
        index=snapshot.index,
        pins=pins_for(
            snapshot.pins,
            snapshot.audiences,
            platform=request.query.platform,
            language=request.query.language or "",
            attributes=request.attributes if snapshot.audiences else {},
        ),
        boosts=snapshot.boosts,
        limits=limits_of(request.query, snapshot.editorial.limits),
        preferences=preferences,
        with_reasons=request.with_reasons,
    )


def _request_context(request: FeedRequest, view: RankingView, mode: Mode) -> RequestContext:
    query, pool = request.query, view.pool
    page = pool.ids.row(query.page_article_id) if query.page_article_id else -1
    page = pool.leader_of(page)
    return RequestContext(
        now=request.now,
        page_row=page if page < pool.size else -1,
        device=device_code(query.device),
        section=asked_section(pool.sections, query.section),
        languages=asked_languages(pool.languages, query.language or ""),
        mode=mode,
    )


def _as_served(
    slate: Slate,
    context: RankingContext,
    request: FeedRequest,
    snapshot: LiveSnapshot,
    resolution: Resolution,
) -> ServedFeed:
    query, reader, view = request.query, request.reader, context.view
    stated = {
        "device": query.device,
        "platform": query.platform,
        "page_article_id": query.page_article_id,
        WINDOW_KEY: _window(slate),
        LIMITS_KEY: _limits(slate, context),
        WISHES_KEY: _wishes(request),
    }
    return ServedFeed(
        request_id=token_hex(16),
        user_id=(reader.moved_to if reader else "") or query.user_id,
        served_at=request.now,
        mode=query.mode,
        rung=slate.rung if reader is not None else Rung.SNAPSHOT,
        personalized=slate.personalized,
        model_version=view.bundle.version,
        experiments=resolution.variants,
        slots=slate_slots(slate, view),
        shown_from=0,
        shown_to=0,
        section=query.section,
        language=query.language or "",
        counters_at=snapshot.counters_at,
        context={name: text for name, text in stated.items() if text},
        attributes=request.attributes,
    )


def _window(slate: Slate) -> str:
    hours = slate.trace.window_hours
    return "" if hours is None else f"{hours:g}"


def _limits(slate: Slate, context: RankingContext) -> str:
    """Say what became of the limits, also in an order of a lower rung, which knows none."""
    limits, pool = context.limits, context.view.pool
    none_moved = [0] * len(limits)
    states = slate.trace.limits or states_of(
        limits, none_moved, pool, slate.rows, context.request.now
    )
    return states_to_text(states)


def _wishes(request: FeedRequest) -> str:
    """Say which wishes held, for replay; nothing of a reader without personalisation."""
    reader = request.reader
    if reader is None or not reader.preferences.personalization:
        return ""
    held = wishes_at(reader.preferences.wishes, request.now)
    return orjson.dumps(wishes_to_json(held)).decode() if held else ""


def slate_slots(slate: Slate, view: RankingView) -> Slots:
    """Return the slots of a slate with article ids instead of rows."""
    ids = view.pool.ids.ids
    return Slots(
        article_ids=[ids[row] for row in slate.rows.tolist()],
        positions=range(len(slate)),
        scores=slate.scores.tolist(),
        reasons=slate.reasons,
        sources=slate.sources,
        trending=slate.trending.tolist(),
        explored=slate.explored.tolist(),
        pinned=slate.pinned.tolist(),
        propensities=slate.propensities.tolist(),
    )
