import numpy as np

from feed.config import RankingConfig
from feed.features.request_context import RequestContext
from feed.ranking.eligibility import find_eligible
from feed.ranking.live_index import EXPLORE_DEPTH, build_index

NOW = 1_700_000_000.0  # that of conftest
HOUR = 3600.0
NONE = np.empty(0, np.int64)


def eligible(world, profile=None, max_age_hours=72.0, withdrawn=NONE, **request):
    index = build_index(world.pool, world.signals.counters, NOW)
    config = RankingConfig(max_age_hours=max_age_hours)
    asked = RequestContext(now=NOW, **request)
    return find_eligible(world.pool, index, asked, profile, config, withdrawn)


def test_mask_and_rows_agree_and_rows_are_newest_first(world):
    found = eligible(world, world.reader([3, 4]))
    assert np.array_equal(np.sort(found.rows), np.flatnonzero(found.mask))
    assert (np.diff(world.pool.published_at[found.rows]) <= 0).all()


def test_every_rule_counts_what_it_drops(world):
    world.change([1, 2], expires_at=NOW + 1)
    world.change([10], language=-1)
    german = world.pool.languages.row("de")
    preferences = world.prefer(
        muted_sections=["sport"], muted_sources=["s0"], languages=["en", "de"]
    )
    profile = world.reader([3, 4], hidden_rows=np.array([5, 6, 7]), preferences=preferences)
    found = eligible(
        world, profile, 30.0, np.array([8, 9]), page_row=13, section=-1, languages=(german,)
    )
    pool, dropped = world.pool, found.dropped
    old = (pool.published_at < NOW - 30 * HOUR).sum()
    assert dropped["too_old"] == old
    assert dropped["expired"] == 0
    assert (dropped["withdrawn"], dropped["page"]) == (2, 1)
    assert (dropped["read"], dropped["hidden"]) == (2, 3)
    assert dropped["muted_section"] > 0
    assert dropped["muted_source"] > 0
    assert dropped["other_language"] > 1
    assert sum(dropped.values()) + len(found.rows) == pool.size
    assert (pool.language[found.rows] == german).all()


def test_age_limit_is_inclusive(world):
    world.change([0], published_at=NOW - 72 * HOUR)
    world.change([1], published_at=NOW - 72 * HOUR - 1)
    mask = eligible(world).mask
    assert mask[0]
    assert not mask[1]


def test_index_orders_are_by_clicks_views_and_age(world):
    index = build_index(world.pool, world.signals.counters, NOW)
    counters = world.signals.counters
    for column, order in enumerate(index.popular):
        clicks = counters.clicks(order, NOW)[:, column]
        assert (np.diff(clicks) <= 0).all()
        assert (clicks > 0).all()
    assert (np.diff(index.newest_at) <= 0).all()
    assert len(index.newest) == world.pool.size


def test_underexposed_are_young_and_shown_less_than_usual(world):
    index = build_index(world.pool, world.signals.counters, NOW)
    young = np.flatnonzero(world.pool.published_at > NOW - 24 * HOUR)
    shown = world.signals.counters.impressions(young, NOW)[:, -1]
    rows = index.underexposed
    assert 0 < len(rows) <= EXPLORE_DEPTH
    assert set(rows.tolist()) == set(young[shown <= shown.mean() / 2].tolist())


def test_an_index_of_nothing_is_empty(world):
    world.change(range(world.pool.size), live=False)
    index = build_index(world.pool, world.signals.counters, NOW)
    assert not len(index.newest)
    assert not len(index.underexposed)
    assert not any(len(order) for order in index.popular)
