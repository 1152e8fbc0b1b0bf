"""Engines that are switched off are unknown to the ranker; all else is left as it was."""

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.models.schema import FEATURES
from feed.ranking.scoring import mute_groups


@pytest.mark.parametrize(
    ("switch", "groups"),
    [
        ({"use_collaborative": False}, {"collaborative"}),
        ({"use_content": False}, {"content", "session_content"}),
        ({}, set()),
    ],
)
def test_an_engine_that_is_off_leaves_its_features_unknown(switch, groups):
    features = np.ones((3, len(FEATURES)), np.float32)
    mute_groups(features, RankingConfig(**switch))
    muted = {f.name for i, f in enumerate(FEATURES) if np.isnan(features[:, i]).all()}
    assert muted == {f.name for f in FEATURES if f.group in groups}
    assert not groups or muted
    assert (features[~np.isnan(features)] == 1).all()
