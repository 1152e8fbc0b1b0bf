"""Ways to turn past clicks into a score, and what counts for an article without a text."""

import numpy as np
import pytest
from lab.ablation.content_profiles import PROFILES, Seen, attention, mean, measure, nearest, recent

COSINES = np.array([[1.0, 0.0], [0.4, 0.8]])
UNIT = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.6, 0.8]], np.float32)
LIST = Seen(7, np.array([0, 1, 2]), np.array([False, False, True]), np.array([3]))


def test_profiles_weigh_past_clicks():
    assert mean(COSINES).tolist() == pytest.approx([0.5, 0.6])
    assert nearest(COSINES).tolist() == [1.0, 0.8]
    assert recent(COSINES)[1] > mean(COSINES)[1], "the later click is the nearer one"
    assert attention(COSINES, 0.0).tolist() == pytest.approx(mean(COSINES).tolist())
    assert attention(COSINES, 50.0).tolist() == pytest.approx(nearest(COSINES).tolist())
    for name, profile in PROFILES.items():
        assert profile(COSINES).shape == (2,), name


def test_an_article_without_a_text_stands_between_the_others_or_below():
    assert measure([LIST], UNIT, mean).tolist() == [0.5]
    assert measure([LIST], UNIT, mean, no_text=0.0).tolist() == [0.0]


def test_without_a_past_all_candidates_are_equal():
    nobody = Seen(1, LIST.shown, LIST.clicked, np.array([2]))
    assert measure([nobody], UNIT, mean).tolist() == [0.5]
