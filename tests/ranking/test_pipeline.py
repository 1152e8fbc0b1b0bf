import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.config import RankingConfig
from feed.domain import Mode, Pin, ReasonCode, Rung
from feed.features.trending import TrendingState
from feed.ranking.live_index import build_index
from feed.ranking.pipeline import build_slate, rank_in_stages, recommend
from feed.ranking.slate import StageTimer, Trace

NOW = 1_700_000_000.0  # that of conftest
HOUR = 3600.0
CONFIG = RankingConfig()
CERTAIN = RankingConfig(explore_slots=0)


class Untouchable:
    """A profile that nobody may look at."""

    def __getattribute__(self, name):
        raise AssertionError(f"the reader's {name} was read")


def pin(article, slot, **more):
    return Pin(
        article_id=article, slot=slot, **{"starts_at": NOW - HOUR, "ends_at": NOW + HOUR, **more}
    )


def rows_of(slate):
    return slate.rows.tolist()


@given(
    clicked=st.lists(st.integers(0, 239), max_size=25),
    hidden=st.lists(st.integers(0, 239), max_size=10),
    muted_section=st.sampled_from(["", "news", "sport"]),
    muted_source=st.sampled_from(["", "s1", "s4"]),
    page=st.integers(-1, 239),
    section=st.integers(-1, 4),
    seed=st.integers(0, 100),
    mmr_lambda=st.floats(0, 1),
    explore_slots=st.integers(0, 4),
)
@settings(max_examples=40, deadline=None)
def test_no_slate_repeats_an_article_or_breaks_a_rule(
    shared_world, clicked, hidden, muted_section, muted_source, page, section, seed,
    mmr_lambda, explore_slots,
):  # fmt: skip
    world = shared_world
    preferences = world.prefer(muted_sections=[muted_section], muted_sources=[muted_source])
    profile = world.reader(clicked, hidden_rows=np.array(hidden, np.int64), preferences=preferences)
    config = RankingConfig(mmr_lambda=mmr_lambda, explore_slots=explore_slots)
    slate = recommend(world.context(profile, seed, page_row=page, section=section), config)
    rows, pool = slate.rows, world.pool
    assert len(set(rows.tolist())) == len(rows)
    assert not set(rows.tolist()) & ({*clicked, *hidden, page})
    assert pool.live[rows].all()
    if section >= 0:
        assert (pool.section[rows] == section).all()
    if muted_section:
        assert (pool.section[rows] != pool.sections.row(muted_section)).all()
    if muted_source:
        assert (pool.source[rows] != pool.sources.row(muted_source)).all()
    for part in (slate.reasons, slate.sources, slate.propensities, slate.scores, slate.trending):
        assert len(part) == len(rows)
    assert all(slate.reasons)
    assert all(slate.sources)
    assert ((slate.propensities > 0) & (slate.propensities <= 1)).all()
    assert slate.explored.sum() <= explore_slots


@pytest.mark.parametrize("mode", list(Mode))
def test_dead_articles_are_served_in_no_mode(world, mode):
    world.change([1, 2], live=False)
    world.change([3], expires_at=NOW - 1)
    world.change([4], expires_at=NOW)
    world.change([5], published_at=NOW - 100 * HOUR)
    world.change([6], published_at=NOW + HOUR)
    withdrawn = np.array([7])
    index = build_index(world.pool, world.signals.counters, NOW - 2)
    for made in (None, index):
        slate = recommend(world.context(mode=mode, withdrawn=withdrawn, index=made), CONFIG)
        assert not set(rows_of(slate)) & {1, 2, 3, 4, 5, 6, 7}
        assert len(slate) > 50


def test_a_variant_may_look_further_back_than_the_index(world):
    world.change([5], published_at=NOW - 100 * HOUR)
    index = build_index(world.pool, world.signals.counters, NOW)
    slate = recommend(world.context(index=index), RankingConfig(max_age_hours=200))
    assert 5 in rows_of(slate)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_retraction_counts_although_the_index_is_older(world, mode):
    index = build_index(world.pool, world.signals.counters, NOW - 2)
    world.change([1, 17], live=False)
    slate = recommend(world.context(mode=mode, index=index), CONFIG)
    assert not set(rows_of(slate)) & {1, 17}


