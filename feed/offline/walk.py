"""Walk: one pass over the log that rebuilds examples, trains, and gives lists to an evaluator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np

from feed.arrays import Flags, Matrix, Rows
from feed.config import DAY_S
from feed.features.pool import ArticlePool
from feed.features.profile import Profile
from feed.features.request_context import RequestContext
from feed.models.bundle import ModelBundle
from feed.models.feature_matrix import build_features
from feed.models.view import RankingView, build_view
from feed.offline.bundle_rankers import fit_one, with_rankers
from feed.offline.earlier_looks import EARLIER_S, look_ahead
from feed.offline.evaluated_lists import Evaluator, SlateList, build_pool_list
from feed.offline.event_log import UNPLACED, Seen
from feed.offline.examination import PlaceLog
from feed.offline.examples import NO_PLACES, Examples, ExampleStore, choose_examples, is_choice
from feed.offline.fitting import fit_bundle, fit_shared
from feed.offline.log_source import LogSource, parts
from feed.offline.pool_protocol import PoolCandidates, PoolProtocol
from feed.offline.reader_log import ReaderLog
from feed.offline.reads import ClickStore, ReadExamples, SatisfiedReads
from feed.offline.replay import Replay, build_log_pool
from feed.offline.walk_plan import HEADS, WalkPlan

PROGRESS_EVERY = 200  # impressions


@dataclass(frozen=True, slots=True)
class Past:
    """A replay that a later walk goes on with, and the pool of every article of its log."""

    pool: ArticlePool
    replay: Replay


@dataclass(frozen=True, slots=True)
class _Moment:
    """One impression and its reader; `measured` if it is in the plan's window."""

    seen: Seen
    profile: Profile
    request: RequestContext
    measured: bool


@dataclass(slots=True)
class _Ranked:
    """A model that lists are seen through; its candidates, and who scores them."""

    view: RankingView | None
    protocol: PoolProtocol
    evaluator: Evaluator | None


