"""Explored slots of an archive, and what another policy would have drawn there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import orjson

from feed.arrays import Floats, Rows
from feed.config import RankingConfig
from feed.domain import PAGE_KEY, Mode
from feed.editorial.editorial_limits import LIMITS_KEY
from feed.experiments.design.assignment import HELD_OUT
from feed.experiments.design.definitions import Experiment, Variant
from feed.experiments.off_policy.estimators import LoggedBandit
from feed.models.bundle import ModelBundle
from feed.models.view import build_view
from feed.offline.archive_log import read_archive
from feed.offline.event_log import EventLog
from feed.offline.past_requests import PastRequests
from feed.preferences import WISHES_KEY
from feed.ranking.context import build_situation
from feed.ranking.pipeline import recommend
from feed.ranking.scoring import score_candidates
from feed.ranking.slate import Trace
from feed.setting_fields import override
from feed.storage.archive import Archive

BINS = 5
"""Parts of the pool, by the policy's order, whose click rates the reward model knows."""
PRIOR_SLOTS = 100.0
"""Slots of the overall click rate that each of these rates begins with."""

SLACK_S = 60.0
"""Feeds served this long after an experiment's end may still carry it, seconds."""

_ROUNDING = 1e-9
_CLOSE = 1e-6
"""Relative difference of two propensities that decayed counts and times of day make at most."""

_EXPLORED = f"""
WITH clicks AS (
    SELECT DISTINCT user_id, request_id, article_id FROM events WHERE kind = 'click'
)
SELECT s.user_id, s.logged_user_id, epoch_us(s.served_at) / 1e6 AS at, s.article_id, s.propensity,
       s.model_version, s.counters_at, coalesce(s.experiments, '{{}}') AS experiments,
       coalesce(s.section, '') AS section, lower(coalesce(s.language, '')) AS language,
       coalesce(s.context ->> 'device', '') AS device,
       coalesce(s.context ->> '{PAGE_KEY}', '') AS page,
       coalesce(s.context ->> '{LIMITS_KEY}', '') AS limits,
       coalesce(s.context ->> '{WISHES_KEY}', '') AS wishes,
       c.article_id IS NOT NULL AS clicked
FROM served AS s LEFT JOIN clicks AS c USING (user_id, request_id, article_id)
WHERE s.explored AND s.mode = '{Mode.PERSONALIZED.value}' AND s.user_id <> ''
  AND s.served_at >= make_timestamptz(?) AND s.served_at < make_timestamptz(?)
ORDER BY s.served_at, s.request_id, s.position
"""  # noqa: S608 - a constant

