import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import Article
from feed.features.ids import IdMap
from feed.features.interactions import CLICK
from feed.features.pool import PoolBuilder
from feed.features.profile import EMPTY_PROFILE, build_profile
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.models.bundle import ModelBundle, empty_bundle
from feed.models.feature_matrix import build_features, rank_each
from feed.models.ranker import LinearRanker
from feed.models.schema import FEATURES, GROUPS, columns_of, feature_index, fingerprint
from feed.models.view import build_view
from tests.support.counted import count_click, count_shown

T0 = 1_700_000_000.0
NOW = T0 + 7200.0
COUNT = 12


def make_pool(count: int = COUNT, dimensions: int = 8):
    rng = np.random.default_rng(0)
    builder = PoolBuilder()
    for i in range(count):
        article = Article(
            article_id=f"a{i}",
            title="t",
            published_at=T0 - 600.0 * i,
            section=["sport", "news", ""][i % 3],
        )
        vector = rng.normal(size=dimensions) if dimensions and i != 5 else None
        builder.add(article, vector, T0 - 600.0 * i)
    return builder


def make_profile(now: float = NOW):
    rows = np.array([0, 3, 6])
    return build_profile(
        rows,
        np.full(3, CLICK, np.int8),
        np.array([T0, T0 + 100, T0 + 7000]),
        np.full(3, np.nan),
        now=now,
        config=RankingConfig(),
        shown_rows=np.array([7, 8]),
        shown_counts=np.array([2.0, 1.0]),
        shown_last_at=np.array([T0 + 50, T0 + 7100]),
    )


def make_signals(pool) -> LiveSignals:
    signals = LiveSignals(pool.ids)
    rng = np.random.default_rng(1)
    for i in range(200):
        rows = rng.choice(COUNT, 4, replace=False)
        count_shown(signals, rows, T0 + 30.0 * i, page=int(rows[0]) if i % 2 else -1)
        count_click(
            signals,
            int(rows[1]),
            T0 + 30.0 * i,
            rows[2:3],
            np.array([T0 + 30.0 * i - 60]),
            from_feed=True,
        )
    return signals


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, feature_index()[name]]


def test_every_feature_is_filled_somewhere_and_named_once():
    pool = make_pool().snapshot()
    rng = np.random.default_rng(3)
    bundle = ModelBundle(
        version="v",
        article_ids=pool.ids,
        factors=rng.normal(size=(COUNT, 4)).astype(np.float32),
        readers=np.full(COUNT, 30.0),
        neighbour_index=np.tile(np.array([[1, 2]], np.int32), (COUNT, 1)),
        neighbour_weights=np.ones((COUNT, 2), np.float32),
    )
    context = RequestContext(now=NOW, page_row=2, device=1, subscriber=0)
    view = build_view(pool, bundle)
    features = build_features(view, make_signals(pool), make_profile(), context, np.arange(COUNT))
    assert features.shape == (COUNT, len(FEATURES))
    assert features.dtype == np.float32
    never = [f.name for i, f in enumerate(FEATURES) if np.isnan(features[:, i]).all()]
    assert never == ["source_share", "language_share"]
    assert not np.isinf(features).any()
    assert len({f.name for f in FEATURES}) == len(FEATURES)


def test_without_text_or_model_features_are_unknown_not_wrong():
    pool = make_pool(dimensions=0).snapshot()
    view = build_view(pool, empty_bundle())
    features = build_features(
        view, LiveSignals(pool.ids), EMPTY_PROFILE, RequestContext(now=NOW), np.arange(COUNT)
    )
    assert np.isnan(column(features, "content_long")).all()
    assert np.isnan(column(features, "collaborative")).all()
    assert np.isfinite(LinearRanker().score(features)).all()


def test_the_article_without_a_vector_has_no_cosine():
    pool = make_pool().snapshot()
    view = build_view(pool, empty_bundle())
    context = RequestContext(now=NOW)
    features = build_features(
        view, LiveSignals(pool.ids), make_profile(), context, np.arange(COUNT)
    )
    assert np.isnan(column(features, "content_long")).nonzero()[0].tolist() == [5]


def test_facts_about_the_reader_are_told_apart():
    pool = make_pool().snapshot()
    features = build_features(
        build_view(pool, empty_bundle()),
        make_signals(pool),
        make_profile(),
        RequestContext(now=NOW),
        np.arange(COUNT),
    )
    assert column(features, "is_read").nonzero()[0].tolist() == [0, 3, 6]
    assert column(features, "shown_count").nonzero()[0].tolist() == [7, 8]
    assert column(features, "passed_over")[[7, 8, 9]].tolist() == [2.0, 0.0, 0.0]
    sport = column(features, "section_share")[[1, 9]]
    assert sport[1] > sport[0] == 0.0
    assert np.isnan(column(features, "section_share")[2])


def test_what_is_shown_on_front_pages_is_told_from_what_is_shown_below_articles():
    pool = make_pool().snapshot()
    signals = LiveSignals(pool.ids)
    for page, row in ((-1, 1), (0, 2)):
        for i in range(30):
            count_shown(signals, np.array([row]), NOW - 60.0 * (i + 1), page=page)
    view, context = build_view(pool, empty_bundle()), RequestContext(now=NOW)
    features = build_features(view, signals, EMPTY_PROFILE, context, np.arange(COUNT))
    for name in ("on_page_2h", "on_page_24h"):
        unshown, front, below = column(features, name)[:3]
        assert front < 0.1
        assert unshown == pytest.approx(0.5, abs=0.01)
        assert below > 0.9