def test_articles_newer_than_the_snapshot_do_no_harm(world):
    unknown = world.pool.ids.add("came after the snapshot")
    assert unknown == world.pool.size
    profile = world.reader(
        [3, unknown],
        hidden_rows=np.array([unknown]),
        shown_rows=np.array([unknown]),
        shown_counts=np.array([4.0]),
        shown_last_at=np.array([NOW - 60]),
    )
    pins = (pin("came after the snapshot", 0),)
    slate = recommend(world.context(profile, pins=pins, page_row=-1), CONFIG)
    assert len(slate) > 50
    assert unknown not in rows_of(slate)


@pytest.mark.parametrize("mode", list(Mode))
def test_section_and_languages_limit_every_mode(shared_world, mode):
    world = shared_world
    section, language = world.pool.sections.row("sport"), world.pool.languages.row("de")
    slate = recommend(world.context(mode=mode, section=section, languages=(language,)), CONFIG)
    assert len(slate)
    assert (world.pool.section[slate.rows] == section).all()
    assert (world.pool.language[slate.rows] == language).all()


@pytest.mark.parametrize("mode", [Mode.TRENDING, Mode.LATEST])
def test_impersonal_modes_never_look_at_the_reader(shared_world, mode):
    slate = recommend(shared_world.context(Untouchable(), mode=mode), CONFIG)
    assert len(slate)
    assert not slate.personalized
    assert slate.rung == mode.value
    assert not slate.explored.any()
    assert (slate.propensities == 1).all()
    with pytest.raises(AssertionError, match="was read"):
        recommend(shared_world.context(Untouchable()), CONFIG)


def test_latest_is_newest_first(shared_world):
    slate = recommend(shared_world.context(mode=Mode.LATEST), CONFIG)
    assert (np.diff(shared_world.pool.published_at[slate.rows]) <= 0).all()
    assert (np.diff(slate.scores) <= 0).all()


def test_latest_scores_halve_with_every_day_of_age(shared_world):
    world = shared_world
    slate = recommend(world.context(mode=Mode.LATEST), CONFIG)
    days = (NOW - world.pool.published_at[slate.rows]) / (24 * HOUR)
    np.testing.assert_allclose(slate.scores, 0.5**days)
    texts = [reasons[0].text for reasons in slate.reasons]
    assert texts == [
        "New" if age <= 1 else f"Published in the last {int(np.ceil(age))} days"
        for age in days.tolist()
    ]
    assert set(slate.sources) == {("fresh",)}


@pytest.mark.parametrize(
    ("mode", "stages"),
    [
        (Mode.TRENDING, ["candidates", "scoring", "explanation"]),
        (Mode.LATEST, ["candidates", "explanation"]),
    ],
)
def test_impersonal_slates_time_their_stages(shared_world, mode, stages):
    ticks = iter(range(1000))
    slate = recommend(shared_world.context(mode=mode), CONFIG, lambda: float(next(ticks)))
    assert list(slate.trace.seconds) == stages


@pytest.mark.parametrize("mode", [Mode.TRENDING, Mode.LATEST])
def test_impersonal_slates_pin_and_explore_nothing(shared_world, mode):
    slate = recommend(shared_world.context(mode=mode), CONFIG)
    assert slate.pinned.tolist() == slate.explored.tolist() == [False] * len(slate)
    assert slate.propensities.tolist() == [1.0] * len(slate)
    assert (slate.mode, slate.personalized) == (mode, False)
    assert slate.trace.candidates == len(slate)
    assert slate.trace.eligible == shared_world.pool.size


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "stated", [{"muted_sections": ["sport"]}, {"muted_sources": ["s1"]}, {"languages": ["en"]}]
)
def test_a_feed_that_preferences_changed_is_personalized_in_every_mode(shared_world, mode, stated):
    codes = shared_world.prefer(**stated)
    profile = shared_world.reader(preferences=codes)
    slate = recommend(shared_world.context(profile, mode=mode, preferences=codes), CONFIG)
    assert slate.personalized


