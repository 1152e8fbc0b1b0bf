import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.config import RankingConfig
from feed.editorial.boosts import Boost
from feed.ranking.boosted_rows import build_boosted_rows
from feed.ranking.candidates import (
    PERSONAL_SOURCES,
    SOURCES,
    first_eligible,
    generate_candidates,
    known_rows,
    source_names,
    unite,
)
from feed.ranking.context import build_situation
from tests.support.counted import count_shown

CONFIG = RankingConfig()
LISTS = st.lists(st.integers(0, 30), unique=True, max_size=20).map(lambda r: np.array(r, np.int64))


def proposals_of(world, profile, **more):
    context = world.context(profile, **more)
    situation = build_situation(context, CONFIG)
    return {name: source(context, situation, CONFIG, 20) for name, source in SOURCES.items()}


@pytest.mark.parametrize("page", [-1, 40])
def test_every_source_proposes_only_eligible_rows_once(world, page):
    profile = world.reader([3, 8, 13], preferences=world.prefer(followed_sections=["sport"]))
    count_shown(world.signals, np.array([1, 2, 3]), float(profile.clicked_at[0]), 40)
    boost = Boost(article_id="a33", factor=2.0, starts_at=0.0, ends_at=2e9)
    boosts = build_boosted_rows([boost], world.pool)
    context = world.context(profile, page_row=page)
    mask = build_situation(context, CONFIG).eligible.mask
    for name, rows in proposals_of(world, profile, page_row=page, boosts=boosts).items():
        assert len(set(rows.tolist())) == len(rows) <= 20, name
        assert mask[rows].all(), name
        only_below_articles = {"content_page", "listed"}
        assert len(rows) or (page < 0 and name in only_below_articles), name


def test_orders_are_best_first(shared_world):
    world = shared_world
    found = proposals_of(world, world.reader([3, 8]))
    counters, now = world.signals.counters, world.context().request.now
    for column, name in enumerate(("popular_30m", "popular_2h", "popular_6h", "popular_24h")):
        assert (np.diff(counters.clicks(found[name], now)[:, column]) <= 0).all()
    assert (np.diff(counters.impressions(found["in_view"], now)[:, 0]) <= 0).all()
    assert (np.diff(world.pool.published_at[found["fresh"]]) <= 0).all()
    assert found["trending"].tolist() == [17]


def test_nearest_sources_equal_brute_force(shared_world):
    world = shared_world
    context = world.context(world.reader([3, 8, 13]))
    situation = build_situation(context, CONFIG)
    scores = world.view.content @ situation.reader.content_long
    scores[~situation.eligible.mask] = -1
    expected = np.argsort(-scores, kind="stable")[:20]
    found = proposals_of(world, world.reader([3, 8, 13]))["content_long"]
    assert found.tolist() == expected.tolist()


def test_a_reader_without_history_has_no_personal_candidates(shared_world):
    found = proposals_of(shared_world, shared_world.reader())
    assert all(not len(found[name]) for name in PERSONAL_SOURCES)


def test_followed_articles_are_of_what_is_followed(shared_world):
    world = shared_world
    profile = world.reader(
        preferences=world.prefer(followed_sections=["money"], followed_sources=["s2"])
    )
    rows = proposals_of(world, profile)["followed"]
    of_section = world.pool.section[rows] == world.pool.sections.row("money")
    of_source = world.pool.source[rows] == world.pool.sources.row("s2")
    assert (of_section | of_source).all()
    assert of_section.any()
    assert of_source.any()


@pytest.mark.parametrize(("field", "name"), [("sections", "money"), ("sources", "s2")])
def test_one_follow_alone_brings_all_of_it_the_most_read_first(shared_world, field, name):
    world = shared_world
    profile = world.reader(preferences=world.prefer(**{f"followed_{field}": [name]}))
    context = world.context(profile)
    situation = build_situation(context, CONFIG)
    codes = getattr(world.pool, field.removesuffix("s"))
    wanted = codes == getattr(world.pool, field).row(name)
    newest = [row for row in situation.eligible.rows.tolist() if wanted[row]]
    for limit in (5, 500):
        read = situation.index.popular[1][: 5 * limit].tolist()
        expected = list(dict.fromkeys([*(row for row in read if wanted[row]), *newest]))
        found = SOURCES["followed"](context, situation, CONFIG, limit)
        assert found.tolist() == expected[:limit]


@given(st.dictionaries(st.sampled_from(list(SOURCES)), LISTS, min_size=1), st.integers(1, 40))
def test_union_keeps_every_source_name_and_repeats_nothing(proposals, cap):
    united = unite(proposals, 31, cap)
    every = set().union(*(rows.tolist() for rows in proposals.values()))
    assert len(united.rows) == min(len(every), cap)
    assert len(set(united.rows.tolist())) == len(united.rows)
    for row, bits in zip(united.rows.tolist(), united.bits.tolist(), strict=True):
        names = {name for name, rows in proposals.items() if row in rows}
        assert set(source_names(bits, tuple(united.counts))) == names


@given(st.lists(LISTS, min_size=2, max_size=5))
def test_no_first_choice_comes_after_a_second_choice(lists):
    proposals = {f"s{i}": rows for i, rows in enumerate(lists)}
    rank = {}
    for rows in lists:
        for place, row in enumerate(rows.tolist()):
            rank[row] = min(place, rank.get(row, place))
    ranks = [rank[row] for row in unite(proposals, 31, 100).rows.tolist()]
    assert ranks == sorted(ranks)


def test_sources_that_start_from_clicks_take_few_places_from_the_others():
    names = ("covisitation", "collaborative", "content_session", "content_long", "neighbours")
    others = ("popular_30m", "popular_2h", "popular_6h", "popular_24h", "in_view", "fresh")
    proposals = {name: np.arange(100) + 100 * place for place, name in enumerate((*names, *others))}
    united = unite(proposals, 1_100, CONFIG.candidate_cap).rows
    of_clicks = int((united < 100 * len(names)).sum())
    assert 2 * len(names) <= of_clicks <= CONFIG.candidate_cap // 6
    for name in names:  # what one source alone proposes has no need to share
        assert len(unite({name: proposals[name]}, 1_100, 50).rows) == 50


def test_candidates_are_capped_and_counted(shared_world):
    world = shared_world
    context = world.context(world.reader([3]))
    config = RankingConfig(candidate_cap=30, candidates_per_source=10)
    found = generate_candidates(context, build_situation(context, config), config)
    assert len(found.rows) == 30
    assert list(found.counts) == list(SOURCES)
    assert max(found.counts.values()) == 10


@given(LISTS, st.lists(st.booleans(), min_size=31, max_size=31), st.integers(1, 8))
def test_first_eligible_is_the_plain_filter(ordered, allowed, limit):
    mask = np.array(allowed)
    expected = [row for row in ordered.tolist() if mask[row]][:limit]
    assert first_eligible(ordered, mask, limit).tolist() == expected


def test_rows_that_a_mask_does_not_have_are_left_out():
    ordered = np.array([4, -1, 0, 31, 2])
    assert known_rows(ordered, np.ones(31, np.bool_)).tolist() == [4, 0, 2]
