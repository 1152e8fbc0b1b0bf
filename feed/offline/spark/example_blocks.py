"""The rankers' examples: one pass counts and leaves its state, then blocks of lists are rebuilt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from feed.arrays import Flags, Matrix, Rows
from feed.config import DAY_S
from feed.features.pool import ArticlePool
from feed.features.profile import Profile
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.models.bundle import load_bundle
from feed.models.feature_matrix import build_features
from feed.models.view import RankingView, build_view
from feed.offline.event_log import UNPLACED, Seen
from feed.offline.examination import Examination, PlaceLog
from feed.offline.examples import NO_PLACES, shown_examples
from feed.offline.log_source import parts
from feed.offline.pool_protocol import PoolProtocol
from feed.offline.replay import Replay, build_log_pool
from feed.offline.spark.log_facts import LogFacts
from feed.offline.spark.prepared_log import PreparedLog, PreparedReaders
from feed.offline.spark.process_exchange import from_bytes, to_bytes
from feed.offline.walk_plan import WalkPlan
from feed.ranking.scoring import build_candidate_features


@dataclass(frozen=True, slots=True)
class Example:
    """One list that teaches a head: features f32 [k, F], `clicked` bool [k], and `places`.

    Without places these are all its candidates, of which some are drawn later.
    """

    head: str
    number: int
    at: float
    features: Matrix
    clicked: Flags
    places: Rows = field(default_factory=lambda: NO_PLACES)


class ResumableReplay(Replay):
    """A replay of a prepared log that goes on from its moment in another process."""

    def __init__(self, log: PreparedLog) -> None:
        super().__init__(log, PreparedReaders(log))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_parts": None, "_part": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._parts = parts(self.log, self.now, np.inf)
        self._open_next()


class ListWalk:
    """Passes the lists that teach in time order, as `Walk` does, over a prepared log.

    Args:
        log: the log, with a viewer for every list that teaches.
        facts: of the log.
        plan: of the training.
        periods: when each period began, and where the bundle lies whose factors it sees.
    """

    def __init__(
        self,
        log: PreparedLog,
        facts: LogFacts,
        plan: WalkPlan,
        periods: Sequence[tuple[float, Path]],
    ) -> None:
        self._log, self._plan = log, plan
        self._pool = build_log_pool(log, facts.embeddings)
        self._starts = np.array([at for at, _ in periods])
        self._views = [build_view(self._pool, load_bundle(path)) for _, path in periods]

    def count(self, learn_from: float, blocks: Sequence[int]) -> Iterator[bytes]:
        """Count everything up to the last block, and yield the state at each block's begin.

        Args:
            learn_from: when the lists that teach begin.
            blocks: the number of each block's first list, ascending.
        """
        replay = ResumableReplay(self._log)
        protocol = PoolProtocol(replay, self._plan.ranking)
        replay.start(learn_from)
        waiting = list(blocks)
        for seen in self._lists(blocks[0], None):
            if seen.number == waiting[0]:
                yield to_bytes((replay, protocol), self._shared)
                del waiting[0]
                if not waiting:
                    return
            replay.advance(seen.at)
            profile, request = self._situation(replay, seen)
            if self.teaches_pool(seen):
                protocol.context(self._view_at(seen.at), profile, request)
            read_pairs(replay.signals, profile, request)

    def examples(self, state: bytes, first: int, end: int | None) -> Iterator[Example]:
        """Yield the examples of the lists from `first` to before `end`, from the state there."""
        replay, protocol = from_bytes(state, self._shared)
        for seen in self._lists(first, end):
            replay.advance(seen.at)
            profile, request = self._situation(replay, seen)
            view = self._view_at(seen.at)
            if self.teaches_slate(seen):
                features = build_features(view, replay.signals, profile, request, seen.shown)
                places = seen.placed.places
                yield Example("slate", seen.number, seen.at, features, seen.clicked, places)
            if self.teaches_pool(seen):
                found = protocol.candidates(view, profile, request)
                if len(found.rows):
                    features = build_candidate_features(
                        found.context, found.situation, found.rows, self._plan.ranking
                    )
                    clicked = np.isin(found.rows, seen.shown[seen.clicked])
                    shown = shown_examples(found.rows, clicked, seen)
                    kept, places = shown or (np.arange(len(clicked)), NO_PLACES)
                    yield Example(
                        "pool", seen.number, seen.at, features[kept], clicked[kept], places
                    )

    def examine(self, start: float) -> Examination | None:
        """Return how readily each place is looked at, from all lists since `start`.

        None where the training does not correct for places, or too few clicks tell.
        """
        plan = self._plan
        places = PlaceLog(plan.training.ranker_days * DAY_S)
        for part in parts(self._log, start, plan.start) if plan.training.correct_places else ():
            for seen in part.impressions:
                places.add(seen.placed, seen.clicked, seen.at)
        return places.learn(plan.start)

    def teaches_slate(self, seen: Seen) -> bool:
        """Return whether a list teaches the order of lists."""
        plan = self._plan
        is_choice = bool(seen.clicked.any()) and not seen.clicked.all()
        return is_choice and plan.teaches(seen.number, plan.learn_slate_every)

    def teaches_pool(self, seen: Seen) -> bool:
        """Return whether a list teaches what to choose from the pool."""
        plan = self._plan
        return bool(seen.clicked.any()) and plan.teaches(seen.number, plan.learn_pool_every)

    def _lists(self, first: int, end: int | None) -> Iterator[Seen]:
        """Yield the lists that teach from one number to before another."""
        for part in parts(self._log, self._plan.learn_from, self._plan.start):
            views = part.impressions
            if views.first + len(views) <= first:
                continue
            if end is not None and len(views) and views.first >= end:
                return
            for seen in views:
                is_inside = seen.number >= first and (end is None or seen.number < end)
                if is_inside and (self.teaches_slate(seen) or self.teaches_pool(seen)):
                    knows = self._plan.training.correct_places
                    yield seen if knows else replace(seen, placed=UNPLACED)

    def _situation(self, replay: Replay, seen: Seen) -> tuple[Profile, RequestContext]:
        profile = replay.readers.profile(seen.user, seen.at, self._plan.ranking)
        return profile, replay.context(seen)

    def _view_at(self, now: float) -> RankingView:
        return self._views[int(np.searchsorted(self._starts, now, "right")) - 1]

    @cached_property
    def _shared(self) -> dict[str, object]:
        """What every process makes for itself, so that no state need hold it."""
        shared: dict[str, object] = {"log": self._log, "ids": self._log.articles}
        shared |= {f"pool.{f.name}": getattr(self._pool, f.name) for f in fields(ArticlePool)}
        for number, view in enumerate(self._views):
            for name in ("bundle", "content", "factors", "bundle_rows", "pool_rows"):
                shared[f"view.{number}.{name}"] = getattr(view, name)
        return shared


def read_pairs(signals: LiveSignals, profile: Profile, request: RequestContext) -> None:
    """Read what the features of a list read of pairs.

    Reading puts pairs that wait into their lists, and when that is done decides how they are
    rounded and which neighbours are kept: whoever counts ahead must do it at the same moments.
    """
    signals.covisitation.votes(profile.clicked_rows, profile.clicked_at, request.now)
    if request.page_row >= 0:
        page, at = np.array([request.page_row]), np.array([request.now])
        signals.covisitation.votes(page, at, request.now)
        signals.page_lists.listed(request.page_row, request.now, 1)
