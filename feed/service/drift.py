"""Drift: what the ranker sees in the requests of now against what it learnt from."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from feed.arrays import Matrix
from feed.domain import Mode
from feed.experiments.design.resolution import Resolution
from feed.models.feature_drift import (
    MOVED,
    SHIFTED,
    FeatureBins,
    bins_from_json,
    stability_index,
)
from feed.models.schema import FEATURES
from feed.ranking.candidates import generate_candidates
from feed.ranking.context import build_situation
from feed.ranking.scoring import build_candidate_features
from feed.service.ranked import FeedRequest, prepare_context
from feed.service.request_replay import RequestReplay
from feed.service.snapshot import LiveSnapshot

CANDIDATES = 20
"""Candidates of a request that count, drawn by chance: as many as training takes of a feed."""
FEWEST_REQUESTS = 20
"""With fewer, the index mostly shows chance."""
CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """How far one feature is off: its population stability index, and a word for it."""

    name: str
    group: str
    text: str
    index: float

    @property
    def word(self) -> str:
        """What the customary marks call it."""
        if self.index < MOVED:
            return "stable"
        return "moved" if self.index < SHIFTED else "shifted"


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Drift of every feature that the live model knows the distribution of, the greatest first."""

    requests: int
    rows: int
    features: tuple[FeatureDrift, ...]

    @property
    def sentence(self) -> str:
        """What it means and what to do."""
        if not self.features:
            return "The live model does not say what it learnt from: train a new one."
        if self.requests < FEWEST_REQUESTS:
            return (
                f"Only {self.requests} requests of the last 24 hours could be looked at: with fewer"
                f" than {FEWEST_REQUESTS} the index mostly shows chance."
            )
        shifted = [f.name for f in self.features if f.word == "shifted" and f.group != CONTEXT]
        if not shifted:
            return "The ranker sees what it learnt from. There is nothing to do."
        names = ", ".join(shifted[:5])
        more = f" and {len(shifted) - 5} more" if len(shifted) > 5 else ""
        return (
            f"The ranker sees other values than it learnt from in {names}{more}. Train a new model;"
            " if that does not help, look at what these features are computed from."
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        features = [asdict(one) | {"word": one.word} for one in self.features]
        return {"requests": self.requests, "rows": self.rows, "features": features}


def known_bins(manifest: Mapping[str, Any]) -> dict[str, FeatureBins]:
    """Return the bins that a model's manifest holds; none for a model of an earlier version."""
    try:
        return {name: bins_from_json(one) for name, one in manifest["feature_bins"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def compare_features(bins: Mapping[str, FeatureBins], features: Matrix) -> list[FeatureDrift]:
    """Return the drift of every feature, the greatest first.

    Args:
        bins: Of training, by feature.
        features: f32 [n, len(FEATURES)], NaN is unknown.
    """
    found = [
        FeatureDrift(one.name, one.group, one.doc, stability_index(bins[one.name], column))
        for one, column in zip(FEATURES, features.astype(np.float64).T, strict=True)
        if one.name in bins
    ]
    return sorted(found, key=lambda drift: -drift.index)


class DriftDesk:
    """Measures drift, one at a time, off the path of requests.

    Args:
        turn: Held while one request is looked at, so that a reader waits for no more than one.
        replay: Goes through the recorded requests.
    """

    def __init__(self, turn: threading.Lock, replay: RequestReplay) -> None:
        self._turn, self._replay = turn, replay

    def measure(self, snapshot: LiveSnapshot) -> DriftReport:
        """Return the drift of the live model's features.

        Raises:
            ConflictError: somebody else is measuring.
            StoreUnavailableError: the store does not answer.
        """
        bins = known_bins(snapshot.view.bundle.manifest)
        if not bins:
            return DriftReport(0, 0, ())
        with self._replay.alone("drift is being measured"):
            parts = self._features(snapshot)
        if not parts:
            return DriftReport(0, 0, tuple(compare_features(bins, _nothing())))
        features = np.concatenate(parts)
        return DriftReport(len(parts), len(features), tuple(compare_features(bins, features)))

    def _features(self, snapshot: LiveSnapshot) -> Sequence[Matrix]:
        parts = list[Matrix]()
        for seed, _, request in self._replay.each():
            if request.query.mode is not Mode.PERSONALIZED:
                continue
            with self._turn:
                found = candidate_features(request, snapshot, np.random.default_rng(seed))
            if len(found):
                parts.append(found)
        return parts


def candidate_features(
    request: FeedRequest, snapshot: LiveSnapshot, rng: np.random.Generator
) -> Matrix:
    """Return the features of some candidates of a request, f32 [k, len(FEATURES)]."""
    config = snapshot.ranking.config
    side = Resolution({}, config)
    context = prepare_context(side, Mode.PERSONALIZED, request, snapshot, rng)
    situation = build_situation(context, config)
    rows = generate_candidates(context, situation, config).rows
    features = build_candidate_features(context, situation, rows, config)
    if len(rows) <= CANDIDATES:
        return features
    kept: Matrix = features[rng.choice(len(rows), CANDIDATES, replace=False)]
    return kept


def _nothing() -> Matrix:
    return np.zeros((0, len(FEATURES)), np.float32)
