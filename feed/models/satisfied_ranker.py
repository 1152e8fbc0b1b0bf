"""SatisfiedRanker: the chance of a click times the chance that the click is a satisfied read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from feed.arrays import Flags, Floats, Matrix
from feed.models.ranker import LightGBMRanker, logistic, margin_lost


class SatisfiedRanker:
    """Orders by `P(click) x P(satisfied read | click)`, each by trees of its own.

    Args:
        clicks: the chance that an article is clicked.
        reads: the chance that a click on it is a satisfied read. Its neutral values are not used:
            a family of features is taken away from both by those of `clicks`.
    """

    def __init__(self, clicks: LightGBMRanker, reads: LightGBMRanker) -> None:
        self.clicks, self.reads = clicks, reads
        self.neutral: Matrix = clicks.neutral

    def margin(self, features: Matrix) -> Floats:
        """Return the log-odds of the product, f64 [k], of features f32 [k, len(FEATURES)]."""
        of_both = self.clicks.margin(features), self.reads.margin(features)
        log_chance = -np.logaddexp(0.0, -of_both[0]) - np.logaddexp(0.0, -of_both[1])
        margin: Floats = log_chance - np.log(-np.expm1(np.minimum(log_chance, -1e-12)))
        return margin

    def score(self, features: Matrix) -> Floats:
        """Return the product of the two chances, f64 [k]."""
        return logistic(self.margin(features))

    def contributions(
        self,
        features: Matrix,
        margin: Floats,
        families: Sequence[tuple[str, ...]],
        asked: Flags | None = None,
    ) -> Floats:
        """Return the margin lost when both chances are found without a family's features."""
        return margin_lost(self, features, margin, families, asked)

    def importance(self) -> dict[str, float]:
        """Return each feature's share, the mean of its shares in both, the greatest first."""
        parts = self.clicks.importance(), self.reads.importance()
        names = {**parts[0], **parts[1]}
        shares = {name: sum(part.get(name, 0.0) for part in parts) / 2.0 for name in names}
        return dict(sorted(shares.items(), key=lambda entry: -entry[1]))

    def with_threads(self, threads: int) -> SatisfiedRanker:
        """Return the same ranker that predicts with more threads, for work offline."""
        return SatisfiedRanker(self.clicks.with_threads(threads), self.reads.with_threads(threads))