def test_trending_scores_and_counts_tell_the_three_parts_apart(shared_world):
    world = shared_world
    slate = recommend(world.context(mode=Mode.TRENDING), CONFIG)
    clicks = world.signals.counters.clicks(slate.rows, NOW)[:, 0]
    listed = np.isin(slate.rows, build_index(world.pool, world.signals.counters, NOW).hot)
    hours = (NOW - world.pool.fresh_at[slate.rows]) / 3600.0
    trends = slate.rows == 17
    np.testing.assert_allclose(slate.scores[trends], 2 + world.trending.score(slate.rows[trends]))
    read = listed & ~trends
    hottest = (clicks / (1 + hours))[listed].max()
    np.testing.assert_allclose(
        slate.scores[read], 1 + clicks[read] / (1 + hours[read]) / max(1.0, hottest)
    )
    assert (slate.scores[~listed & ~trends] <= 1).all()
    assert slate.trace.proposed == {
        "trending": 1,
        "hot": listed.sum(),
        "fresh": CONFIG.slate_size,
    }


def test_trending_starts_with_the_label_and_never_ends_early(shared_world):
    slate = recommend(shared_world.context(mode=Mode.TRENDING), CONFIG)
    assert slate.rows[0] == 17
    assert slate.trending[0]
    assert slate.reasons[0][0].code is ReasonCode.TRENDING
    assert len(slate) == CONFIG.slate_size
    assert (np.diff(slate.scores) <= 1e-12).all()


def test_the_same_generator_gives_the_same_slate(shared_world):
    profile = shared_world.reader([3, 8])
    first, again = (recommend(shared_world.context(profile, 5), CONFIG) for _ in range(2))
    other = recommend(shared_world.context(profile, 6), CONFIG)
    assert rows_of(first) == rows_of(again)
    assert first.reasons == again.reasons
    assert rows_of(first) != rows_of(other)


def test_a_click_changes_the_next_slate_and_says_why(shared_world):
    world = shared_world
    before = recommend(world.context(), CERTAIN)
    after = recommend(world.context(world.reader([1, 6, 11, 16])), CERTAIN)
    section = world.pool.sections.row("sport")

    def share(slate):
        return (world.pool.section[slate.rows[:20]] == section).mean()

    assert share(after) > share(before)
    assert not before.personalized
    assert after.personalized
    named = {r.article_id for reasons in after.reasons for r in reasons if r.article_id}
    assert named
    assert named <= {"a1", "a6", "a11", "a16"}


def test_pins_stand_at_their_slots_and_are_certain(shared_world):
    world = shared_world
    pins = (pin("a50", 0), pin("a51", 5), pin("a52", 7, starts_at=NOW + 1), pin("a53", 5))
    for seed in range(10):
        slate = recommend(world.context(world.reader([3]), seed, pins=pins), CONFIG)
        assert slate.rows[[0, 5, 6]].tolist() == [50, 51, 53]
        assert np.flatnonzero(slate.pinned).tolist() == [0, 5, 6]
        assert slate.propensities[slate.pinned].tolist() == [1.0] * 3
        assert [slate.reasons[i][0].code for i in (0, 5)] == [ReasonCode.EDITORS_PICK] * 2
        assert slate.sources[0] == ("pins",)
        assert 52 not in slate.rows[slate.pinned]


def test_pins_obey_the_reader_and_their_section_but_not_age(world):
    world.change([60], published_at=NOW - 500 * HOUR)
    world.change([61], live=False)
    sport = world.pool.sections.row("sport")
    pins = (
        pin("a60", 0), pin("a61", 1), pin("a62", 2), pin("a63", 3), pin("a64", 4),
        pin("a66", 5, section="sport"), pin("unknown", 6),
    )  # fmt: skip
    profile = world.reader([62], hidden_rows=np.array([63]))
    slate = recommend(world.context(profile, pins=pins, withdrawn=np.array([64])), RankingConfig())
    assert slate.rows[slate.pinned].tolist() == [60]
    in_sport = recommend(world.context(profile, pins=pins, section=sport), RankingConfig())
    assert in_sport.rows[in_sport.pinned].tolist() == [66]


def test_no_pin_shows_an_article_before_its_time_or_below_its_own_page(world):
    world.change([60], published_at=NOW + 2 * HOUR)
    world.change([61], published_at=NOW + 60)  # a clock that differs
    pins = (pin("a60", 0), pin("a61", 1), pin("a62", 2))
    slate = recommend(world.context(pins=pins, page_row=62), RankingConfig())
    assert slate.rows[slate.pinned].tolist() == [61]
    assert 60 not in slate.rows


