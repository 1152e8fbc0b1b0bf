"""Rankers: features in, one score per article out, and what each feature group gave to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Protocol

import lightgbm
import numpy as np
import numpy.typing as npt

from feed.domain import BundleError, InvalidInputError
from feed.models.schema import FEATURES, columns_of, feature_index

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


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


INTERCEPT = -6.0
"""Log-odds of an article of which nothing speaks: keeps scores far from 1, where the logistic
function would press the best ones together."""


class LinearRanker:
    """A weighted sum of features through a logistic function: the ranker of day one.

    `INTERCEPT + sum of weight * (feature - neutral)`, in log-odds. Unknown (NaN) features
    contribute nothing. The weights say what they do: see `schema`.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        """Take the documented weights, with some replaced.

        Raises:
            InvalidInputError: a weight's feature does not exist.
        """
        self._weights = np.array([f.weight for f in FEATURES])
        self._neutral = np.array([f.neutral for f in FEATURES])
        for name, weight in (weights or {}).items():
            if name not in feature_index():
                raise InvalidInputError(f"weights.{name}", "is not a feature")
            self._weights[feature_index()[name]] = weight

    def margin(self, features: Matrix) -> Floats:
        """Return the weighted sums, f64 [k]."""
        return np.asarray(INTERCEPT + self._parts(features).sum(axis=1), np.float64)

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
        parts = self._parts(features)
        return np.stack([parts[:, columns_of(f)].sum(axis=1) for f in families], axis=1)

    def _parts(self, features: Matrix) -> Floats:
        parts: Floats = np.nan_to_num(features - self._neutral) * self._weights
        return parts


def default_ranker(weights: Mapping[str, float]) -> LinearRanker:
    """Return the linear ranker with some weights replaced, the same one for the same weights."""
    return _linear(tuple(sorted(weights.items())))


@lru_cache(maxsize=64)
def _linear(weights: tuple[tuple[str, float], ...]) -> LinearRanker:
    return LinearRanker(dict(weights))


class LightGBMRanker:
    """Boosted trees over the feature schema, as LightGBM's own text.

    Source: Ke et al.: LightGBM: A Highly Efficient Gradient Boosting Decision Tree (2017).
    """

    def __init__(self, text: str, neutral: npt.ArrayLike, threads: int = 1) -> None:
        """Load trees.

        Args:
            text: what `Booster.model_to_string` wrote.
            neutral: the value of each feature that says nothing (its median in training),
                f32 [len(FEATURES)]; NaN where absence is usual.
            threads: of prediction; keep 1 where requests are served.

        Raises:
            BundleError: the text is no model, or not one of this schema.
        """
        try:
            self._booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise BundleError("the ranker's file is not a LightGBM model") from error
        if self._booster.feature_name() != [f.name for f in FEATURES]:
            raise BundleError("the ranker was trained on another feature schema")
        self.text = text
        self.neutral: Matrix = np.asarray(neutral, np.float32)
        self._threads = threads

    def score(self, features: Matrix) -> Floats:
        """Return scores in (0, 1), f64 [k]: the logistic of the trees' sum."""
        return logistic(self.margin(features))

    def margin(self, features: Matrix) -> Floats:
        """Return the trees' sum before the logistic, f64 [k]."""
        if not len(features):
            return np.zeros(0)
        margin = self._booster.predict(features, raw_score=True, num_threads=self._threads)
        return np.asarray(margin, np.float64)

    def contributions(
        self,
        features: Matrix,
        margin: Floats,
        families: Sequence[tuple[str, ...]],
        asked: Flags | None = None,
    ) -> Floats:
        """Return the margin lost when a family's features are replaced by neutral values."""
        if asked is None:
            asked = np.ones((len(features), len(families)), np.bool_)
        # An article's copies stand together: they take nearly the same ways through the trees.
        rows, of = np.nonzero(asked)
        taken = _taken_away(tuple(families))[of]
        parts = np.zeros(asked.shape)
        parts[rows, of] = margin[rows] - self.margin(np.where(taken, self.neutral, features[rows]))
        return parts

    def with_threads(self, threads: int) -> LightGBMRanker:
        """Return the same ranker that predicts with more threads, for work offline."""
        return LightGBMRanker(self.text, self.neutral, threads)


@cache
def _taken_away(families: tuple[tuple[str, ...], ...]) -> Flags:
    """Return which features each family holds, bool [families, len(FEATURES)]."""
    return np.array([[feature.group in family for feature in FEATURES] for family in families])


def logistic(margin: Floats) -> Floats:
    """Return log-odds as probabilities."""
    scores: Floats = 1.0 / (1.0 + np.exp(-np.clip(margin, -50.0, 50.0)))
    return scores
