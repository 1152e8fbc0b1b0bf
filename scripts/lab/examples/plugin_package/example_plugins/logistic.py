"""A ranker: logistic regression on standardised features, kept as plain arrays.

Any model with `fit` and `predict` can take its place. The package beside this one keeps a model of
scikit-learn as ONNX, whose file holds numbers and no code.
"""

from __future__ import annotations

import io

import numpy as np

from feed.plugins import Floats, Matrix, PluginExamples

STEPS = 12
RIDGE = 1.0


class FittedLogistic:
    """Weights of standardised features; what is not known counts as the mean."""

    def __init__(self, mean: Floats, spread: Floats, weights: Floats) -> None:
        self.mean, self.spread, self.weights = mean, spread, weights

    def margin(self, features: Matrix) -> Floats:
        """Return log-odds, f64 [k]."""
        return design(features, self.mean, self.spread) @ self.weights

    def save(self) -> bytes:
        """Return the three arrays as an npz file."""
        file = io.BytesIO()
        np.savez(file, mean=self.mean, spread=self.spread, weights=self.weights)
        return file.getvalue()


class LogisticRanker:
    """Learns by Newton's method with an L2 penalty."""

    name = "logistic"

    def fit(self, examples: PluginExamples) -> FittedLogistic | None:
        """Return the weights under which the clicks are most likely."""
        features = examples.features.astype(np.float64)
        known = ~np.isnan(features)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, features, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, features - mean, 0.0) ** 2).sum(axis=0) / count)
        spread[spread < 1e-6] = np.inf  # a feature that never differs says nothing
        x = design(examples.features, mean, spread)
        weights = np.zeros(x.shape[1])
        penalty = RIDGE * np.eye(len(weights))
        for _ in range(STEPS):
            chance = 1.0 / (1.0 + np.exp(-np.clip(x @ weights, -30.0, 30.0)))
            slope = x.T @ (examples.clicked - chance) - RIDGE * weights
            bend = (x * (chance * (1.0 - chance))[:, None]).T @ x + penalty
            weights += np.linalg.solve(bend, slope)
        return FittedLogistic(mean, spread, weights)

    def load(self, data: bytes) -> FittedLogistic:
        """Return what `save` wrote."""
        arrays = np.load(io.BytesIO(data), allow_pickle=False)
        return FittedLogistic(arrays["mean"], arrays["spread"], arrays["weights"])


def design(features: Matrix, mean: Floats, spread: Floats) -> Floats:
    """Return standardised features with a column of ones, f64 [k, F + 1]."""
    x = np.nan_to_num((features.astype(np.float64) - mean) / spread)
    return np.column_stack([x, np.ones(len(x))])