def test_the_trending_boost_moves_what_trends_up_and_nothing_else(shared_world):
    world = shared_world
    entries = world.trending.entries
    assert entries[0].article_id == "a17"
    profile = world.reader([0, 5])
    places = []
    for boost in (0.0, 0.3, 3.0):
        config = RankingConfig(trending_boost=boost, explore_slots=0, section_decay=1, mmr_lambda=1)
        slate = recommend(world.context(profile), config)
        at = rows_of(slate).index(17)
        places.append(at)
        expected = 1 + boost * world.trending.score(np.array([17]))[0]
        assert slate.factors["trending"][at] == pytest.approx(expected)
        others = slate.factors["trending"][world.trending.score(slate.rows) == 0]
        assert (others == 1).all()
    assert places == sorted(places, reverse=True)


def test_scores_are_the_product_of_their_factors(shared_world):
    slate = recommend(shared_world.context(shared_world.reader([4, 9])), CONFIG)
    product = np.prod([slate.factors[name] for name in slate.factors], axis=0)
    np.testing.assert_allclose(slate.scores, product)


def test_fatigue_lowers_what_was_shown_often(shared_world):
    world = shared_world
    target = int(recommend(world.context(), CERTAIN).rows[2])

    def scores(count):
        profile = world.reader(
            shown_rows=np.array([target]), shown_counts=np.array([float(count)]),
            shown_last_at=np.array([NOW - 600]),
        )  # fmt: skip
        slate = recommend(world.context(profile), CERTAIN)
        at = rows_of(slate).index(target)
        return slate.factors["fatigue"][at], slate.scores[at]

    assert scores(3)[0] == 1
    assert scores(5)[0] == pytest.approx(0.7**2)
    assert scores(5)[1] < scores(3)[1]


def test_a_follow_of_another_section_of_an_article_lifts_it_and_is_named(world):
    money, news = world.pool.sections.rows(["money", "news"]).tolist()
    guest = int(np.flatnonzero(world.pool.section == news)[-1])
    profile = world.reader(preferences=world.prefer(followed_sections=["money"]))
    before = recommend(world.context(profile), CERTAIN).rows.tolist()
    world.pool.also_in[money] = np.array([guest])
    slate = recommend(world.context(profile), CERTAIN)
    place = slate.rows.tolist().index(guest)
    assert place < (before.index(guest) if guest in before else len(before))
    first = slate.reasons[place][0]
    assert (first.code, first.section) == (ReasonCode.SECTION_YOU_FOLLOW, "money")


def test_cold_readers_get_followed_sections_then_what_trends(shared_world):
    world = shared_world
    profile = world.reader(preferences=world.prefer(followed_sections=["money"]))
    slate = recommend(world.context(profile), CERTAIN)
    money = world.pool.sections.row("money")
    followed = world.pool.section[slate.rows[:10]] == money
    assert followed.sum() >= 5
    first = slate.reasons[int(followed.argmax())][0]
    assert (first.code, first.section) == (ReasonCode.SECTION_YOU_FOLLOW, "money")
    assert 17 in slate.rows[:5]
    assert slate.personalized


def test_unfollowing_brings_another_slate(shared_world):
    world = shared_world
    profile = world.reader([2, 7], preferences=world.prefer(followed_sources=["s3"]))
    plain = recommend(world.context(world.reader([2, 7])), CERTAIN)
    followed = recommend(world.context(profile), CERTAIN)
    source = world.pool.sources.row("s3")

    def mean_place(slate):
        return np.flatnonzero(world.pool.source[slate.rows] == source).mean()

    assert mean_place(followed) < mean_place(plain)


def test_rung_says_whether_there_was_a_model(shared_world, make_world):
    bare = make_world(articles=60, with_model=False)
    assert recommend(bare.context(bare.reader([3])), CONFIG).rung is Rung.WITHOUT_MODEL
    assert recommend(shared_world.context(), CONFIG).rung is Rung.PERSONALIZED


def test_engines_can_be_switched_off(shared_world):
    world = shared_world
    profile = world.reader([3, 8, 13])
    config = RankingConfig(use_collaborative=False, use_content=False)
    slate = recommend(world.context(profile), config)
    used = {name for names in slate.sources for name in names}
    assert not used & {"collaborative", "neighbours", "content_long", "content_session"}
    assert "covisitation" in used