def test_a_site_that_lists_nothing_below_articles_says_nothing_about_it():
    pool = make_pool().snapshot()
    signals = LiveSignals(pool.ids)
    count_shown(signals, np.array([1, 1, 2]), NOW - 60.0, page=-1)
    view, context = build_view(pool, empty_bundle()), RequestContext(now=NOW)
    features = build_features(view, signals, EMPTY_PROFILE, context, np.arange(COUNT))
    assert not column(features, "on_page_24h").any()


def test_a_candidate_alone_and_among_others_differs_only_in_comparisons():
    pool = make_pool().snapshot()
    view, signals = build_view(pool, empty_bundle()), make_signals(pool)
    context = RequestContext(now=NOW, page_row=1)
    among = build_features(view, signals, make_profile(), context, np.arange(COUNT))
    alone = build_features(view, signals, make_profile(), context, np.array([4]))
    differing = {
        f.name
        for i, f in enumerate(FEATURES)
        if not np.allclose(among[4, i], alone[0, i], rtol=1e-4, equal_nan=True)
    }
    assert all(
        n.endswith(("_rank", "_gap")) or n in {"candidates", "unseen_share"} for n in differing
    )


def test_permuting_candidates_permutes_features():
    pool = make_pool().snapshot()
    view, signals = build_view(pool, empty_bundle()), make_signals(pool)
    order = np.random.default_rng(5).permutation(COUNT)
    context = RequestContext(now=NOW)
    one = build_features(view, signals, make_profile(), context, np.arange(COUNT))
    other = build_features(view, signals, make_profile(), context, order)
    np.testing.assert_allclose(other, one[order], rtol=1e-4, atol=1e-5)


def test_ranks_share_ties_and_leave_the_unknown_out():
    (ranks,) = rank_each(np.array([[5.0, 1.0, 5.0, np.nan, 9.0]]))
    assert ranks[[0, 1, 2, 4]].tolist() == pytest.approx([0.5, 0.0, 0.5, 1.0])
    assert np.isnan(ranks[3])


def test_the_linear_rankers_groups_add_up_to_its_log_odds():
    pool = make_pool().snapshot()
    features = build_features(
        build_view(pool, empty_bundle()),
        make_signals(pool),
        make_profile(),
        RequestContext(now=NOW),
        np.arange(COUNT),
    )
    ranker = LinearRanker({"clicks_30m": 2.0})
    scores = ranker.score(features)
    margin = ranker.margin(features)
    total = ranker.contributions(features, margin, [(group,) for group in GROUPS]).sum(axis=1)
    offset = np.log(scores / (1 - scores)) - total
    np.testing.assert_allclose(offset, offset[0], atol=1e-9)


def test_groups_cover_every_feature_once():
    columns = np.concatenate([columns_of((group,)) for group in GROUPS])
    assert sorted(columns.tolist()) == list(range(len(FEATURES)))
    assert {f.group for f in FEATURES} == set(GROUPS)
    assert len(fingerprint()) == 16


def test_a_view_grows_with_the_pool_and_equals_one_made_anew():
    builder = make_pool()
    bundle = ModelBundle(
        version="v",
        article_ids=IdMap(builder.ids.ids),
        factors=np.ones((COUNT, 4), np.float32),
        readers=np.full(COUNT, 30.0),
    )
    first = build_view(builder.snapshot(), bundle)
    builder.add(
        Article(article_id="new", title="t", published_at=T0, section="sport"), np.ones(8), T0
    )
    builder.add(Article(article_id="a2", title="t", published_at=T0), -np.ones(8), T0)
    grown, anew = (build_view(builder.snapshot(), bundle, p) for p in (first, None))
    np.testing.assert_array_equal(grown.content, anew.content)
    np.testing.assert_array_equal(grown.factors, anew.factors)
    assert grown.pool.size == COUNT + 1
    assert first.content.shape == (COUNT, 8)
    assert not np.array_equal(first.content[2], grown.content[2])


def rank_by_definition(value, row):
    """The share of the other known values that are lower, equal ones counting half."""
    if np.isnan(value):
        return np.nan
    others = np.count_nonzero(~np.isnan(row)) - 1
    lower, equal = np.count_nonzero(row < value), np.count_nonzero(row == value) - 1
    return (lower + equal / 2) / max(others, 1)


@pytest.mark.parametrize("count", [2, 7, 40, 90])
def test_ranks_are_those_of_the_definition(count):
    rng = np.random.default_rng(count)
    values = rng.integers(0, 5, (6, count)).astype(float)
    values[2, rng.random(count) < 0.5] = np.nan
    expected = [[rank_by_definition(value, row) for value in row] for row in values]
    np.testing.assert_allclose(rank_each(values), expected)


def test_an_only_value_stands_in_the_middle():
    assert rank_each(np.array([[3.0], [np.nan]]))[0] == [0.5]
