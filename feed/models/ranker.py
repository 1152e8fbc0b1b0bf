"""Rankers: they turn features into one score per article, with each feature group's share."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Matrix
from feed.domain import BundleError, InvalidInputError
from feed.models.quick_trees import quick_trees
from feed.models.schema import FEATURES, FEWEST_BUILT_IN, columns_of, feature_index

ColumnNumbers = npt.NDArray[np.intp]


class Ranker(Protocol):
    """Scores candidates. Scores are in (0, 1): comparable within one call, higher is better."""

    def margin(self, features: Matrix) -> Floats:
        """Return scores in log-odds, f64 [k], of features f32 [k, len(FEATURES)]."""
        ...

    def score(self, features: Matrix) -> Floats:
        """Return scores in (0, 1), f64 [k]: the logistic of `margin`."""
        ...

    def contributions(
        self,
        features: Matrix,
        margin: Floats,
        families: Sequence[tuple[str, ...]],
        asked: Flags | None = None,
    ) -> Floats:
        """Return what the margin would lose without each family, f64 [k, len(families)].

        Args:
            features: f32 [k, len(FEATURES)].
            margin: their `margin`, f64 [k].
            families: each some of `schema.GROUPS`, taken away together.
            asked: which are wanted, bool [k, len(families)]; others may be left 0.
        """
        ...


class LearnedRanker(Ranker, Protocol):
    """A ranker that was taught by clicks."""

    def importance(self) -> dict[str, float]:
        """Return each feature's share of what was learned, the greatest first, if it is known."""
        ...

    def with_threads(self, threads: int) -> LearnedRanker:
        """Return the same ranker that scores with more threads, for work offline."""
        ...


LIBRARY = "lightgbm"
"""Imported with the first learned ranker, which no worker has."""

INTERCEPT = -6.0
"""Log-odds of an article of which nothing speaks: keeps scores far from 1, where the logistic
function would press the best ones together."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightedSum:
    """`intercept + sum of weight * (feature - neutral)`, in log-odds.

    `weights` and `neutral` are f64 [len(FEATURES)]. Unknown (NaN) features contribute nothing.
    """

    intercept: float
    weights: Floats
    neutral: Floats
    _columns: ColumnNumbers = field(init=False)
    _used: tuple[Floats, Floats] = field(init=False)

    def __post_init__(self) -> None:
        columns = np.flatnonzero(self.weights)
        object.__setattr__(self, "_columns", columns)
        object.__setattr__(self, "_used", (self.weights[columns], self.neutral[columns]))

    def margin(self, features: Matrix) -> Floats:
        """Return the sum of each row of features f32 [k, len(FEATURES)], f64 [k]."""
        weights, neutral = self._used
        parts = features[:, self._columns] - neutral
        np.copyto(parts, 0.0, where=np.isnan(parts))
        return np.asarray(parts @ weights + self.intercept, np.float64)

    def parts(self, features: Matrix) -> Floats:
        """Return what each feature adds to the sum, f64 [k, len(FEATURES)]."""
        parts: Floats = np.nan_to_num(features - self.neutral) * self.weights
        return parts

    def scaled(self, slope: float, intercept: float) -> WeightedSum:
        """Return `slope * sum + intercept`: the same order at another scale."""
        return WeightedSum(slope * self.intercept + intercept, slope * self.weights, self.neutral)


class LinearRanker:
    """A weighted sum of features through a logistic function: the ranker of day one.

    The weights say what they do: see `schema`.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        """Take the documented weights, with some replaced.

        Raises:
            InvalidInputError: a weight's feature does not exist.
        """
        chosen = np.array([f.weight for f in FEATURES])
        for name, weight in (weights or {}).items():
            if name not in feature_index():
                raise InvalidInputError(f"weights.{name}", "is not a feature")
            chosen[feature_index()[name]] = weight
        neutral = np.array([f.neutral for f in FEATURES])
        self.sum = WeightedSum(INTERCEPT, chosen, neutral)

    def margin(self, features: Matrix) -> Floats:
        """Return the weighted sums, f64 [k]."""
        return self.sum.margin(features)

    def score(self, features: Matrix) -> Floats:
        """Return scores in (0, 1), f64 [k]."""
        return logistic(self.margin(features))

    def contributions(
        self,
        features: Matrix,
        margin: Floats,
        families: Sequence[tuple[str, ...]],
        asked: Flags | None = None,
    ) -> Floats:
        """Return the exact part of each family in the log-odds, f64 [k, len(families)]."""
        del margin, asked
        parts = self.sum.parts(features)
        return np.stack([parts[:, columns_of(f)].sum(axis=1) for f in families], axis=1)


def default_ranker(weights: Mapping[str, float]) -> LinearRanker:
    """Return the linear ranker with some weights replaced, the same one for the same weights."""
    return _linear(tuple(sorted(weights.items())))


