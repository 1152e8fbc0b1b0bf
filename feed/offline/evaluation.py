"""evaluate(): both protocols over a window of the log, models trained on the past alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feed.config import DAY_S, RankingConfig, TrainingConfig
from feed.features.context import RequestContext
from feed.features.ids import Rows
from feed.features.profile import Profile
from feed.models.feature_matrix import build_features
from feed.models.ranker import LightGBMRanker
from feed.models.view import RankingView, build_view
from feed.offline.event_log import EventLog
from feed.offline.examples import Examples, ExampleStore, sample_negatives
from feed.offline.fitting import fit_bundle, fit_ranker
from feed.offline.pool_protocol import PoolProtocol
from feed.offline.replay import Replay, build_log_pool
from feed.offline.scorebook import PoolList, ScoreBook, SlateList
from feed.ranking.scoring import score_candidates

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

HEADS = ("slate", "pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """What to measure. Times are epoch seconds; the window is [start, end).

    Before each `retrain_every_s` of it everything is trained again on what came before.
    `pool_every` measures the pool protocol on every n-th impression (1: all);
    `learn_pool_every` rebuilds pool examples from every n-th impression of the past.
    `heads` of `("slate", "pool")` chooses protocols.
    """

    start: float
    end: float
    retrain_every_s: float = DAY_S
    pool_every: int = 1
    learn_pool_every: int = 3
    negatives: int = 20
    heads: tuple[str, ...] = HEADS
    threads: int = 1
    ranking: RankingConfig = field(default_factory=RankingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class UnitRanker:
    """Scores everything 1, so that what is left of a score is the product of its factors."""

    def score(self, features: Matrix) -> Floats:
        """Return ones, f64 [k]."""
        return np.ones(len(features))

    def group_contributions(self, features: Matrix) -> Floats:
        """Return nothing for every group."""
        return np.zeros((len(features), 0))


def evaluate(
    log: EventLog,
    plan: EvaluationPlan,
    book: ScoreBook,
    *,
    embeddings: Matrix | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> ScoreBook:
    """Walk the log, train before each period, score each impression; return the book filled.

    Every impression is scored with what happened strictly before it: counters, profiles and
    pairs by `Replay`, models by the period's training. Training of the learned rankers runs
    beside the replay of the period they are for; the period's features wait for them.

    Args:
        log: the log.
        plan: window and parameters.
        book: where scores and metrics go.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        progress: called with the share done (0 to 1) and what is being done.
    """
    with ThreadPoolExecutor(1) as trainer:
        run = _Run(log, plan, book, embeddings, trainer)
        span = log.impressions.between(run.learn_from, plan.end)
        every = max(1, len(span) // 200)
        for place, impression in enumerate(span):
            run.take(impression)
            if progress is not None and place % every == 0:
                measuring = log.impressions.at[impression] >= plan.start
                progress(place / max(len(span), 1), "measuring" if measuring else "learning")
        run.finish()
    return book


class _Run:
    """The walk: one replay, the model of the present period, the examples so far."""

    def __init__(
        self,
        log: EventLog,
        plan: EvaluationPlan,
        book: ScoreBook,
        embeddings: Matrix | None,
        trainer: ThreadPoolExecutor,
    ) -> None:
        self._log, self._plan, self._book = log, plan, book
        self._embeddings, self._trainer = embeddings, trainer
        window_s = plan.training.ranker_days * DAY_S
        periods = int(np.ceil(window_s / plan.retrain_every_s))
        self.learn_from = max(
            plan.start - periods * plan.retrain_every_s,
            float(log.impressions.at.min(initial=plan.start)),
        )
        self._next = plan.start - periods * plan.retrain_every_s
        while self._next + plan.retrain_every_s <= self.learn_from:
            self._next += plan.retrain_every_s
        self._pool = build_log_pool(log, embeddings)
        self._replay = Replay(log)
        self._protocol = PoolProtocol(self._replay, plan.ranking)
        self._examples = {head: ExampleStore(window_s) for head in plan.heads}
        self._rng = np.random.default_rng(plan.training.seed)
        self._view: RankingView | None = None
        self._replay.start(self.learn_from)

    def take(self, impression: int) -> None:
        """Score (in the window) and learn from one impression."""
        now = float(self._log.impressions.at[impression])
        if self._view is None or now >= self._next:
            while self._next <= now:
                boundary, self._next = self._next, self._next + self._plan.retrain_every_s
            self._retrain(min(boundary, now))
        self._replay.advance(now)
        views = self._log.impressions
        profile = self._replay.readers.profile(
            int(views.users[impression]), now, self._plan.ranking
        )
        part = slice(views.starts[impression], views.starts[impression + 1])
        shown, clicked = views.shown[part], views.clicked[part]
        request = self._replay.context(impression)
        measured = now >= self._plan.start
        if "slate" in self._plan.heads:
            self._take_slate(impression, profile, request, shown, clicked, measured=measured)
        every = self._plan.pool_every if measured else self._plan.learn_pool_every
        if "pool" in self._plan.heads and impression % every == 0 and clicked.any():
            self._take_pool(impression, profile, request, shown[clicked], measured=measured)

    def finish(self) -> None:
        """Score what still waits."""
        self._book.flush()

    def _take_slate(
        self,
        impression: int,
        profile: Profile,
        request: RequestContext,
        shown: Rows,
        clicked: npt.NDArray[np.bool_],
        *,
        measured: bool,
    ) -> None:
        assert self._view is not None  # noqa: S101 - made by _retrain
        features = build_features(self._view, self._replay.signals, profile, request, shown)
        self._examples["slate"].add(features, clicked, request.now)
        if measured:
            self._book.add_slate(
                SlateList(impression, features, shown, clicked, len(profile.clicked_rows))
            )

    def _take_pool(
        self,
        impression: int,
        profile: Profile,
        request: RequestContext,
        wanted: Rows,
        *,
        measured: bool,
    ) -> None:
        assert self._view is not None  # noqa: S101 - made by _retrain
        found = self._protocol.candidates(self._view, profile, request)
        if not len(found.rows):
            return
        scores = score_candidates(
            found.context, found.situation, found.rows, UnitRanker(), self._plan.ranking
        )
        clicked = np.isin(found.rows, wanted)
        if impression % self._plan.learn_pool_every == 0:
            kept = sample_negatives(clicked, self._plan.negatives, self._rng)
            self._examples["pool"].add(scores.features[kept], clicked[kept], request.now)
        if measured:
            self._book.add_pool(
                PoolList(impression, found, scores, clicked, wanted, len(profile.clicked_rows))
            )

    def _retrain(self, until: float) -> None:
        plan = self._plan
        self._book.flush()
        bundle = fit_bundle(
            self._log, until, plan.training, embeddings=self._embeddings, threads=plan.threads
        )
        self._view = build_view(self._pool, bundle)
        if until + plan.retrain_every_s > plan.start:
            examples = {head: self._examples[head].collect(until) for head in plan.heads}
            rankers = {
                head: self._trainer.submit(_fit, examples[head], head, plan) for head in plan.heads
            }
            self._book.use_rankers(rankers)


def _fit(examples: Examples, head: str, plan: EvaluationPlan) -> LightGBMRanker | None:
    ranker = fit_ranker(examples, head, plan.training, plan.threads)
    return None if ranker is None else ranker.with_threads(plan.threads)


Rankers = dict[str, Future[LightGBMRanker | None]]
