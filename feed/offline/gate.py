"""The gate: is a candidate model as good as what would serve without it, on unseen lists?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from feed.arrays import Floats, Integers, Matrix
from feed.config import RankingConfig
from feed.domain import format_time
from feed.models.bundle import ModelBundle
from feed.models.ranker import LinearRanker, Ranker
from feed.models.satisfied_ranker import SatisfiedRanker
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.examination import Examination
from feed.offline.examples import shown_places
from feed.offline.held_out import HeldOutNotes
from feed.offline.log_source import LogSource
from feed.offline.methods import CLICKS_BY_AGE, clicks_by_age
from feed.offline.ranking_metrics import (
    MeanEstimate,
    bootstrap_mean,
    ndcg_at,
    sort_lists,
    weighed_pairs,
)
from feed.offline.reader_log import ReaderLog
from feed.offline.reads import SatisfiedReads
from feed.offline.training import TimeSpan
from feed.offline.walk import Past, Walk
from feed.offline.walk_plan import WalkPlan
from feed.training_config import TrainingConfig

MAX_LISTS = 3000
"""Lists that decide; of a longer slice every n-th is taken."""
SCORED_AT_ONCE = 64
"""Lists whose candidates are scored together."""
FEWEST_LISTS = 50
"""With fewer clicked lists nothing is decided."""
POOL, PAIRS = "pool nDCG@10", "pairs in order"
"""What is measured: the first of lists that others made. Of feed's own lists it would find that
model the better which is more like the one that made them; so of these it is the second, the share
of the pairs of shown articles that are in the right order (`weighed_pairs`)."""
OF_READS = " of satisfied reads"
"""Added to what is measured where the candidate learnt satisfied reads: only these count then."""
DAY_ONE = "the day-one weights"
"""What a first model is compared with: they serve where no model is live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`POOL` or `PAIRS` per list, f64 [n], of a model and of two others; `users` int64 [n].

    The others are the day-one weights and the simple rival, `CLICKS_BY_AGE`. All order the same
    candidates. `notes` is what else was seen (see `HeldOutNotes`).
    """

    model: Floats
    day_one: Floats
    rival: Floats
    users: Integers
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """What the gate found. `difference` is candidate less other in the `metric`, paired.

    `against` is the live version, or `DAY_ONE` where none is live. `better` says that the whole
    interval of the difference lies above zero. `rival` is the simple rival and `lead` the candidate
    less that, paired; they decide nothing, because the rival does not serve. `notes` is what else
    was seen of the candidate (see `HeldOutNotes`); the manifest has it beside the verdict.
    """

    passed: bool
    reason: str
    candidate: MeanEstimate
    other: MeanEstimate
    difference: MeanEstimate
    rival: MeanEstimate
    lead: MeanEstimate
    against: str
    margin: float
    window: TimeSpan
    metric: str = POOL
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def better(self) -> bool:
        """The candidate is better for certain; without any list nothing is."""
        return self.difference.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict for the manifest, JSON-ready; unknown numbers are None."""
        return {
            "verdict": "passed" if self.passed else "refused",
            "reason": self.reason,
            "metric": self.metric,
            "candidate": _known(self.candidate),
            "other": _known(self.other),
            "against": self.against,
            "difference": _known(self.difference),
            "better": self.better,
            "rival": {"name": CLICKS_BY_AGE, **_known(self.rival)},
            "lead": _known(self.lead),
            "margin": self.margin,
            "window": [format_time(self.window.start), format_time(self.window.end)],
        }


