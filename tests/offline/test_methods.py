import numpy as np

from feed.models.schema import FEATURES, feature_index
from feed.offline.methods import CLICKS_BY_AGE, clicks_by_age, score_all


def features_of(shares, hours):
    features = np.full((len(shares), len(FEATURES)), np.nan, np.float32)
    features[:, feature_index()["clicks_30m"]] = np.log1p(1e3 * np.array(shares))
    features[:, feature_index()["age_seen"]] = np.log1p(hours)
    return features


def test_the_simple_rival_divides_clicks_by_age():
    features = features_of([0.04, 0.04, 0.02, 0.0], [3.0, 0.0, 1.0, 0.0])
    np.testing.assert_allclose(clicks_by_age(features), [10.0, 40.0, 10.0, 0.0], rtol=1e-5)


def test_what_is_not_known_of_an_article_counts_nothing():
    features = features_of([0.04, np.nan], [np.nan, 1.0])
    assert clicks_by_age(features).tolist() == [0.0, 0.0]


def test_it_is_in_every_table():
    scores = score_all(features_of([0.1, 0.2], [1.0, 9.0]), None, np.random.default_rng(0))
    assert (np.diff(scores[CLICKS_BY_AGE]) < 0).all()
