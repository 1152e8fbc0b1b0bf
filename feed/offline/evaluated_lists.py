"""Lists as an evaluation gets them from a walk over the log."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.config import RankingConfig
from feed.models.ranker import LearnedRanker
from feed.offline.event_log import Seen
from feed.offline.pool_protocol import PoolCandidates
from feed.ranking.scoring import build_candidate_features, find_factors

Rankers = dict[str, Future[LearnedRanker | None]]


@dataclass(frozen=True, slots=True)
class SlateList:
    """One list that editors showed, with features f32 [k, F] and the reader's clicks so far."""

    seen: Seen
    features: Matrix
    reader_clicks: int


@dataclass(frozen=True, slots=True)
class PoolList:
    """One list of candidates from the pool, and the clicked articles `wanted`.

    `features` f32 [k, F]; `factors` f64 [k] are what multiplies a ranker's score. `earlier` says
    that it is the list as it would have stood `EARLIER_S` before its reader saw it; `seen.at` is
    that moment.
    """

    seen: Seen
    found: PoolCandidates
    features: Matrix
    factors: Floats
    clicked: Flags
    wanted: Rows
    reader_clicks: int
    earlier: bool = False


def build_pool_list(seen: Seen, found: PoolCandidates, config: RankingConfig) -> PoolList:
    """Return what was found for a reader as a list, with the features of every candidate."""
    context, rows, wanted = found.context, found.rows, seen.shown[seen.clicked]
    return PoolList(
        seen=seen,
        found=found,
        features=build_candidate_features(context, found.situation, rows, config),
        factors=find_factors(context, rows, config).product,
        clicked=np.isin(rows, wanted),
        wanted=wanted,
        reader_clicks=len(context.profile.clicked_rows),
    )


class Evaluator(Protocol):
    """Scores the lists of the measured window."""

    def add_slate(self, entry: SlateList) -> None:
        """Take one list of the slate protocol."""
        ...

    def add_pool(self, entry: PoolList) -> None:
        """Take one list of the pool protocol; earlier ones only where the plan asks for them."""
        ...

    def use_rankers(self, rankers: Rankers) -> None:
        """Score what is added from now on with these, once they are trained."""
        ...

    def flush(self) -> None:
        """Score what waits."""
        ...
