"""One request ranked: experiments resolved, context built, and never an empty-handed failure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import structlog

from feed.config import RankingConfig
from feed.domain import FeedItem, Mode, Rung
from feed.experiments.design.resolution import Resolution, resolve
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


@dataclass(frozen=True, slots=True)
class Ranked:
    """The slate of a request, and how it came about.

    `context` adds to the context of the exposure record.
    """

    items: Sequence[FeedItem]
    rung: Rung
    personalized: bool
    model_version: str
    experiments: dict[str, str]
    context: Mapping[str, str] = field(default_factory=dict)


def rank(
    request: Request,
    snapshot: LiveSnapshot,
    base: RankingConfig,
    rng: np.random.Generator,
    watch: Stopwatch,
) -> Ranked:
    """Return the ranked slate of a request; steps down the ladder if ranking fails."""
    resolution = _resolve(request, snapshot, base)
    try:
        return _rank(request, snapshot, resolution, request.query.mode, rng, watch)
    except Exception:
        log.exception("ranking_failed", rung=request.query.mode.value)
    for mode in _LADDER:
        try:
            plain = replace(resolution, interleaving=None, variants={})
            return _rank(request, snapshot, plain, mode, rng, watch)
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


def _rank(
    request: Request,
    snapshot: LiveSnapshot,
    resolution: Resolution,
    mode: Mode,
    rng: np.random.Generator,
    watch: Stopwatch,
) -> Ranked:
    reader = request.reader
    allowed = reader is not None and reader.preferences.personalization

    def rank_with(config: RankingConfig, model_version: str) -> Ranked:
        view = snapshot.others.get(model_version, snapshot.view)
        slate = _recommend(request, snapshot, view, config, mode, rng, watch)
        return Ranked(
            items=slate_items(slate, view),
            rung=slate.rung,
            personalized=slate.personalized and allowed,
            model_version=view.bundle.version,
            experiments=resolution.variants,
        )

    if resolution.interleaving is None:
        return rank_with(resolution.config, resolution.model_version)
    sides = [
        (side.name, rank_with(side.config, side.model_version)) for side in resolution.interleaving
    ]
    return interleave_sides(sides, resolution.config.slate_size, rng)


def _recommend(
    request: Request,
    snapshot: LiveSnapshot,
    view: RankingView,
    config: RankingConfig,
    mode: Mode,
    rng: np.random.Generator,
    watch: Stopwatch,
) -> Slate:
    context = RankingContext(
        view=view,
        signals=snapshot.signals,
        trending=snapshot.trending,
        request=_request_context(request, view, mode),
        rng=rng,
        profile=_profile(request, view, config, mode),
        index=snapshot.index,
        pins=snapshot.pins,
        wishes=_wishes(request, view, mode),
    )
    watch.lap("profile")
    slate = recommend(context, config, time.perf_counter)
    watch.split(slate.trace.seconds)
    return slate


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


def _wishes(request: Request, view: RankingView, mode: Mode) -> PreferenceCodes:
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
    sides: Sequence[tuple[str, Ranked]], slots: int, rng: np.random.Generator
) -> Ranked:
    """Return one feed drafted from two, with what is true of both.

    Each slot's sources name the side that picked it. The rung is the lower one, the feed is
    personalized if a side is, and all model versions are named. The context says what each side
    was.
    """
    by_id = [{item.article_id: item for item in ranked.items} for _, ranked in sides]
    drafted = interleave([*by_id[0]], [*by_id[1]], slots, rng)
    items = []
    for position, (article_id, team) in enumerate(zip(*drafted, strict=True)):
        side = 0 if team == "a" else 1
        item = by_id[side][article_id]
        sources = (*item.sources, f"team:{sides[side][0]}")
        items.append(replace(item, position=position, sources=sources))
    both = [ranked for _, ranked in sides]
    return Ranked(
        items=tuple(items),
        rung=max((ranked.rung for ranked in both), key=[*Rung].index),
        personalized=any(ranked.personalized for ranked in both),
        model_version="+".join(dict.fromkeys(ranked.model_version for ranked in both)),
        experiments=both[0].experiments,
        context={key: text for side in sides for key, text in _describe_side(*side)},
    )


def _describe_side(name: str, ranked: Ranked) -> Iterator[tuple[str, str]]:
    yield f"{name}.rung", ranked.rung.value
    yield f"{name}.personalized", str(ranked.personalized).lower()
    yield f"{name}.model_version", ranked.model_version


def _code(vocabulary: Vocabulary, name: str) -> int:
    if not name:
        return -1
    code = vocabulary.row(name)
    return code if code >= 0 else int(NOWHERE)
