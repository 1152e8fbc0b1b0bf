"""What time decay and event weights give the collaborative model, on a log with times and dwell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats, Integers, Matrix
from feed.config import HOUR_S, RankingConfig
from feed.domain import EventKind
from feed.features.interactions import build_interactions, decay
from feed.features.profile import Profile
from feed.models.factors import fit_als, scale_regularization
from feed.models.fold_in import fold_in
from feed.offline.event_log import EventLog
from feed.offline.ranking_metrics import MeanEstimate, bootstrap_mean, ndcg_at, sort_lists
from feed.offline.reader_log import ReaderLog
from feed.offline.replay import POOL_S
from feed.training_config import TrainingConfig
from lab.ablation.collaborative import TESTED, Row

Weigh = Callable[[Profile, float], tuple[Integers, Floats]]

REFIT_S = 6 * HOUR_S
"""The factors are fitted again so often."""
MATRIX_HALF_LIVES_HOURS = (6.0, 24.0, 72.0, 168.0)
"""Half-lives of an interaction's weight that are tried."""
FOLD_IN_HALF_LIVES_HOURS = (1.0, 6.0, 24.0, 72.0)
"""Half-lives of an event's weight in fold-in that are tried."""
NEVER_HOURS = 1e9
"""A half-life that stands for no decay."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One click to be found: the impression, its clicked article, and the articles beside it."""

    impression: int
    wanted: int
    among: Integers


def ask(log: EventLog, start: float, end: float, seed: int) -> list[Asked]:
    """Return clicks of the window, drawn at random, each among what could have been shown.

    The pool of a click: articles shown to anybody in the 48 hours before it.
    """
    views = log.impressions
    last = np.full(len(log.articles), -np.inf)
    span = log.impressions.between(start, end)
    clicked = [i for i in span if views.clicked[views.starts[i] : views.starts[i + 1]].any()]
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(clicked, min(TESTED, len(clicked)), replace=False))
    counted, asked = 0, []
    for i in drawn.tolist():
        part = slice(views.starts[counted], views.starts[i])
        at = np.repeat(views.at[counted:i], np.diff(views.starts[counted : i + 1]))
        np.maximum.at(last, views.shown[part], at)
        counted = i
        among = np.flatnonzero(last >= views.at[i] - POOL_S)
        mine = slice(views.starts[i], views.starts[i + 1])
        wanted = int(views.shown[mine][views.clicked[mine]][0])
        if np.isin(wanted, among):
            asked.append(Asked(i, wanted, among))
    return asked


def compare_decay(log: EventLog, start: float, end: float, config: TrainingConfig) -> list[Row]:
    """Return what decay of the matrix and of the fold-in are worth, half-life by half-life.

    Args:
        log: a log whose events have times.
        start: epoch seconds; clicks of [start, end) are to be found.
        end: epoch seconds.
        config: what is not varied.
    """
    asked, readers = ask(log, start, end, config.seed), _all_readers(log)
    rows = []
    for hours in (*MATRIX_HALF_LIVES_HOURS, NEVER_HOURS):
        varied = replace(config, half_life_hours=hours)
        found = _Trial(log, readers, varied, RankingConfig()).run(asked, start)
        rows.append(Row("matrix half-life", _hours(hours), found))
    for hours in (*FOLD_IN_HALF_LIVES_HOURS, NEVER_HOURS):
        ranking = replace(RankingConfig(), fold_in_half_life_hours=hours)
        found = _Trial(log, readers, config, ranking).run(asked, start)
        rows.append(Row("fold-in half-life", _hours(hours), found))
    return rows


