"""The methods that are compared: the learned rankers and the simple baselines."""

from __future__ import annotations

import numpy as np

from feed.arrays import Floats, Matrix
from feed.models.ranker import LearnedRanker, LinearRanker
from feed.models.schema import feature_index

MODEL = "model"
SERVED = "model as served"
DAY_ONE = "day-one weights"
RANDOM = "random"

SIGNALS: dict[str, tuple[str, float]] = {
    "newest": ("age_seen", -1.0),
    "clicks, half-life 30 min": ("clicks_30m", 1.0),
    "clicks, half-life 2 h": ("clicks_2h", 1.0),
    "clicks, half-life 6 h": ("clicks_6h", 1.0),
    "clicks, half-life 24 h": ("clicks_24h", 1.0),
    "content cosine": ("content_long", 1.0),
    "co-visitation": ("covisit", 1.0),
    "ALS alone": ("collaborative", 1.0),
}
"""Baselines: the feature that each is, and its sign. They see what the model sees, no more."""

CLICKS_BY_AGE = "clicks, half-life 30 min / (age in h + 1)"
"""The strongest simple rival. Half-life, exponent (1) and offset were chosen on EB-NeRD's training
week among the half-lives that are counted."""


def score_all(
    features: Matrix, ranker: LearnedRanker | None, rng: np.random.Generator | None
) -> dict[str, Floats]:
    """Return the scores of every method, f64 [k] each.

    A signal that is not known of a candidate counts as 0 there: no clicks, no likeness.

    Without a learned ranker the model is the day-one weights. A signal that is known for no
    candidate at all (content without any text) is left out. So is chance without an `rng`.
    """
    linear = LinearRanker().score(features)
    scores = {MODEL: linear if ranker is None else ranker.margin(features), DAY_ONE: linear}
    for name, (feature, sign) in SIGNALS.items():
        column = features[:, feature_index()[feature]]
        if not np.isnan(column).all():
            scores[name] = sign * np.nan_to_num(column.astype(np.float64))
    scores[CLICKS_BY_AGE] = clicks_by_age(features)
    if rng is not None:
        scores[RANDOM] = rng.random(len(features))
    return scores


def clicks_by_age(features: Matrix) -> Floats:
    """Return the score of `CLICKS_BY_AGE`, f64 [k].

    It is the share of the site's clicks over 1 + hours since the article first came, as Hacker
    News orders its front page but with clicks that decay.
    """
    clicks = features[:, feature_index()["clicks_30m"]].astype(np.float64)
    ages = features[:, feature_index()["age_seen"]].astype(np.float64)
    return np.nan_to_num(np.expm1(clicks) / np.exp(ages))