def judge(
    log: LogSource,
    candidate: ModelBundle,
    live: ModelBundle | None,
    window: TimeSpan,
    margin: float,
    ranking: RankingConfig,
    *,
    embeddings: Matrix | None = None,
    progress: Callable[[float], None] | None = None,
    past: Past | None = None,
    readers: ReaderLog | None = None,
) -> GateVerdict:
    """Return the gate's verdict.

    The candidate is compared with what would serve without it: the live model or, where none is
    live, the day-one weights with the candidate's own candidates and features. Each orders the
    pool lists of the window as the feed would: its candidates, its ranker (the day-one weights
    where it learnt none), the factors that are not learnt. A candidate that learnt how readily
    places are looked at, or which clicks are satisfied reads, is judged by that, too. A list's two
    numbers are compared, and readers are drawn for the interval. `decide` says what
    follows from the difference.

    A first model without a learned ranker orders by the day-one weights itself, so it passes
    however few lists there are.

    Args:
        log: the log, with events before the window too.
        candidate: trained on nothing of the window.
        live: the model in service, not trained on the window either; None if there is none.
        window: the slice that decides.
        margin: how much worse in nDCG@10 the candidate may be.
        ranking: ranking parameters.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        progress: called with the share done, 0 to 1.
        past: what a walk that ended before the window has replayed of the log.
        readers: what readers did, where the log itself does not say it.
    """
    models = [candidate] if live is None else [candidate, live]
    kept = candidate.manifest.get("examination")
    examination = None if kept is None else Examination.from_json(kept)
    reads = _reads_wanted(log, candidate, window)
    found, *beside = measure_each(
        log,
        models,
        window,
        ranking,
        embeddings=embeddings,
        progress=progress,
        past=past,
        readers=readers,
        examination=examination,
        reads=reads,
    )
    if live is None:
        other, against = found.day_one, DAY_ONE
    else:
        other, against = beside[0].model, live.version
    difference = bootstrap_mean(found.model - other, found.users)
    if live is None and candidate.ranker is None:
        passed, reason = True, f"it learnt no ranker, so it orders by {DAY_ONE}"
    else:
        passed, reason = decide(difference, margin, against)
    return GateVerdict(
        passed=passed,
        reason=reason,
        candidate=bootstrap_mean(found.model, found.users),
        other=bootstrap_mean(other, found.users),
        difference=difference,
        rival=bootstrap_mean(found.rival, found.users),
        lead=bootstrap_mean(found.model - found.rival, found.users),
        against=against,
        margin=margin,
        window=window,
        metric=(POOL if examination is None else PAIRS) + ("" if reads is None else OF_READS),
        notes=found.notes,
    )


def _reads_wanted(
    log: LogSource, candidate: ModelBundle, window: TimeSpan
) -> SatisfiedReads | None:
    """Return the satisfied reads of the window if the candidate learnt these; None if clicks."""
    if not isinstance(candidate.ranker, SatisfiedRanker):
        return None
    learnt = candidate.manifest.get("parameters", {})
    dwell_s = learnt.get("satisfied_dwell_s", TrainingConfig().satisfied_dwell_s)
    return SatisfiedReads(log, window.start, np.inf, dwell_s)


def decide(difference: MeanEstimate, margin: float, against: str) -> tuple[bool, str]:
    """Return whether a candidate passes, and why.

    It passes if the whole interval of the difference lies at or above `-margin`. Too few lists
    to say so is a refusal: what serves goes on.

    Args:
        difference: candidate less other in pool nDCG@10, paired.
        margin: how much worse the candidate may be.
        against: the other's name.
    """
    if difference.n < FEWEST_LISTS:
        return False, f"only {difference.n} clicked lists to compare it with {against}"
    if difference.low > 0:
        return True, f"better than {against}"
    if difference.low >= -margin:
        return True, f"not worse than {against} by more than {margin:g}"
    if difference.high < 0:
        return False, f"is worse than {against}"
    return False, f"may be worse than {against} by more than {margin:g}"


def measure(
    log: LogSource,
    bundle: ModelBundle,
    window: TimeSpan,
    ranking: RankingConfig,
    **options: Any,
) -> Measured:
    """Return what `measure_each` finds of one model; its options are the same."""
    return measure_each(log, [bundle], window, ranking, **options)[0]


