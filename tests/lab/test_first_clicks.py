"""Histories that are cut to a reader's last clicks."""

from types import SimpleNamespace

import numpy as np
import pytest
from lab.ablation.first_clicks import _propose, cut_profile, take_turns

from feed.config import RankingConfig
from feed.features.profile import Profile
from feed.ranking.candidates import TURNS, unite

PROFILE = Profile(
    clicked_rows=np.array([7, 3, 5]),
    clicked_at=np.array([300.0, 200.0, 100.0]),
    engaged_rows=np.array([3, 5, 7, 9]),
    weights=np.array([1.0, 2.0, 3.0, 4.0]),
    fold_in_weights=np.array([0.1, 0.2, 0.3, 0.4]),
    session_rows=np.array([7, 3]),
    session_at=np.array([300.0, 200.0]),
    read_rows=np.array([3, 5, 7]),
    shown_rows=np.array([1, 2, 7]),
    shown_counts=np.array([4.0, 1.0, 2.0]),
    shown_last_at=np.array([90.0, 250.0, 310.0]),
    n_events=4,
)


@pytest.fixture
def make_found():
    """Return the maker of what was found for one list: ten articles, and who proposed which."""

    def make(hot, proposals, barred=()):
        mask = ~np.isin(np.arange(10), barred)
        return SimpleNamespace(
            situation=SimpleNamespace(
                index=SimpleNamespace(hot=np.array(hot)), eligible=SimpleNamespace(mask=mask)
            ),
            context=SimpleNamespace(view=SimpleNamespace(pool=SimpleNamespace(size=10))),
            proposals={name: np.array(rows) for name, rows in proposals.items()},
        )

    return make


def test_only_what_belongs_to_the_last_clicks_is_left():
    cut = cut_profile(PROFILE, 2)
    assert cut.clicked_rows.tolist() == [7, 3]
    assert cut.clicked_at.tolist() == [300.0, 200.0]
    assert dict(zip(cut.engaged_rows.tolist(), cut.weights.tolist(), strict=True)) == {3: 1, 7: 3}
    assert cut.fold_in_weights.tolist() == pytest.approx([0.1, 0.3])
    assert cut.session_rows.tolist() == [7, 3]
    assert dict(zip(cut.shown_rows.tolist(), cut.shown_counts.tolist(), strict=True)) == {
        2: 1,
        7: 2,
    }
    assert cut.n_events == 2


def test_without_clicks_nothing_is_known_but_what_was_read():
    cut = cut_profile(PROFILE, 0)
    assert cut.is_cold
    assert cut.read_rows.tolist() == [3, 5, 7]
    for name in ("engaged_rows", "weights", "session_rows", "shown_rows", "shown_counts"):
        assert not len(getattr(cut, name)), name


def test_more_clicks_than_there_are_cut_nothing_of_them():
    assert cut_profile(PROFILE, 10).clicked_rows.tolist() == [7, 3, 5]


def test_a_source_that_is_tried_adds_or_replaces_proposals(make_found):
    found = make_found(hot=[5, 6, 7], proposals={"popular_30m": [1, 2], "fresh": [3, 4]})
    config = RankingConfig()
    assert set(_propose(found, (), config).tolist()) == {1, 2, 3, 4}
    assert set(_propose(found, ("hot",), config).tolist()) == {1, 2, 3, 4, 5, 6, 7}
    assert set(_propose(found, ("popular_30m",), config).tolist()) == {3, 4, 5, 6, 7}


def test_what_may_not_be_shown_is_not_proposed(make_found):
    found = make_found(hot=[5, 6], proposals={"fresh": [3]}, barred=[5])
    assert set(_propose(found, ("hot",), RankingConfig()).tolist()) == {3, 6}


def test_with_the_usual_turns_the_union_is_that_of_the_feed():
    rng = np.random.default_rng(0)
    names = ("covisitation", "popular_30m", "popular_24h", "fresh")
    proposals = {name: rng.permutation(60)[:40] for name in names}
    usual = unite(proposals, 60, 30).rows
    assert take_turns(proposals, TURNS, 30).tolist() == usual.tolist()
    more = take_turns(proposals, TURNS | {"covisitation": 4.0}, 30)
    assert (
        np.isin(proposals["covisitation"][:20], more).sum()
        > np.isin(proposals["covisitation"][:20], usual).sum()
    )
