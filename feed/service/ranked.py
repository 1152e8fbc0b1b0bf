"""One request ranked: experiments resolved, context built, and never an empty-handed failure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex

import numpy as np
import structlog

from feed.config import RankingConfig
from feed.domain import Mode, Rung, ServedFeed
from feed.experiments.design.resolution import Resolution, Side, resolve
from feed.experiments.statistics.interleaving import interleave
from feed.features.context import RequestContext, device_code
from feed.features.ids import Vocabulary
from feed.features.profile import (
    EMPTY_PROFILE,
    NO_PREFERENCES,
    PreferenceCodes,
    Profile,
    preference_codes,
    profile_from_state,
)
from feed.models.view import RankingView
from feed.ranking.context import RankingContext
from feed.ranking.pipeline import recommend
from feed.ranking.slate import Slate
from feed.service.schemas import FeedQuery
from feed.service.snapshot import LiveSnapshot
from feed.service.telemetry import Stopwatch
from feed.storage.slots import Slots
from feed.storage.store import ReaderState

NOWHERE = np.iinfo(np.int32).max
"""Code of a section or language that no article has."""

_LADDER = (Mode.TRENDING, Mode.LATEST)

log = structlog.get_logger("feed.ranked")


@dataclass(frozen=True, slots=True)
class Request:
    """A feed request with what is known of its reader (None: the store does not say)."""

    query: FeedQuery
    now: float
    reader: ReaderState | None


def rank(
    request: Request,
    snapshot: LiveSnapshot,
    base: RankingConfig,
    rng: np.random.Generator,
    watch: Stopwatch,
) -> ServedFeed:
    """Return the whole slate of a request, none of it shown yet; steps down if ranking fails.

    Experiments say with which settings and which model to rank, or between which two rankings to
    interleave. Where that fails, the reader gets what trends, and failing that, the newest.
    """
    resolution = _resolve(request, snapshot, base)
    plain = replace(resolution, interleaving=None, variants={})
    wanted = request.query.mode
    for mode, resolved in ((wanted, resolution), *((mode, plain) for mode in _LADDER)):
        try:
            if resolved.interleaving is None:
                return _rank_with(resolved, resolved, mode, request, snapshot, rng, watch)
            sides = [
                (side.name, _rank_with(side, resolved, mode, request, snapshot, rng, watch))
                for side in resolved.interleaving
            ]
            return interleave_sides(sides, resolved.config.slate_size, rng)
        except Exception:
            log.exception("ranking_failed", rung=mode.value)
    raise RuntimeError("no rung of the ladder holds")


def _resolve(request: Request, snapshot: LiveSnapshot, base: RankingConfig) -> Resolution:
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
        unit=reader.unit,
        platform=query.platform,
        language=query.language or "",
        section=query.section,
    )


def _rank_with(
    chosen: Resolution | Side,
    resolution: Resolution,
    mode: Mode,
    request: Request,
    snapshot: LiveSnapshot,
    rng: np.random.Generator,
    watch: Stopwatch,
) -> ServedFeed:
    """Rank by the settings and the model of `chosen`: the resolution itself, or a side of it."""
    query, reader = request.query, request.reader
    view = snapshot.others.get(chosen.model_version, snapshot.view)
    context = RankingContext(
        view=view,
        signals=snapshot.signals,
        trending=snapshot.trending,
        request=_request_context(request, view, mode),
        rng=rng,
        profile=_profile(request, view, chosen.config, mode),
        index=snapshot.index,
        pins=snapshot.pins,
        preferences=_preferences(request, view, mode),
    )
    watch.lap("profile")
    slate = recommend(context, chosen.config, time.perf_counter)
    watch.split(slate.trace.seconds)
    allowed = reader is not None and reader.preferences.personalization
    return ServedFeed(
        request_id=token_hex(16),
        user_id=(reader.moved_to if reader else "") or query.user_id,
        served_at=request.now,
        mode=query.mode,
        rung=slate.rung if reader is not None else Rung.SNAPSHOT,
        personalized=slate.personalized and allowed,
        model_version=view.bundle.version,
        experiments=resolution.variants,
        items=slate_items(slate, view),
        shown_from=0,
        shown_to=0,
        section=query.section,
        language=query.language or "",
        counters_at=snapshot.counters_at,
        context=_described(query),
    )


def _described(query: FeedQuery) -> dict[str, str]:
    """Return what a request says of itself, for the exposure record."""
    said = (
        ("device", query.device),
        ("platform", query.platform),
        ("page_article_id", query.page_article_id),
    )
    return {name: text for name, text in said if text}


def _request_context(request: Request, view: RankingView, mode: Mode) -> RequestContext:
    query, pool = request.query, view.pool
    language = (query.language or "").lower()
    page = pool.ids.row(query.page_article_id) if query.page_article_id else -1
    return RequestContext(
        now=request.now,
        page_row=page if page < pool.size else -1,
        device=device_code(query.device),
        section=_code(pool.sections, query.section),
        languages=(_code(pool.languages, language),) if language else (),
        mode=mode,
    )


def _profile(request: Request, view: RankingView, config: RankingConfig, mode: Mode) -> Profile:
    if request.reader is None or mode is not Mode.PERSONALIZED:
        return EMPTY_PROFILE
    return profile_from_state(request.reader, view.pool, request.now, config)


def _preferences(request: Request, view: RankingView, mode: Mode) -> PreferenceCodes:
    """Return the stated preferences for the modes without a profile, which holds them too."""
    if request.reader is None or mode is Mode.PERSONALIZED:
        return NO_PREFERENCES
    return preference_codes(request.reader, view.pool)


def slate_items(slate: Slate, view: RankingView) -> Slots:
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


def interleave_sides(
    sides: Sequence[tuple[str, ServedFeed]], slots: int, rng: np.random.Generator
) -> ServedFeed:
    """Return one feed drafted from two, with what is true of both.

    Each slot's sources name the side that picked it. The rung is the lower one, the feed is
    personalized if a side is, and all model versions are named. The context says what each side
    was.
    """
    by_id = [{item.article_id: item for item in feed.items} for _, feed in sides]
    drafted = interleave([*by_id[0]], [*by_id[1]], slots, rng)
    items = []
    for position, (article_id, team) in enumerate(zip(*drafted, strict=True)):
        side = 0 if team == "a" else 1
        item = by_id[side][article_id]
        sources = (*item.sources, f"team:{sides[side][0]}")
        items.append(replace(item, position=position, sources=sources))
    both = [feed for _, feed in sides]
    said = {key: text for side in sides for key, text in _describe_side(*side)}
    return replace(
        both[0],
        items=tuple(items),
        rung=max((feed.rung for feed in both), key=[*Rung].index),
        personalized=any(feed.personalized for feed in both),
        model_version="+".join(dict.fromkeys(feed.model_version for feed in both)),
        context={**both[0].context, **said},
    )


def _describe_side(name: str, feed: ServedFeed) -> Iterator[tuple[str, str]]:
    yield f"{name}.rung", feed.rung.value
    yield f"{name}.personalized", str(feed.personalized).lower()
    yield f"{name}.model_version", feed.model_version


def _code(vocabulary: Vocabulary, name: str) -> int:
    if not name:
        return -1
    code = vocabulary.row(name)
    return code if code >= 0 else int(NOWHERE)
