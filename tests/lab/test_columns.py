"""Further columns of the rankers, made of those that they have."""

import numpy as np
from lab.ablation.columns import GAPS, clicks_over_age, gaps_in_list

from feed.models.schema import FEATURES, feature_index


def features_of(**columns):
    size = len(next(iter(columns.values())))
    features = np.full((size, len(FEATURES)), np.nan, np.float32)
    for name, values in columns.items():
        features[:, feature_index()[name]] = values
    return features


def test_gaps_are_to_the_best_of_the_same_list():
    features = features_of(ctr_2h=[1.0, 3.0, 2.0, -1.0, np.nan])
    gaps = gaps_in_list(features, np.array([2, 3]))
    assert gaps.shape == (5, len(GAPS))
    np.testing.assert_array_equal(gaps[:, GAPS.index("ctr_2h")], [-2.0, 0.0, 0.0, -3.0, np.nan])


def test_what_is_known_of_no_article_of_a_list_stays_unknown():
    gaps = gaps_in_list(features_of(covisit=[np.nan, np.nan, 5.0]), np.array([2, 1]))
    np.testing.assert_array_equal(gaps[:, GAPS.index("covisit")], [np.nan, np.nan, 0.0])


def test_clicks_over_age_rise_with_clicks_and_fall_with_age():
    features = features_of(
        clicks_30m=np.log1p([40.0, 20.0, 40.0, 0.0]), age_seen=np.log1p([0.0, 0.0, 3.0, 0.0])
    )
    column = clicks_over_age(features, np.array([4]))[:, 0]
    np.testing.assert_allclose(column, np.log1p([400.0, 200.0, 100.0, 0.0]), rtol=1e-5)