def test_an_empty_newsroom_has_an_empty_slate(make_world):
    world = make_world(articles=60, with_model=False)
    world.change(range(60), live=False)
    for mode in Mode:
        slate = recommend(world.context(world.reader([3]), mode=mode), CONFIG)
        assert len(slate) == 0
        assert slate.reasons == ()


def test_a_newsroom_without_a_trend_still_has_a_feed(make_world):
    world = make_world(articles=60, with_model=False)
    context = world.context(world.reader(), trending=TrendingState())
    assert len(recommend(context, CONFIG)) == 60


def test_trace_counts_what_happened(shared_world):
    ticks = iter(range(1000))
    world = shared_world
    slate = recommend(world.context(world.reader([3])), CONFIG, lambda: float(next(ticks)))
    trace = slate.trace
    assert trace.dropped["read"] == 1
    assert trace.eligible == world.pool.size - 1
    assert trace.candidates >= len(slate)
    assert set(trace.seconds.values()) == {1.0}
    assert list(trace.seconds) == [
        "eligibility",
        "candidates",
        "scoring",
        "diversity",
        "exploration",
        "explanation",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_stages_hold_exactly_what_the_slate_is_built_from(shared_world, seed):
    world = shared_world
    pins = (pin("a7", 2), pin("a9", 4))
    profile, trace = world.reader([3, 8, 40]), Trace()
    slate = recommend(world.context(profile, seed, pins=pins), CONFIG)
    context = world.context(profile, seed, pins=pins)
    ranking = rank_in_stages(context, CONFIG, trace, StageTimer(trace, None))
    again = build_slate(ranking)
    assert slate.explored.any()
    assert slate.pinned.sum() == 2
    for name in ("rows", "scores", "explored", "pinned", "propensities", "trending"):
        assert np.array_equal(getattr(slate, name), getattr(again, name)), name
    assert (slate.reasons, slate.sources) == (again.reasons, again.sources)
    assert build_slate(ranking).reasons == again.reasons
    factors = ranking.factors(ranking.placed.at)
    assert {name: part.tolist() for name, part in factors.items()} == {
        name: part.tolist() for name, part in slate.factors.items()
    }
    assert np.allclose(slate.scores, np.prod([*factors.values()], axis=0), rtol=1e-12)


def test_an_explored_slot_says_so_and_nothing_else(shared_world):
    world, config = shared_world, RankingConfig(explore_slots=3)
    slate = recommend(world.context(world.reader([3])), config)
    assert 0 < slate.explored.sum() <= 3
    for explored, reasons in zip(slate.explored.tolist(), slate.reasons, strict=True):
        codes = [reason.code for reason in reasons]
        assert codes == [ReasonCode.EXPLORE] if explored else ReasonCode.EXPLORE not in codes


def test_without_exploration_no_candidate_comes_from_there(shared_world):
    slate = recommend(shared_world.context(shared_world.reader([3])), CERTAIN)
    assert slate.trace.proposed["exploration"] == 0
    assert not any("exploration" in names for names in slate.sources)
    assert list(slate.factors) == [
        "ranker",
        "trending",
        "followed",
        "fatigue",
        "editorial",
        "wishes",
        "story",
        "diversity",
    ]


def test_a_story_told_already_is_not_explored(shared_world):
    world = shared_world
    config = RankingConfig(explore_slots=2, duplicate_similarity=0.6)
    slate = recommend(world.context(world.reader([3])), config)
    assert slate.trace.duplicates > 0
    assert len(slate.trace.explore_rows) > 2
    assert set(slate.trace.explore_rows.tolist()) <= set(rows_of(slate))


def test_first_page_propensities_add_up_over_many_draws(shared_world):
    world = shared_world
    profile = world.reader([3, 8])
    config = RankingConfig(explore_slots=2)
    runs, seen, stated = 200, {}, {}
    for seed in range(runs):
        slate = recommend(world.context(profile, seed), config)
        for place in range(config.first_page):
            key = (place, int(slate.rows[place]))
            seen[key] = seen.get(key, 0) + 1
            stated[key] = float(slate.propensities[place])
    for key, p in stated.items():
        assert abs(seen[key] / runs - p) < 5 * np.sqrt(p * (1 - p) / runs) + 1e-9
