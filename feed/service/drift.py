"""Drift: what the ranker sees in the requests of now against what it learnt from."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from feed.arrays import Matrix, Rows
from feed.config import DAY_S
from feed.domain import InvalidInputError, Mode, parse_time
from feed.experiments.design.resolution import Resolution
from feed.models.feature_drift import (
    SHIFTED_WORD,
    UNCLEAR,
    FeatureBins,
    bins_from_json,
    chance_index,
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
FEWEST_REQUESTS = 50
"""With fewer, no verdict is given."""
FEWEST_DAYS = 3.0
"""A model that learnt from fewer days does not know what is usual at every hour."""
CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """How far one feature is off.

    Attributes:
        name: Of the feature.
        group: That it belongs to.
        text: What it is.
        index: Its population stability index.
        chance: What the index would be on average if nothing had changed.
        word: stable, moved or shifted; unclear if there is too little to tell.
    """

    name: str
    group: str
    text: str
    index: float
    chance: float
    word: str


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Drift of every feature that the live model knows the distribution of, the greatest first."""

    requests: int
    rows: int
    features: tuple[FeatureDrift, ...]
    doubt: str = ""
    """Why there is too little to tell; empty if there is enough."""

    @property
    def sentence(self) -> str:
        """What it means and what to do."""
        if not self.features:
            return "The live model does not say what it learnt from: train a new one."
        if self.doubt:
            return self.doubt
        shifted = [f.name for f in self.features if f.word == SHIFTED_WORD and f.group != CONTEXT]
        if not shifted:
            return "The ranker sees values like those it learnt from. There is nothing to do."
        names = ", ".join(shifted[:5])
        more = f" and {len(shifted) - 5} more" if len(shifted) > 5 else ""
        return (
            f"The ranker sees other values than it learnt from in {names}{more}. Train a new model;"
            " if that does not help, look at what these features are computed from."
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        features = [asdict(one) for one in self.features]
        return {
            "requests": self.requests,
            "rows": self.rows,
            "verdict": self.sentence,
            "features": features,
        }


def known_bins(manifest: Mapping[str, Any]) -> dict[str, FeatureBins]:
    """Return the bins that a model's manifest holds; none for a model of an earlier version."""
    try:
        return {name: bins_from_json(one) for name, one in manifest["feature_bins"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def compare_features(
    bins: Mapping[str, FeatureBins], features: Matrix, independent: int, *, is_enough: bool = True
) -> list[FeatureDrift]:
    """Return the drift of every feature, the greatest first.

    Args:
        bins: Of training, by feature.
        features: f32 [n, len(FEATURES)], NaN is unknown.
        independent: How many of the rows are independent of each other. The rows of one request
            share its reader, and those of one article its readers.
        is_enough: Whether there is enough to give a verdict.
    """
    found = []
    for one, column in zip(FEATURES, features.astype(np.float64).T, strict=True):
        if one.name in bins:
            index = stability_index(bins[one.name], column, independent)
            chance = chance_index(bins[one.name], independent, bins[one.name].rows // CANDIDATES)
            word = chance.judge(index) if is_enough else UNCLEAR
            found.append(FeatureDrift(one.name, one.group, one.doc, index, chance.mean, word))
    return sorted(found, key=lambda drift: -drift.index)


def doubt_of(requests: int, manifest: Mapping[str, Any]) -> str:
    """Return why nothing can be said about drift; empty if there is enough to tell.

    Args:
        requests: How many were looked at.
        manifest: Of the live model.
    """
    if requests < FEWEST_REQUESTS:
        return (
            f"Too few requests to tell: there were {requests} in the last 24 hours, and a verdict"
            f" needs {FEWEST_REQUESTS}."
        )
    days = _days_learnt(manifest)
    if days is not None and days < FEWEST_DAYS:
        return (
            f"Too early to tell: the model learnt from {24 * days:.0f} hours, so it does not know"
            f" what is usual at every hour. A verdict needs {FEWEST_DAYS:.0f} days."
        )
    return ""


def _days_learnt(manifest: Mapping[str, Any]) -> float | None:
    """Return how many days a model learnt from; None if that is not known."""
    try:
        start, end = (parse_time("window", str(text)) for text in manifest["window"])
    except (KeyError, TypeError, ValueError, InvalidInputError):
        return None
    return (end - start) / DAY_S


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
            parts, rows = self._features(snapshot)
        doubt = doubt_of(len(parts), snapshot.view.bundle.manifest)
        features = np.concatenate([_nothing(), *parts])
        independent = min(len(parts), len(np.unique(np.concatenate([[0], *rows]))))
        found = compare_features(bins, features, independent, is_enough=not doubt)
        return DriftReport(len(parts), len(features), tuple(found), doubt)

    def _features(self, snapshot: LiveSnapshot) -> tuple[list[Matrix], list[Rows]]:
        """Return for each request the features of some candidates, and which articles they are."""
        parts, articles = list[Matrix](), list[Rows]()
        for seed, _, request in self._replay.each():
            if request.query.mode is not Mode.PERSONALIZED:
                continue
            with self._turn:
                found, rows = candidate_features(request, snapshot, np.random.default_rng(seed))
            if len(found):
                parts.append(found)
                articles.append(rows)
        return parts, articles


def candidate_features(
    request: FeedRequest, snapshot: LiveSnapshot, rng: np.random.Generator
) -> tuple[Matrix, Rows]:
    """Return the features of some candidates of a request, f32 [k, len(FEATURES)], and the rows."""
    config = snapshot.ranking.config
    side = Resolution({}, config)
    context = prepare_context(side, Mode.PERSONALIZED, request, snapshot, rng)
    situation = build_situation(context, config)
    rows = generate_candidates(context, situation, config).rows
    features = build_candidate_features(context, situation, rows, config)
    if len(rows) <= CANDIDATES:
        return features, rows
    kept = rng.choice(len(rows), CANDIDATES, replace=False)
    return features[kept], rows[kept]


def _nothing() -> Matrix:
    return np.zeros((0, len(FEATURES)), np.float32)
