"""Weights of events by kind, dwell and age, and the sparse interaction matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from feed.arrays import Floats, Kinds, Rows
from feed.config import HOUR_S
from feed.domain import UNDOES, EventKind
from feed.training_config import TrainingConfig

KINDS = tuple(EventKind)
"""Every event kind; the position is its code in arrays."""
KIND_CODE: dict[EventKind, int] = {kind: code for code, kind in enumerate(KINDS)}
"""The code of each event kind."""

CLICK, READ = KIND_CODE[EventKind.CLICK], KIND_CODE[EventKind.READ]
FULL_READ_S = 30.0
"""A read of this length weighs once its kind's weight, one of three times the length twice."""
MAX_READ_FACTOR = 2.0

_IS_UNDO = np.array([kind in UNDOES for kind in KINDS])
_BASE = np.array([KIND_CODE[UNDOES.get(kind, kind)] for kind in KINDS], np.int8)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventColumns:
    """Events as columns of equal length; users and articles are rows of their id maps.

    `kinds` are codes of `KINDS`, `occurred_at` epoch seconds, `dwell_s` NaN if unknown.
    """

    users: Rows
    articles: Rows
    kinds: Kinds
    occurred_at: Floats
    dwell_s: Floats


def event_weights(
    pairs: Rows,
    kinds: Kinds,
    occurred_at: Floats,
    dwell_s: Floats,
    kind_weights: Mapping[str, float],
    *,
    accidental_dwell_s: float,
    accidental_weight: float,
) -> Floats:
    """Return the weight of each event before decay, f64 [k]; 0 for those that do not count.

    Of the events of one kind on one pair only the last counts, and none if it was undone since.
    A read weighs by how long it was (half for 12 s, once for 30 s, at most twice); the click and
    the read of a pair whose longest dwell was under `accidental_dwell_s` are damped.

    Args:
        pairs: any number naming reader and article together (for one reader: the article row).
        kinds: codes of `KINDS`.
        occurred_at: epoch seconds.
        dwell_s: seconds, NaN where not known.
        kind_weights: weight by kind; kinds not named weigh nothing.
        accidental_dwell_s: threshold in seconds.
        accidental_weight: factor for accidents.
    """
    if not len(pairs):
        return np.zeros(0)
    undo = _IS_UNDO[kinds]
    names = pairs * len(KINDS) + _BASE[kinds]
    order = np.lexsort((undo, occurred_at, names))
    last = order[_ends(names[order])]
    last = last[~undo[last]]
    table = np.array([kind_weights.get(kind, 0.0) for kind in KINDS])
    weights = np.zeros(len(pairs))
    weights[last] = table[kinds[last]]
    timed = ~np.isnan(dwell_s)
    if timed.any():
        reads = (timed & (kinds == READ)).nonzero()[0]
        factor = np.log2(1.0 + np.maximum(dwell_s[reads], 0.0) / FULL_READ_S)
        weights[reads] *= np.minimum(factor, MAX_READ_FACTOR)
        ends = _ends(pairs[order]).nonzero()[0]
        starts = np.zeros(len(ends), np.int64)
        starts[1:] = ends[:-1] + 1
        longest = np.maximum.reduceat(np.where(timed, dwell_s, -np.inf)[order], starts)
        accident = (longest > -np.inf) & (longest < accidental_dwell_s)
        if accident.any():
            damped = order[np.repeat(accident, ends - starts + 1)]
            damped = damped[(kinds[damped] == CLICK) | (kinds[damped] == READ)]
            weights[damped] *= accidental_weight
    return weights


def decay(age_s: npt.ArrayLike, half_life_s: float) -> Floats:
    """Return `2^(-age / half_life)`; an age below zero counts as zero."""
    return np.exp2(-np.maximum(np.asarray(age_s, np.float64), 0.0) / half_life_s)


def bot_factors(events: EventColumns, n_users: int, config: TrainingConfig) -> Floats:
    """Return the factor on each reader's weights, f64 [n_users]: 1, or `bot_weight` for bots.

    A bot is a reader who clicked more than `bot_articles_per_minute` articles in some calendar
    minute.
    """
    clicks = events.kinds == CLICK
    minute = (events.occurred_at[clicks] // 60.0).astype(np.int64)
    if not len(minute):
        return np.ones(n_users)
    buckets, counts = np.unique(minute * n_users + events.users[clicks], return_counts=True)
    factors = np.ones(n_users)
    factors[buckets[counts > config.bot_articles_per_minute] % n_users] = config.bot_weight
    return factors


def build_interactions(
    events: EventColumns, shape: tuple[int, int], now: float, config: TrainingConfig
) -> csr_matrix:
    """Return the users x articles matrix of decayed weights as they stand at `now`.

    Weights of one pair are summed; negative ones (dislike, hide) stay negative; zeros are left
    out. Events at or after `now` and those older than the window are refused by leaving them out.

    Args:
        events: columns; rows must be below `shape`.
        shape: numbers of users and articles.
        now: epoch seconds; the window is `[now - window_days, now)`.
        config: weights, half-life, window.
    """
    inside = (events.occurred_at < now) & (
        events.occurred_at >= now - config.window_days * 24 * HOUR_S
    )
    users, articles = events.users[inside], events.articles[inside]
    kinds, at = events.kinds[inside], events.occurred_at[inside]
    weights = event_weights(
        users * shape[1] + articles,
        kinds,
        at,
        events.dwell_s[inside],
        config.kind_weights,
        accidental_dwell_s=config.accidental_dwell_s,
        accidental_weight=config.accidental_weight,
    )
    weights *= decay(now - at, config.half_life_hours * HOUR_S)
    weights *= bot_factors(events, shape[0], config)[users]
    matrix = csr_matrix((weights, (users, articles)), shape=shape)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _ends(ordered: Rows) -> npt.NDArray[np.bool_]:
    """Return where the last of each run of equal values stands, bool [k]."""
    ends = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=ends[:-1])
    return ends