def compare_weights(log: EventLog, start: float, end: float, config: TrainingConfig) -> list[Row]:
    """Return weights by kind and dwell against a flat weight for every click.

    A weight is also how sure the model is at all, so flat clicks are tried twice: at 1 each, and
    as heavy as all that they replace.

    Args:
        log: a log whose reads have dwell.
        start: epoch seconds; clicks of [start, end) are to be found.
        end: epoch seconds.
        config: what is not varied.
    """
    asked, readers = ask(log, start, end, config.seed), _all_readers(log)
    ranking = RankingConfig()
    flat = replace(config, kind_weights={EventKind.CLICK: 1.0}, accidental_weight=1.0)
    half_life_s = ranking.fold_in_half_life_hours * HOUR_S

    size = (len(log.users), len(log.articles))
    masses = [
        abs(build_interactions(log.events.before(start), size, start, c)).sum()
        for c in (config, flat)
    ]
    heavy = replace(flat, kind_weights={EventKind.CLICK: float(masses[0] / masses[1])})

    def clicks_alone(profile: Profile, now: float) -> tuple[Integers, Floats]:
        return profile.clicked_rows, decay(now - profile.clicked_at, half_life_s)

    trials = {
        "kinds and dwell": _Trial(log, readers, config, ranking),
        "clicks of weight 1": _Trial(log, readers, flat, ranking),
        "clicks as heavy in all": _Trial(log, readers, heavy, ranking),
        "the same, in fold-in too": _Trial(log, readers, heavy, ranking, clicks_alone),
    }
    return [Row("event weights", name, trial.run(asked, start)) for name, trial in trials.items()]


def _all_readers(log: EventLog) -> ReaderLog:
    readers = ReaderLog(log.late_until, log.merges)
    readers.take(log)
    return readers


def _of_profile(profile: Profile, now: float) -> tuple[Integers, Floats]:
    del now
    return profile.engaged_rows, profile.fold_in_weights


@dataclass(frozen=True, slots=True)
class _Fit:
    config: TrainingConfig
    factors: Matrix
    gramian: Matrix
    known: npt.NDArray[np.bool_]


class _Trial:
    """One variant: fits as time goes on, and ranks each click's pool by the folded-in vector."""

    def __init__(
        self,
        log: EventLog,
        readers: ReaderLog,
        config: TrainingConfig,
        ranking: RankingConfig,
        weigh: Weigh = _of_profile,
    ) -> None:
        self._log, self._readers = log, readers
        self._config, self._ranking, self._weigh = config, ranking, weigh

    def run(self, asked: list[Asked], start: float) -> MeanEstimate:
        """Return nDCG@10 of the clicked article among those of its pool with factors by then."""
        views = self._log.impressions
        values, due = np.full(len(asked), np.nan), start
        fit = self._fit(start)
        for place, question in enumerate(asked):
            now = float(views.at[question.impression])
            if now >= due + REFIT_S:
                due = now - (now - due) % REFIT_S
                fit = self._fit(due)
            if fit.known[question.wanted]:
                values[place] = self._rank(fit, question, now)
        return bootstrap_mean(values, views.users[[q.impression for q in asked]])

    def _fit(self, until: float) -> _Fit:
        size = (len(self._log.users), len(self._log.articles))
        events = self._log.events.before(until)
        weights = build_interactions(events, size, until, self._config)
        scaled = scale_regularization(weights, self._config)
        factors = fit_als(weights, scaled)
        return _Fit(scaled, factors, factors.T @ factors, np.asarray(factors.any(axis=1)))

    def _rank(self, fit: _Fit, question: Asked, now: float) -> float:
        among = question.among[fit.known[question.among]]
        user = int(self._log.impressions.users[question.impression])
        profile = self._readers.profile(user, now, self._ranking)
        vector = fold_in(
            fit.factors,
            fit.gramian,
            *self._weigh(profile, now),
            regularization=fit.config.regularization,
            alpha=fit.config.alpha,
        )
        scores = (fit.factors[among] @ vector).astype(np.float64)
        scores[np.isin(among, profile.read_rows)] = -np.inf
        relevant = among == question.wanted
        return float(ndcg_at(sort_lists(scores, relevant, [len(among)], [1.0]), 10)[0])


def _hours(hours: float) -> str:
    return "none" if hours == NEVER_HOURS else f"{hours:g} h"