Moment = Callable[[str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who draws in place of chance: uniformly among the best articles of the same pool.

    Attributes:
        bundle: The model whose scores order the pool.
        config: The settings it scores with.
        top: Share of the pool, over 0 to 1, that it draws from.
    """

    bundle: ModelBundle
    config: RankingConfig
    top: float = 0.2


@dataclass(frozen=True, slots=True)
class ExploredSlots:
    """Explored slots under a policy.

    Attributes:
        bandit: One row per slot whose pool was found again; the action is the article.
        chosen: The articles, by row of `log`, that the policy would have drawn from, per row.
        log: The archive's log.
        explored: Explored slots in the archive's window.
        left_out: Slots left out, by reason.
    """

    bandit: LoggedBandit
    chosen: tuple[Rows, ...]
    log: EventLog
    explored: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One slot: the pool's size, how many the policy takes, and where the drawn article stands.

    `chance` is the probability with which the slot, if it was drawn for, got its article. `rank`
    counts from 0, best first, by the policy's scores; -1 where the pool does not hold it.
    """

    reader: str
    clicked: bool
    chance: float
    size: int
    taken: int
    rank: int
    chosen: Rows


def moment_of_counters(stream_id: str) -> float:
    """Return when the counters that a feed was made with were published, epoch seconds."""
    milliseconds = stream_id.split("-", maxsplit=1)[0]
    return float(milliseconds) / 1000.0 if milliseconds.isdecimal() else 0.0


def read_explored(
    archive: Archive,
    models: Mapping[str, ModelBundle],
    policy: Policy,
    rng: np.random.Generator,
    *,
    base: RankingConfig | None = None,
    experiments: Sequence[Experiment] = (),
    from_at: float = 0.0,
    to_at: float = 1e11,
    moment: Moment = moment_of_counters,
) -> ExploredSlots:
    """Replay the requests of an archive that explored, and ask a policy what it would have drawn.

    An explored slot got one article of its pool with a known chance, whatever the reader: an
    experiment in every such slot. The pool is not in the log, so the request is ranked again as it
    was, by the same code and with what was known then; a slot enters if the propensity that this
    gives its article is the one that was logged. The pool may be another one, rarely, where two
    articles score the same: their rows decide, and a replay numbers articles in another order. So
    a slot also enters if its article is not in the pool but another one has its propensity; else
    what enters would depend on what was drawn. Requests in an experiment are left out unless its
    definition says what their variant changed.

    Args:
        archive: Where the served feeds are.
        models: Bundles by version, those that the feeds were made with.
        policy: What is to be evaluated.
        rng: Deals the readers into halves for the reward model.
        base: Settings that the feeds were made with; the defaults if not given.
        experiments: Definitions of experiments that the feeds were in.
        from_at: Begin of the feeds looked at, epoch seconds.
        to_at: End, not included.
        moment: When counters of an id were published, epoch seconds.

    Returns:
        The slots, ready for `evaluate_policy`.

    Raises:
        ArchiveError: the archive cannot be read, or holds no events.
    """
    with archive.query(from_at) as connection:
        slots = _fetch_slots(connection, from_at, to_at)
    log, embeddings = read_archive(archive)
    again = _Again(log, embeddings, models, policy, base or RankingConfig(), experiments)
    left_out: Counter[str] = Counter()
    choices = []
    for slot in slots:
        slot["known_at"] = min(moment(slot["counters_at"]), slot["at"])
    for slot in sorted(slots, key=lambda slot: slot["known_at"]):
        reason = again.obstacle(slot)
        found = None
        if not reason:
            again.tick(slot["known_at"])
            found = again.choose(slot)
        if found is None:
            left_out[reason or "whose pool was not found again"] += 1
        else:
            choices.append(found)
    return ExploredSlots(
        _to_bandit(choices, rng),
        tuple(choice.chosen for choice in choices),
        log,
        len(slots),
        dict(left_out),
    )


class _Again:
    """Ranks recorded requests again, once as they were and once by the policy."""

    def __init__(
        self,
        log: EventLog,
        embeddings: npt.NDArray[np.float32] | None,
        models: Mapping[str, ModelBundle],
        policy: Policy,
        base: RankingConfig,
        experiments: Sequence[Experiment],
    ) -> None:
        self._past = PastRequests(log, embeddings)
        pool = self._past.pool
        self._log, self._policy, self._base = log, policy, base
        self._experiments = experiments
        self._views = {name: build_view(pool, bundle) for name, bundle in models.items()}
        self._view = build_view(pool, policy.bundle)

    def obstacle(self, slot: Mapping[str, Any]) -> str:
        """Say why a slot cannot be ranked again; empty if it can."""
        if self._settings(slot) is None:
            return "in an experiment whose settings are not known"
        if slot["model_version"] not in self._views:
            return "made with a model that is gone"
        if self._log.users.row(slot["logged_user_id"]) < 0:
            return "of readers who did nothing"
        return ""

    def tick(self, at: float) -> None:
        """Bring counters, trending and orders to a moment."""
        self._past.tick(at)

    def choose(self, slot: Mapping[str, Any]) -> _Choice | None:
        """Return what the policy would have drawn from; None if the pool is another one."""
        settings = self._settings(slot) or self._base
        logged = self._past.context(self._views[slot["model_version"]], slot, settings)
        trace = recommend(logged, settings).trace
        pool, article = np.sort(trace.explore_rows), self._log.articles.row(slot["article_id"])
        if not _is_found_again(trace, article, float(slot["propensity"])):
            return None
        config = self._policy.config
        context = self._past.context(self._view, slot, config)
        situation = build_situation(context, config)
        ranker = context.choose_ranker(config)
        scores = score_candidates(context, situation, pool, ranker, config).final
        order = pool[np.argsort(-scores, kind="stable")]
        taken = max(1, int(np.ceil(self._policy.top * len(pool) - _ROUNDING)))
        place = np.flatnonzero(order == article)
        return _Choice(
            reader=slot["user_id"],
            clicked=bool(slot["clicked"]),
            chance=min(slot["propensity"] / float(trace.explore_chances.sum()), 1.0),
            size=len(pool),
            taken=taken,
            rank=int(place[0]) if place.size else -1,
            chosen=order[:taken],
        )

    def _settings(self, slot: Mapping[str, Any]) -> RankingConfig | None:
        """Return the settings that a feed was made with; None where they are not known."""
        config = self._base
        for name, variant in orjson.loads(slot["experiments"]).items():
            if variant == HELD_OUT:
                continue
            arm = self._arm(name, variant, float(slot["at"]))
            if arm is None or arm.interleaves:
                return None
            config = override(config, arm.overrides)
        return config

    def _arm(self, name: str, variant: str, at: float) -> Variant | None:
        for experiment in self._experiments:
            over = experiment.stopped_at or np.inf
            if experiment.name == name and 0 < experiment.started_at <= at < over + SLACK_S:
                return next((v for v in experiment.variants if v.name == variant), None)
        return None


def _is_found_again(trace: Trace, article: int, propensity: float) -> bool:
    """Whether a request ranked again gives a drawn article the propensity that was logged.

    It may have been drawn by need or, as in older archives, with the same chance as all others.
    """
    chances, own = trace.explore_chances, trace.explore_rows == article
    if not chances.size:
        return False
    possible = np.append(chances[own] if own.any() else chances, chances.mean())
    return bool(np.isclose(possible, propensity, rtol=_CLOSE, atol=0.0).any())


def _fetch_slots(
    connection: duckdb.DuckDBPyConnection, from_at: float, to_at: float
) -> list[dict[str, Any]]:
    bounds = [round(max(at, 0.0) * 1e6) for at in (from_at, to_at)]
    result = connection.execute(_EXPLORED, bounds)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _to_bandit(choices: list[_Choice], rng: np.random.Generator) -> LoggedBandit:
    size = np.array([choice.size for choice in choices], np.float64)
    taken = np.array([choice.taken for choice in choices], np.float64)
    rank = np.array([choice.rank for choice in choices], np.float64)
    clicks = np.array([choice.clicked for choice in choices], np.float64)
    names = [choice.reader for choice in choices]
    readers = (
        np.unique(names, return_inverse=True)[1].astype(np.int64)
        if names
        else size.astype(np.int64)
    )
    part = np.where(rank < 0, BINS - 1, BINS * (rank + 0.5) / np.maximum(size, 1)).astype(np.int64)
    half = (rng.permutation(int(readers.max(initial=0)) + 1) % 2)[readers]
    predicted, predicted_target = np.zeros(len(choices)), np.zeros(len(choices))
    for side in (0, 1):
        rates = _click_rates(clicks[half != side], part[half != side])
        mine = np.flatnonzero(half == side)
        predicted[mine] = rates[part[mine]]
        predicted_target[mine] = [_mean_rate(rates, choices[i]) for i in mine.tolist()]
    return LoggedBandit(
        rewards=clicks,
        propensities=np.array([choice.chance for choice in choices], np.float64),
        targets=np.where((rank >= 0) & (rank < taken), 1.0 / taken, 0.0),
        readers=readers,
        predicted=predicted,
        predicted_target=predicted_target,
    )


def _click_rates(clicks: Floats, part: Rows) -> Floats:
    overall = float(clicks.mean()) if clicks.size else 0.0
    clicked = np.bincount(part, clicks, minlength=BINS)
    rates: Floats = (clicked + PRIOR_SLOTS * overall) / (
        np.bincount(part, minlength=BINS) + PRIOR_SLOTS
    )
    return rates


def _mean_rate(rates: Floats, choice: _Choice) -> float:
    parts = (BINS * (np.arange(choice.taken) + 0.5) / choice.size).astype(np.int64)
    return float(rates[parts].mean())