class Walk:
    """One replay of a log, with the model of the present period and the examples so far.

    `learn` and then `fit` train a model, `evaluate` measures models that are trained anew in each
    period, `measure` measures one given model.

    Every impression is seen with what happened strictly before it: counters, profiles and
    pairs by `Replay`, factors and rankers by the period's training.
    """

    def __init__(
        self,
        log: LogSource,
        plan: WalkPlan,
        embeddings: Matrix | None,
        evaluator: Evaluator | None = None,
        past: Past | None = None,
        readers: ReaderLog | None = None,
    ) -> None:
        """Stand where the first list is.

        Args:
            log: the log.
            plan: what to walk over.
            embeddings: f32 [len(log.articles), d], zero rows where there is no text.
            evaluator: scores the lists of the measured window.
            past: what an earlier walk over the same log has counted; it is counted on, and the
                earlier walk is over.
            readers: what readers did, for a replay of its own, where the log does not say it.

        Raises:
            ValueError: the past goes beyond the first list.
        """
        self._log, self._plan, self._embeddings = log, plan, embeddings
        self._period, self.learn_from = plan.first_period(log.lists_from)
        if past is not None and past.replay.now > self.learn_from:
            raise ValueError("past must end before the first list")
        self.past = past or Past(build_log_pool(log, embeddings), Replay(log, readers))
        self._pool, self._replay = self.past.pool, self.past.replay
        self._main = _Ranked(None, PoolProtocol(self._replay, plan.ranking), evaluator)
        self._beside: list[_Ranked] = []
        self._earlier = PoolProtocol(self._replay, plan.ranking)
        self._examples = {
            head: ExampleStore(plan.training.ranker_days * DAY_S) for head in plan.heads
        }
        self._clicks = {
            head: ClickStore(plan.training.ranker_days * DAY_S)
            for head in (plan.heads if plan.training.satisfied_reads else ())
        }
        self._places = PlaceLog(plan.training.ranker_days * DAY_S)
        self._rng = np.random.default_rng(plan.training.seed)
        self._fixed = False
        self._ahead: tuple[float, Future[ModelBundle]] | None = None
        if past is None:
            self._replay.start(self.learn_from)

    @property
    def _next(self) -> float:
        """When the next period begins; period 0 begins at the plan's start."""
        return self._plan.start + self._period * self._plan.retrain_every_s

    def learn(self, progress: Callable[[float], None] | None = None) -> int:
        """Gather the examples of every list before the plan's start; return how many lists.

        Args:
            progress: called with the share done, 0 to 1.
        """
        if not self._plan.fit_ahead:
            return self._see_lists(self._plan.start, None, progress)
        with ThreadPoolExecutor(1) as fitter:
            return self._see_lists(self._plan.start, fitter, progress)

    def evaluate(self, trainer: Executor, progress: Callable[[float], None] | None = None) -> int:
        """Learn before the plan's start, then measure and learn to its end; return how many lists.

        Args:
            trainer: where each period's rankers are trained while the walk goes on.
            progress: called with the share done, 0 to 1.
        """
        return self._see_lists(self._plan.end, trainer, progress)

    def measure(
        self,
        bundle: ModelBundle,
        progress: Callable[[float], None] | None = None,
        others: Iterable[tuple[ModelBundle, Evaluator]] = (),
    ) -> int:
        """Measure given models from the plan's start to its end; return how many lists.

        Args:
            bundle: the model that the walk's evaluator scores; nothing is trained.
            progress: called with the share done, 0 to 1.
            others: models that see the same lists, each with what scores them.
        """
        self._main.view, self._fixed = build_view(self._pool, bundle), True
        for other, evaluator in others:
            protocol = PoolProtocol(self._replay, self._plan.ranking, self._main.protocol)
            self._beside.append(_Ranked(build_view(self._pool, other), protocol, evaluator))
        return self._see_lists(self._plan.end, None, progress)

    def _see_lists(
        self, end: float, trainer: Executor | None, progress: Callable[[float], None] | None
    ) -> int:
        count, span = 0, max(end - self.learn_from, 1.0)
        lists = chain.from_iterable(p.impressions for p in parts(self._log, self.learn_from, end))
        is_due = self._wants_earlier if self._plan.earlier_every else None
        for seen, is_earlier in look_ahead(lists, is_due):
            if is_earlier:
                self._take_earlier(seen, trainer)
                continue
            self._take(seen, trainer)
            count += 1
            if progress is not None and count % PROGRESS_EVERY == 0:
                progress((seen.at - self.learn_from) / span)
        return count

    def _take_earlier(self, seen: Seen, trainer: Executor | None) -> None:
        """Measure a list at `seen.at`, a moment before its reader sees it; it teaches nothing."""
        now = seen.at
        self._start_period_if_due(now, trainer)
        view, evaluator = self._main.view, self._main.evaluator
        assert view is not None  # noqa: S101 - made when the period started
        assert evaluator is not None  # noqa: S101 - `_wants_earlier` asks for one
        self._replay.advance(now)
        profile = self._replay.readers.profile(seen.user, now, self._plan.ranking)
        found = self._earlier.candidates(view, profile, self._replay.context(seen))
        if len(found.rows):
            evaluator.add_pool(
                replace(build_pool_list(seen, found, self._plan.ranking), earlier=True)
            )

    def _take(self, seen: Seen, trainer: Executor | None) -> None:
        """See one impression: measure it if it is in the window, learn from it, train if due."""
        now = seen.at
        self._start_period_if_due(now, trainer)
        if not self._plan.training.correct_places:
            seen = replace(seen, placed=UNPLACED)
        if not self._fixed:
            self._places.add(seen.placed, seen.clicked, now)
        measured = now >= self._plan.start
        slate = self._wants_slate(seen, measured=measured)
        pool = self._wants_pool(seen, measured=measured)
        if not slate and not pool:
            return
        self._replay.advance(now)
        profile = self._replay.readers.profile(seen.user, now, self._plan.ranking)
        request = self._replay.context(seen)
        moment = _Moment(seen, profile, request, measured=measured)
        for model in (self._main, *self._beside):
            assert model.view is not None  # noqa: S101 - made when the period started
            found = model.protocol.candidates(model.view, profile, request) if pool else None
            if slate:
                self._take_slate(model, model.view, moment, found)
            if found is not None and len(found.rows):
                self._take_pool(model, moment, found)

    def _wants_slate(self, seen: Seen, *, measured: bool) -> bool:
        """Return whether the order of an impression is measured, or teaches something."""
        if "slate" not in self._plan.heads or measured:
            return "slate" in self._plan.heads
        is_due = self._plan.teaches(seen.number, self._plan.learn_slate_every)
        return is_due and bool(seen.clicked.any()) and not seen.clicked.all()

    def _wants_pool(self, seen: Seen, *, measured: bool) -> bool:
        plan, number = self._plan, seen.number
        if measured:
            is_due = number % plan.pool_every == 0
        else:
            is_due = plan.teaches(number, plan.learn_pool_every)
        return is_due and "pool" in plan.heads and bool(seen.clicked.any())

    def _wants_earlier(self, seen: Seen) -> bool:
        """Return whether a list is measured as it stood before, too, by a model of that moment."""
        plan = self._plan
        if self._main.evaluator is None:
            return False
        is_due = seen.number % (plan.pool_every * plan.earlier_every) == 0
        measured = seen.at - EARLIER_S >= plan.start
        return is_due and measured and self._wants_pool(seen, measured=True)

    def fit(self, until: float) -> ModelBundle:
        """Return the bundle of what happened before `until`, rankers included."""
        examples = {head: self._collect(head, until) for head in HEADS}
        bundle, eyes = self._take_bundle(until), self._places.learn(until)
        plan, reads = self._plan, self._collect_reads(until)
        return with_rankers(bundle, examples, plan.training, plan.threads, eyes, reads)

    def examples(self, head: str, until: float, start: float = -np.inf) -> Examples:
        """Return the examples of a head seen so far, from `start` to `until`."""
        return self._examples[head].between(start, until)

    def _start_period_if_due(self, now: float, trainer: Executor | None) -> None:
        if not self._fixed and (self._main.view is None or now >= self._next):
            self._start_period(now, trainer)

    def _start_period(self, now: float, trainer: Executor | None) -> None:
        plan = self._plan
        boundary = self._next
        while self._next <= now:
            boundary, self._period = self._next, self._period + 1
        until = min(boundary, now)
        self._main.view = build_view(self._pool, self._take_bundle(until))
        evaluator = self._main.evaluator
        if evaluator is None and trainer is not None and self._next <= plan.end:
            self._ahead = self._next, trainer.submit(self._fit_bundle, self._next)
        if evaluator is not None:
            assert trainer is not None  # noqa: S101 - `evaluate` gives one
            evaluator.flush()
            if self._next > plan.start:
                examples = {head: self._collect(head, until) for head in plan.heads}
                known = plan.training, plan.threads, self._places.learn(until)
                reads = self._collect_reads(until)
                evaluator.use_rankers(
                    {
                        h: trainer.submit(fit_one, examples[h], h, *known, reads.get(h))
                        for h in plan.heads
                    }
                )

    def _collect(self, head: str, until: float) -> Examples:
        store = self._examples.get(head)
        return ExampleStore(0.0).collect(until) if store is None else store.collect(until)

    def _collect_reads(self, until: float) -> dict[str, ReadExamples]:
        """Return the clicks of each head whose dwell was known before `until`."""
        if not self._clicks:
            return {}
        config = self._plan.training
        start = until - config.ranker_days * DAY_S
        reads = SatisfiedReads(self._log, start, until, config.satisfied_dwell_s)
        return {head: store.collect(until, reads) for head, store in self._clicks.items()}

    def _take_bundle(self, until: float) -> ModelBundle:
        """Return the bundle of a moment, which may have been fitted ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == until:
            return ahead[1].result()
        return self._fit_bundle(until)

    def _fit_bundle(self, until: float) -> ModelBundle:
        plan = self._plan
        fit = partial(
            fit_bundle,
            self._log,
            until,
            plan.training,
            embeddings=self._embeddings,
            threads=plan.threads,
            most_engagements=plan.most_engagements if until < plan.start else None,
        )
        return fit() if plan.fit_cache is None else fit_shared(plan.fit_cache, until, fit)

    def _take_slate(
        self, model: _Ranked, view: RankingView, moment: _Moment, found: PoolCandidates | None
    ) -> None:
        """Take an editors' list; what was `found` for the reader serves this list as well."""
        seen, profile, request = moment.seen, moment.profile, moment.request
        reader = None if found is None else found.situation.reader
        votes = None if found is None or seen.page >= 0 else found.situation.votes
        signals = self._replay.signals
        features = build_features(view, signals, profile, request, seen.shown, reader, votes)
        if model is self._main:
            self._examples["slate"].add(features, seen.clicked, request.now, seen.placed.places)
            self._note_clicks("slate", seen, features, seen.shown, seen.clicked)
        if moment.measured and model.evaluator is not None:
            model.evaluator.add_slate(SlateList(seen, features, len(profile.clicked_rows)))

    def _take_pool(self, model: _Ranked, moment: _Moment, found: PoolCandidates) -> None:
        seen, clicked = moment.seen, np.isin(found.rows, moment.seen.shown[moment.seen.clicked])
        evaluator = model.evaluator if moment.measured else None
        kept, places = None, NO_PLACES
        if model is self._main and self._plan.teaches(seen.number, self._plan.learn_pool_every):
            count, rng = self._plan.negatives, self._rng
            kept, places = choose_examples(found.rows, clicked, seen, count, rng)
        if evaluator is None and (kept is None or not is_choice(clicked)):
            return
        entry = build_pool_list(seen, found, self._plan.ranking)
        if kept is not None:
            features = entry.features[kept]
            self._examples["pool"].add(features, clicked[kept], moment.request.now, places)
            self._note_clicks("pool", seen, entry.features, found.rows, clicked)
        if evaluator is not None:
            evaluator.add_pool(entry)

    def _note_clicks(
        self, head: str, seen: Seen, features: Matrix, rows: Rows, clicked: Flags
    ) -> None:
        """Keep the features of clicked articles, for when their dwell is known."""
        store = self._clicks.get(head)
        if store is not None:
            store.add(features[clicked], rows[clicked], seen.user, seen.at)
