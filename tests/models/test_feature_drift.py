"""The bins of features, and the population stability index, against sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from feed.models.feature_drift import (
    MOVED,
    SHIFTED,
    FeatureBins,
    bin_features,
    bins_from_json,
    stability_index,
)
from feed.models.schema import FEATURES

BINS = FeatureBins(edges=(1.0, 2.0), shares=(0.5, 0.3, 0.1), unknown=0.1, rows=1000)


def test_the_index_is_the_sum_by_hand() -> None:
    """400 values in the first bin, 300 in each other, none unknown; half a value is added."""
    values = np.array([0.5] * 400 + [1.5] * 300 + [2.5] * 300)
    p = [(500.5) / 1002, (300.5) / 1002, (100.5) / 1002, (100.5) / 1002]
    q = [(400.5) / 1002, (300.5) / 1002, (300.5) / 1002, (0.5) / 1002]
    by_hand = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert stability_index(BINS, values) == pytest.approx(by_hand, rel=1e-12)
    assert by_hand > SHIFTED


def test_equal_shares_give_nothing_and_a_value_on_an_edge_lies_below_it() -> None:
    values = np.array([1.0] * 50 + [2.0] * 30 + [9.0] * 10 + [np.nan] * 10)
    assert stability_index(BINS, values) < 0.01


def test_bins_lie_between_the_deciles_of_what_was_known() -> None:
    rng = np.random.default_rng(1)
    features = np.full((1000, len(FEATURES)), np.nan, np.float32)
    features[:, 0] = np.arange(1000)
    features[:, 1] = rng.random(1000) < 0.2
    features[:600, 2] = 7.0
    bins = bin_features(features)
    first, flag, known, never = (bins[FEATURES[at].name] for at in range(4))
    assert first.edges == tuple(float(100 * n - 1) for n in range(1, 10))
    assert first.shares == pytest.approx((0.1,) * 10)
    assert sum(flag.shares) == pytest.approx(1.0)
    assert 0.15 < flag.shares[1] < 0.25, "a flag keeps both its values apart"
    assert (known.unknown, sum(known.shares)) == pytest.approx((0.4, 0.6))
    assert (never.edges, never.shares, never.unknown) == ((), (0.0,), 1.0)
    for found in bins.values():
        assert bins_from_json(found.to_json()) == found


def test_values_like_those_of_training_lie_below_the_first_mark_and_others_above() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(5000, len(FEATURES))).astype(np.float32)
    bins = bin_features(features)[FEATURES[0].name]
    assert stability_index(bins, rng.normal(size=2000)) < MOVED
    assert stability_index(bins, rng.normal(loc=1.0, size=2000)) > SHIFTED


def test_no_examples_give_no_bins_and_broken_bins_are_refused() -> None:
    assert bin_features(np.zeros((0, 0), np.float32)) == {}
    with pytest.raises(ValueError, match="one more share"):
        bins_from_json({"edges": [1], "shares": [1], "unknown": 0, "rows": 1})