@lru_cache(maxsize=64)
def _linear(weights: tuple[tuple[str, float], ...]) -> LinearRanker:
    return LinearRanker(dict(weights))


class LightGBMRanker:
    """Boosted trees over the feature schema, as LightGBM's own text, and the sum they start from.

    Trees that were taught before the last features were there know the features before them alone.

    Trees of few clicks learnt what to add to `start`, the day-one weights at a learnt scale.
    Trees of many clicks stand alone, without a start.

    Source: Ke et al.: LightGBM: A Highly Efficient Gradient Boosting Decision Tree (2017).
    """

    def __init__(
        self,
        text: str,
        neutral: npt.ArrayLike,
        start: WeightedSum | None = None,
        threads: int = 1,
    ) -> None:
        """Load trees.

        Args:
            text: what `Booster.model_to_string` wrote.
            neutral: the value of each feature that says nothing (its median in training),
                f32 [features that the trees know]; NaN where absence is usual.
            start: what the trees' sum is added to.
            threads: of prediction; keep 1 where requests are served.

        Raises:
            BundleError: the text is no model, or not one of this schema.
        """
        lightgbm = importlib.import_module(LIBRARY)
        try:
            self._booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise BundleError("the ranker's file is not a LightGBM model") from error
        known = self._booster.feature_name()
        if len(known) < FEWEST_BUILT_IN or known != [f.name for f in FEATURES[: len(known)]]:
            raise BundleError("the ranker was trained on another feature schema")
        self.text = text
        self.neutral: Matrix = np.full(len(FEATURES), np.nan, np.float32)
        self.neutral[: len(known)] = np.asarray(neutral, np.float32)[: len(known)]
        self._known = len(known)
        self.start = start
        self._threads = threads
        self._quick = quick_trees(text) if threads == 1 else None

    def score(self, features: Matrix) -> Floats:
        """Return scores in (0, 1), f64 [k]: the logistic of the margin."""
        return logistic(self.margin(features))

    def margin(self, features: Matrix) -> Floats:
        """Return the sum of start and trees before the logistic, f64 [k]."""
        if not len(features):
            return np.zeros(0)
        margin = self._quick.margin(features) if self._quick else self._predict(features)
        return margin if self.start is None else margin + self.start.margin(features)

    def _predict(self, features: Matrix) -> Floats:
        known = features if self._known == len(FEATURES) else features[:, : self._known]
        trees = self._booster.predict(known, raw_score=True, num_threads=self._threads)
        return np.asarray(trees, np.float64)

    def contributions(
        self,
        features: Matrix,
        margin: Floats,
        families: Sequence[tuple[str, ...]],
        asked: Flags | None = None,
    ) -> Floats:
        """Return the margin lost when a family's features are replaced by neutral values.

        Both the trees and the sum they start from see the replaced values.
        """
        return margin_lost(self, features, margin, families, asked)

    @property
    def trees(self) -> int:
        """How many trees there are."""
        return int(self._booster.num_trees())

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the gain of all splits, the greatest first.

        Features that no tree splits at are left out. The sum that the trees start from, if there
        is one, has no part in it.
        """
        gain = np.asarray(self._booster.feature_importance("gain"), np.float64)
        total = gain.sum() or 1.0
        order = [i for i in np.argsort(-gain, kind="stable").tolist() if gain[i] > 0]
        return {FEATURES[i].name: float(gain[i] / total) for i in order}

    def with_threads(self, threads: int) -> LightGBMRanker:
        """Return the same ranker that predicts with more threads, for work offline."""
        return LightGBMRanker(self.text, self.neutral, self.start, threads)


class _Replaceable(Protocol):
    neutral: Matrix

    def margin(self, features: Matrix) -> Floats: ...


def margin_lost(
    ranker: _Replaceable,
    features: Matrix,
    margin: Floats,
    families: Sequence[tuple[str, ...]],
    asked: Flags | None,
) -> Floats:
    """Return the margin lost when a family's features are replaced by a ranker's neutral values.

    See `Ranker.contributions`.
    """
    if asked is None:
        asked = np.ones((len(features), len(families)), np.bool_)
    # An article's copies stand together: they take nearly the same ways through the trees.
    rows, of = np.nonzero(asked)
    taken = _taken_away(tuple(families))[of]
    parts = np.zeros(asked.shape)
    parts[rows, of] = margin[rows] - ranker.margin(np.where(taken, ranker.neutral, features[rows]))
    return parts


@cache
def _taken_away(families: tuple[tuple[str, ...], ...]) -> Flags:
    """Return which features each family holds, bool [families, len(FEATURES)]."""
    return np.array([[feature.group in family for feature in FEATURES] for family in families])


def logistic(margin: Floats) -> Floats:
    """Return log-odds as probabilities."""
    scores: Floats = 1.0 / (1.0 + np.exp(-np.minimum(np.maximum(margin, -50.0), 50.0)))
    return scores
