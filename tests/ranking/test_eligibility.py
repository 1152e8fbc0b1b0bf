import numpy as np

from feed.config import RankingConfig
from feed.features.request_context import RequestContext
from feed.ranking.eligibility import FEWEST, find_eligible, may_be_pinned
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
        world, profile, 55.0, np.array([8, 9]), page_row=13, section=-1, languages=(german,)
    )
    pool, dropped = world.pool, found.dropped
    old = (pool.published_at < NOW - 55 * HOUR).sum()
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


def test_an_article_stands_in_its_other_sections_but_only_its_own_can_mute_it(world):
    sport, news = world.pool.sections.rows(["sport", "news"]).tolist()
    guest = int(np.flatnonzero(world.pool.section == news)[0])
    world.pool.also_in[sport] = np.array([guest])
    in_sport = eligible(world, section=sport)
    assert set(in_sport.rows.tolist()) == {guest, *np.flatnonzero(world.pool.section == sport)}
    assert guest in eligible(world, section=news).rows
    no_sport = world.reader(preferences=world.prefer(muted_sections=["sport"]))
    no_news = world.reader(preferences=world.prefer(muted_sections=["news"]))
    assert guest in eligible(world, no_sport).rows
    assert guest not in eligible(world, no_news).rows
    asked = RequestContext(now=NOW, section=sport)
    assert may_be_pinned(world.pool, np.array([guest]), asked, no_sport).all()
    assert not may_be_pinned(world.pool, np.array([guest]), asked, no_news).any()


def test_the_age_limit_is_doubled_until_ten_articles_may_be_shown(world):
    """The world's articles are half an hour apart: 3 hours hold 6 of them, 6 hours 12."""
    found = eligible(world, max_age_hours=3.0)
    assert found.window_hours == 6.0
    assert found.count == (world.pool.published_at >= NOW - 6 * HOUR).sum() >= FEWEST
    assert found.dropped["too_old"] == world.pool.size - found.count


def test_a_limit_that_leaves_ten_articles_holds(world):
    world.change(range(10), published_at=NOW)
    world.change(range(10, world.pool.size), published_at=NOW - 80 * HOUR)
    assert eligible(world).count == 10
    assert eligible(world).window_hours is None
    assert eligible(world, world.reader([3])).window_hours == 144.0


def test_every_other_rule_holds_for_older_articles_too(world):
    world.change(range(world.pool.size), published_at=NOW - 100 * HOUR)
    world.change([5], published_at=NOW - 100 * 24 * HOUR)
    sport = world.pool.sections.row("sport")
    in_sport = np.flatnonzero(world.pool.section == sport)
    world.change(in_sport[4:], live=False)
    profile = world.reader([int(in_sport[0])], hidden_rows=in_sport[1:2])
    found = eligible(world, profile, section=sport)
    assert found.rows.tolist() == in_sport[2:4].tolist()
    assert found.window_hours == 144.0
    muted = world.reader(preferences=world.prefer(muted_sections=["sport"]))
    assert eligible(world, muted, section=sport).count == 0
    assert eligible(world, muted, section=sport).window_hours is None


def test_a_site_at_rest_shows_whatever_is_left(world):
    world.change(range(world.pool.size), live=False, published_at=NOW - 100 * HOUR)
    world.change([1], live=True, published_at=NOW - 400 * 24 * HOUR)
    assert eligible(world).rows.tolist() == [1]
    assert eligible(world, max_age_hours=0.0).rows.tolist() == [1]


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
