"""The gate: is a candidate model as good as the live one on what neither was trained on?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.config import RankingConfig
from feed.models.bundle import ModelBundle
from feed.models.ranker import LinearRanker
from feed.offline.event_log import EventLog
from feed.offline.metrics import Interval, bootstrap_mean, ndcg_at, sort_lists
from feed.offline.training import Window
from feed.offline.walk import PoolList, Rankers, SlateList, Walk, WalkPlan

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MAX_LISTS = 3000
"""Lists that decide; of a longer slice every n-th is taken."""
FEWEST_LISTS = 30
"""With fewer lists nothing is decided and the candidate passes, marked as unmeasured."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found. `difference` is candidate less live in pool nDCG@10.

    `passed` unless the candidate is worse by more than `margin`, or worse for certain (the
    whole interval of the difference below zero).
    """

    passed: bool
    reason: str
    candidate: Interval
    live: Interval
    difference: Interval
    live_version: str
    margin: float
    window: Window

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict for the manifest: all numbers, and `verdict` as one line."""
        word = "passed" if self.passed else "refused"
        numbers = f"nDCG@10 {self.candidate.mean:.4f} against {self.live.mean:.4f}"
        line = f"{word}: {self.reason}" + (f" ({numbers})" if self.difference.n else "")
        return {
            "verdict": line,
            "passed": self.passed,
            "reason": self.reason,
            "candidate": _known(self.candidate),
            "live": _known(self.live),
            "difference": _known(self.difference),
            "live_version": self.live_version,
            "margin": self.margin,
            "window": asdict(self.window),
        }


def _known(interval: Interval) -> dict[str, Any]:
    return {k: v if np.isfinite(v) else None for k, v in asdict(interval).items()}


def judge(
    log: EventLog,
    candidate: ModelBundle,
    live: ModelBundle,
    window: Window,
    margin: float,
    ranking: RankingConfig,
    *,
    embeddings: Matrix | None = None,
) -> Verdict:
    """Return the gate's verdict.

    Both models order the same pool lists of the window, as the feed would, before the factors
    that are not learnt. A live model without a learned ranker (or none at all: "none") is
    judged by the day-one weights.

    Args:
        log: the log, with events before the window too.
        candidate: trained on nothing of the window.
        live: the model in service; `empty_bundle()` if there is none.
        window: the slice that decides.
        margin: how much worse in nDCG@10 the candidate may be.
        ranking: ranking parameters.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
    """
    theirs, users = measure(log, live, window, ranking, embeddings)
    ours, _ = measure(log, candidate, window, ranking, embeddings)
    difference = bootstrap_mean(ours - theirs, users)
    return Verdict(
        *_decide(difference, margin),
        candidate=bootstrap_mean(ours, users),
        live=bootstrap_mean(theirs, users),
        difference=difference,
        live_version=live.version,
        margin=margin,
        window=window,
    )


def _decide(difference: Interval, margin: float) -> tuple[bool, str]:
    if difference.n < FEWEST_LISTS:
        return True, f"only {difference.n} lists with a click: nothing decided"
    if difference.mean < -margin:
        return False, f"worse than the live model by more than the margin of {margin:g}"
    if difference.high < 0:
        return False, "worse than the live model for certain"
    if difference.low >= -margin:
        return True, "not worse than the live model"
    return True, "no worse than the live model as far as these lists can tell"


def measure(
    log: EventLog,
    bundle: ModelBundle,
    window: Window,
    ranking: RankingConfig,
    embeddings: Matrix | None = None,
) -> tuple[Floats, Integers]:
    """Return pool nDCG@10 of a model per list of a window, and whose list it is."""
    span = log.impressions.between(window.start, window.end)
    plan = WalkPlan(
        start=window.start,
        end=window.end,
        pool_every=max(1, -(-len(span) // MAX_LISTS)),
        learn_pool_every=max(1, len(log.impressions)),
        heads=("pool",),
        ranking=ranking,
    )
    book = _GateBook(bundle)
    walk = Walk(log, plan, embeddings, book)
    walk.use(bundle)
    with ThreadPoolExecutor(1) as trainer:
        for impression in span:
            walk.take(impression, trainer)
    users = log.impressions.users[np.array(book.impressions, np.int64)]
    return np.array(book.values, np.float64), users


class _GateBook:
    """Scores each list at once with one model and keeps a number per list."""

    def __init__(self, bundle: ModelBundle) -> None:
        self._ranker = bundle.ranker or LinearRanker()
        self.impressions: list[int] = []
        self.values: list[float] = []

    def add_pool(self, entry: PoolList) -> None:
        scores = self._ranker.score(entry.scores.features)
        sizes, wanted = [len(scores)], [float(len(entry.wanted))]
        self.values.append(float(ndcg_at(sort_lists(scores, entry.clicked, sizes, wanted), 10)[0]))
        self.impressions.append(entry.impression)

    def add_slate(self, entry: SlateList) -> None:
        """Slates do not decide."""

    def use_rankers(self, rankers: Rankers) -> None:
        """The model is given."""

    def flush(self) -> None:
        """Nothing waits."""