def measure_each(
    log: LogSource,
    bundles: Sequence[ModelBundle],
    window: TimeSpan,
    ranking: RankingConfig,
    *,
    embeddings: Matrix | None = None,
    progress: Callable[[float], None] | None = None,
    past: Past | None = None,
    most_lists: int = MAX_LISTS,
    readers: ReaderLog | None = None,
    examination: Examination | None = None,
    reads: SatisfiedReads | None = None,
) -> list[Measured]:
    """Return how well each model and what it is compared with order the clicked lists of a window.

    All models see the same lists, in one walk. Of more than `most_lists` lists, every n-th is
    measured. Pairs of clicks are counted from where the `past` began. With an `examination`, the
    lists are those of which the log says how feed placed them, and the numbers are `PAIRS`. With
    `reads`, only clicks that were satisfied reads count.
    """
    span = log.window(window.start, window.end).impressions
    plan = WalkPlan(
        start=window.start,
        end=window.end,
        pool_every=max(1, -(-len(span) // most_lists)),
        learn_pool_every=sys.maxsize,
        heads=("pool",),
        ranking=ranking,
        training=replace(TrainingConfig(), ranker_days=0.0),
    )
    evaluators = [_GateEvaluator(bundle, ranking, examination, reads) for bundle in bundles]
    if len(span):
        walk = Walk(log, plan, embeddings, evaluators[0], past, readers)
        others = zip(bundles[1:], evaluators[1:], strict=True)
        walk.measure(bundles[0], progress, others)
    return [evaluator.measured() for evaluator in evaluators]


class _GateEvaluator:
    """Scores lists, by one model and what it is compared with; keeps the numbers."""

    def __init__(
        self,
        bundle: ModelBundle,
        ranking: RankingConfig,
        examination: Examination | None = None,
        reads: SatisfiedReads | None = None,
    ) -> None:
        self._examination, self._reads = examination, reads
        self._day_one = LinearRanker(ranking.weights)
        learned = bundle.ranker if ranking.use_ranker else None
        self._ranker: Ranker = learned or self._day_one
        self._notes = HeldOutNotes(is_learned=learned is not None)
        self._waiting: list[PoolList] = []
        self._found: list[Floats] = []
        self._users: list[int] = []

    def measured(self) -> Measured:
        """Return the numbers so far."""
        self.flush()
        model, day_one, rival = np.concatenate([np.zeros((3, 0)), *self._found], axis=1)
        return Measured(
            model=model,
            day_one=day_one,
            rival=rival,
            users=np.array(self._users, np.int64),
            notes=self._notes.to_json(),
        )

    def add_pool(self, entry: PoolList) -> None:
        self._waiting.append(entry if self._reads is None else self._reads.narrowed(entry))
        if len(self._waiting) >= SCORED_AT_ONCE:
            self.flush()

    def _judge(self, scores: Floats, lists: Sequence[PoolList]) -> Floats:
        """Return how well scores order lists; NaN where it cannot be said, whatever the scores."""
        if self._examination is None:
            return _ndcg(scores, lists)
        return _pairs(scores, lists, self._examination)

    def add_slate(self, entry: SlateList) -> None:
        """Slates do not decide."""

    def use_rankers(self, rankers: Rankers) -> None:
        """The model is given."""

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        features = np.concatenate([entry.features for entry in waiting])
        factors = np.concatenate([entry.factors for entry in waiting])
        scores = self._ranker.score(features)
        ends = np.cumsum([len(entry.features) for entry in waiting])[:-1]
        for entry, own in zip(waiting, np.split(scores, ends), strict=True):
            self._notes.add(entry, own)
        day_one = self._day_one.score(features)
        orders = (scores * factors, day_one * factors, clicks_by_age(features))
        numbers = np.stack([self._judge(order, waiting) for order in orders])
        known = np.flatnonzero(~np.isnan(numbers).any(axis=0))
        self._found.append(numbers[:, known])
        self._users += [waiting[at].seen.user for at in known.tolist()]


def _ndcg(scores: Floats, lists: Sequence[PoolList]) -> Floats:
    """Return nDCG@10 of lists by the scores of their candidates, one list's after the other's."""
    clicked = np.concatenate([entry.clicked for entry in lists])
    sizes = [len(entry.clicked) for entry in lists]
    wanted = [float(len(entry.wanted)) for entry in lists]
    return ndcg_at(sort_lists(scores, clicked, sizes, wanted), 10)


def _pairs(scores: Floats, lists: Sequence[PoolList], examination: Examination) -> Floats:
    """Return `weighed_pairs` of what readers were shown; what is no candidate stands last."""
    ends = np.cumsum([len(entry.clicked) for entry in lists])[:-1]
    shown = [_shown_scores(own, e) for own, e in zip(np.split(scores, ends), lists, strict=True)]
    return weighed_pairs(
        np.concatenate(shown),
        np.concatenate([entry.seen.clicked for entry in lists]),
        np.concatenate([_looked_at(entry, examination) for entry in lists]),
        [len(entry.seen.clicked) for entry in lists],
    )


def _shown_scores(scores: Floats, entry: PoolList) -> Floats:
    rows, shown = entry.found.rows, entry.seen.shown
    at = shown_places(shown, rows, np.arange(len(rows)))
    return np.where(at >= 0, scores[at], -np.inf)


def _looked_at(entry: PoolList, examination: Examination) -> Floats:
    """Return the chance that each shown article was looked at; 0 where no place is known."""
    places = entry.seen.placed.places
    if not (places >= 0).any():
        return np.zeros(len(entry.seen.shown))
    return examination.at(places)


def _known(interval: MeanEstimate) -> dict[str, Any]:
    return {k: v if np.isfinite(v) else None for k, v in asdict(interval).items()}
