"""Ways to turn past clicks into a score, and what counts for an article without a text."""

import numpy as np
import pytest
from lab.ablation.content_profiles import (
    PROFILES,
    Axes,
    Seen,
    _reduced,
    attention,
    mean,
    measure,
    nearest,
    recent,
    with_text,
)

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


def test_of_a_list_what_has_a_text_is_put_in_order():
    worded = UNIT.any(axis=1)
    assert with_text(LIST, worded) is None, "nothing that was clicked has a text"
    seen = Seen(7, LIST.shown, np.array([True, False, True]), LIST.past)
    told = with_text(seen, worded)
    assert told is not None
    assert (told.shown.tolist(), told.clicked.tolist()) == ([0, 1], [True, False])
    assert measure([told], UNIT, mean).tolist() == [0.0]
    assert with_text(Seen(7, LIST.shown, seen.clicked, np.array([2])), worded) is None


def test_axes_are_those_of_the_articles_known_before():
    rng = np.random.default_rng(3)
    unit = rng.normal(size=(40, 5)).astype(np.float32) * (9.0, 3.0, 1.0, 0.5, 0.2)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit[7] = 0.0
    known = np.arange(40) < 20
    whole = _reduced(unit, known, Axes(count=2))
    assert whole.shape == (40, 2)
    assert not whole[7].any()
    other = unit.copy()
    other[25:] = unit[24]
    np.testing.assert_array_equal(_reduced(other, known, Axes(count=2))[:20], whole[:20])
    later = _reduced(unit, known, Axes(count=1, first=1))
    np.testing.assert_allclose(np.sign(later[:7, 0]), np.sign(whole[:7, 1]))
    white = _reduced(unit, known, Axes(count=2, flattened=1.0))
    assert np.abs(white[:7, 1]).mean() > np.abs(whole[:7, 1]).mean()
