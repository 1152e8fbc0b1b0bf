"""The gate: is a candidate model as good as the live one on what neither was trained on?"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.config import RankingConfig
from feed.domain import format_time
from feed.models.bundle import ModelBundle
from feed.models.ranker import LinearRanker
from feed.models.schema import feature_index
from feed.offline.event_log import EventLog
from feed.offline.metrics import Interval, bootstrap_mean, ndcg_at, sort_lists
from feed.offline.training import Window
from feed.offline.walk import PoolList, Rankers, SlateList, Walk, WalkPlan

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MAX_LISTS = 3000
"""Lists that decide; of a longer slice every n-th is taken."""
FEWEST_LISTS = 50
"""With fewer clicked lists nothing is decided."""
POPULARITY = "clicks, half-life 30 min"
"""What a first model is compared with: it needs no model."""

_POPULARITY_COLUMN = feature_index()["clicks_30m"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Pool nDCG@10 per list, f64 [n], of a model and of popularity; `users` int64 [n]."""

    model: Floats
    popularity: Floats
    users: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate found. `difference` is candidate less other in pool nDCG@10, paired.

    `against` is the live version, or `POPULARITY` where none is live. `better` says that the
    whole interval of the difference lies above zero.
    """

    passed: bool
    reason: str
    candidate: Interval
    other: Interval
    difference: Interval
    against: str
    margin: float
    window: Window

    @property
    def better(self) -> bool:
        """The candidate is better for certain."""
        return self.difference.n > 0 and self.difference.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict for the manifest, JSON-ready; unknown numbers are None."""
        return {
            "verdict": "passed" if self.passed else "refused",
            "reason": self.reason,
            "metric": "pool nDCG@10",
            "candidate": _known(self.candidate),
            "other": _known(self.other),
            "against": self.against,
            "difference": _known(self.difference),
            "better": self.better,
            "margin": self.margin,
            "window": [format_time(self.window.start), format_time(self.window.end)],
        }


def judge(
    log: EventLog,
    candidate: ModelBundle,
    live: ModelBundle | None,
    window: Window,
    margin: float,
    ranking: RankingConfig,
    *,
    embeddings: Matrix | None = None,
    progress: Callable[[float], None] | None = None,
) -> Verdict:
    """Return the gate's verdict.

    Each model orders the pool lists of the window as the feed would: its own candidates, its
    ranker (the day-one weights where it learnt none), the factors that are not learnt. A list's
    two numbers are compared, and readers are drawn for the interval.

    With a live model the candidate passes if the interval of the difference stays above
    `-margin`; too few lists to say so is a refusal: what serves goes on. Without one nothing is
    at risk: the candidate is compared with popularity, and passes unless it is worse than that
    by the margin for certain.

    Args:
        log: the log, with events before the window too.
        candidate: trained on nothing of the window.
        live: the model in service, not trained on the window either; None if there is none.
        window: the slice that decides.
        margin: how much worse in nDCG@10 the candidate may be.
        ranking: ranking parameters.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        progress: called with the share done, 0 to 1.
    """
    models = 1 if live is None else 2

    def told(done: int) -> Callable[[float], None]:
        return lambda share: progress((done + share) / models) if progress else None

    found = measure(log, candidate, window, ranking, embeddings, told(0))
    if live is None:
        other = found.popularity
        difference = bootstrap_mean(found.model - other, found.users)
        passed, reason = _decide_first(difference, margin)
    else:
        other = measure(log, live, window, ranking, embeddings, told(1)).model
        difference = bootstrap_mean(found.model - other, found.users)
        passed, reason = _decide(difference, margin, live.version)
    return Verdict(
        passed=passed,
        reason=reason,
        candidate=bootstrap_mean(found.model, found.users),
        other=bootstrap_mean(other, found.users),
        difference=difference,
        against=POPULARITY if live is None else live.version,
        margin=margin,
        window=window,
    )


def _decide_first(difference: Interval, margin: float) -> tuple[bool, str]:
    if difference.n < FEWEST_LISTS:
        return True, f"only {difference.n} clicked lists to judge by, and no model is live"
    if difference.low > 0:
        return True, f"better than {POPULARITY}; no model is live"
    if difference.high < -margin:
        return False, f"worse than {POPULARITY} by more than {margin:g}"
    return True, f"not shown to be better than {POPULARITY}; no model is live"


def _decide(difference: Interval, margin: float, live_version: str) -> tuple[bool, str]:
    if difference.n < FEWEST_LISTS:
        return False, f"only {difference.n} clicked lists that {live_version} has not learnt from"
    if difference.low > 0:
        return True, f"better than {live_version}"
    if difference.low >= -margin:
        return True, f"not worse than {live_version} by more than {margin:g}"
    certainty = "is" if difference.high < 0 else "may be"
    by = f" by more than {margin:g}" if certainty == "may be" else ""
    return False, f"{certainty} worse than {live_version}{by}"


def measure(
    log: EventLog,
    bundle: ModelBundle,
    window: Window,
    ranking: RankingConfig,
    embeddings: Matrix | None = None,
    progress: Callable[[float], None] | None = None,
) -> Measured:
    """Return how well a model, and popularity, order the clicked lists of a window."""
    span = log.impressions.between(window.start, window.end)
    plan = WalkPlan(
        start=window.start,
        end=window.end,
        pool_every=max(1, -(-len(span) // MAX_LISTS)),
        learn_pool_every=max(1, len(log.impressions)),
        heads=("pool",),
        ranking=ranking,
    )
    book = _GateBook(bundle, ranking)
    if len(span):
        walk = Walk(log, plan, embeddings, book)
        walk.use(bundle)
        with ThreadPoolExecutor(1) as trainer:
            walk.run(window.end, trainer, progress)
    return Measured(
        model=np.array(book.model, np.float64),
        popularity=np.array(book.popularity, np.float64),
        users=np.array(book.users, np.int64),
    )


class _GateBook:
    """Scores each list at once, by one model and by popularity, and keeps a number for each."""

    def __init__(self, bundle: ModelBundle, ranking: RankingConfig) -> None:
        learned = bundle.ranker if ranking.use_ranker else None
        self._ranker = learned or LinearRanker(ranking.weights)
        self.users: list[int] = []
        self.model: list[float] = []
        self.popularity: list[float] = []

    def add_pool(self, entry: PoolList) -> None:
        served = self._ranker.score(entry.scores.features) * entry.scores.final
        clicks = entry.scores.features[:, _POPULARITY_COLUMN]
        self.model.append(_ndcg(served, entry))
        self.popularity.append(_ndcg(clicks, entry))
        self.users.append(entry.seen.user)

    def add_slate(self, entry: SlateList) -> None:
        """Slates do not decide."""

    def use_rankers(self, rankers: Rankers) -> None:
        """The model is given."""

    def flush(self) -> None:
        """Nothing waits."""


def _ndcg(scores: npt.ArrayLike, entry: PoolList) -> float:
    lists = sort_lists(scores, entry.clicked, [len(entry.found.rows)], [float(len(entry.wanted))])
    return float(ndcg_at(lists, 10)[0])


def _known(interval: Interval) -> dict[str, Any]:
    return {k: v if np.isfinite(v) else None for k, v in asdict(interval).items()}
