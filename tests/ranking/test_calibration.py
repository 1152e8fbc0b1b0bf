"""Calibration: the page it chooses is the best one, and everything else stays as it was."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.config import RankingConfig
from feed.domain import Pin, ReasonCode
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule
from feed.ranking.calibration import (
    PRIOR,
    choose_page,
    divergence,
    find_mixture,
    section_entropy,
)
from feed.ranking.contest import Contest
from feed.ranking.live_index import build_index
from feed.ranking.pipeline import rank_in_stages, recommend
from feed.ranking.slate import StageTimer, Trace

NOW = 1_700_000_000.0  # that of conftest
HOUR = 3600.0
SURE = RankingConfig(explore_slots=0)
CALIBRATED = replace(SURE, calibration=0.5)
SPORT = 1


def worth(chosen, values, total, sections, pinned, shares, page, weight):
    """The objective as the documentation states it, of a whole page."""
    on_page = np.concatenate([sections[list(chosen)], pinned])
    # `divergence` divides by the articles it is given; a page that is not full has empty slots.
    on_page = np.concatenate([on_page, np.full(page - len(on_page), -1)])
    score = sum(values[i] for i in chosen) / total if total else 0.0
    return (1 - weight) * score - weight * divergence(on_page, shares)


@st.composite
def pages(draw):
    k, sections = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    amounts = np.array(draw(st.lists(st.integers(0, 5), min_size=sections, max_size=sections)))
    shares = amounts / amounts.sum() if amounts.sum() else amounts.astype(float)
    scores = sorted(draw(st.lists(st.floats(0, 1), min_size=k, max_size=k)), reverse=True)
    codes = np.array(draw(st.lists(st.integers(-1, sections), min_size=k, max_size=k)))
    pinned = np.array(draw(st.lists(st.integers(-1, sections - 1), max_size=2)), np.int64)
    page = len(pinned) + draw(st.integers(1, 5))
    return np.array(scores), codes, shares, pinned, page, draw(st.floats(0, 1))


@given(pages())
@settings(max_examples=300, deadline=None)
def test_no_other_choice_of_articles_makes_a_better_page(given_page):
    scores, codes, shares, pinned, page, weight = given_page
    chosen = choose_page(scores, codes, shares, pinned, page, weight)
    count = min(page - len(pinned), len(scores))
    assert len(set(chosen.tolist())) == len(chosen) == count
    total = scores[:count].sum()
    rest = (scores, total, codes, pinned, shares, page, weight)
    best = max(worth(some, *rest) for some in combinations(range(len(scores)), count))
    assert worth(chosen, *rest) == pytest.approx(best, abs=1e-9)
    assert chosen.tolist() == sorted(chosen.tolist())


@given(pages())
@settings(max_examples=50, deadline=None)
def test_a_weight_of_nothing_keeps_the_order(given_page):
    scores, codes, shares, pinned, page, _ = given_page
    chosen = choose_page(scores, codes, shares, pinned, page, 0.0)
    assert chosen.tolist() == list(range(len(chosen)))


def test_an_article_that_variety_raised_keeps_its_place():
    scores = np.array([0.9, 0.1, 0.8, 0.7])  # the second stands there although the third is better
    chosen = choose_page(scores, np.zeros(4, int), np.array([1.0]), np.zeros(0, int), 4, 0.5)
    assert chosen.tolist() == [0, 1, 2, 3]


def test_divergence_is_nothing_for_the_wanted_mixture():
    shares = np.array([0.5, 0.25, 0.25])
    assert divergence(np.array([0, 0, 1, 2]), shares) == pytest.approx(0.0)
    assert divergence(np.array([0, 0, 0, 1]), shares) > 0.1
    assert section_entropy(np.array([2.0, 2.0, 0.0])) == pytest.approx(np.log(2))
    assert section_entropy(np.zeros(3)) == 0.0


def index_of(world):
    return build_index(world.pool, world.signals.counters, NOW)


def test_a_new_reader_gets_the_mixture_of_all_readers(shared_world):
    index = index_of(shared_world)
    mixture = find_mixture(shared_world.pool, index, shared_world.reader())
    assert mixture.shares == pytest.approx(index.sections / index.sections.sum())
    assert not mixture.is_personal


def test_the_mixture_moves_with_each_click_and_back_as_they_age(shared_world):
    world, index = shared_world, index_of(shared_world)

    def share(profile):
        return find_mixture(world.pool, index, profile).shares[SPORT]

    sport = [SPORT + 5 * i for i in range(12)]
    by_clicks = [share(world.reader(sport[:n])) for n in (0, 1, 4, 12)]
    assert by_clicks == sorted(by_clicks)
    assert by_clicks[-1] > 12 / (12 + PRIOR) * 0.8
    assert share(world.reader(sport, minutes_ago=60 * 24 * 30)) < by_clicks[1]


def test_what_is_disliked_is_not_wanted(shared_world):
    world = shared_world
    profile = world.reader([SPORT])
    unwanted = replace(profile, weights=-profile.weights)
    assert not find_mixture(world.pool, index_of(world), unwanted).is_personal


def sections_of(world, slate, size=20):
    return world.pool.section[slate.rows[:size]]


def test_the_first_page_is_nearer_to_what_the_reader_reads(shared_world):
    world = shared_world
    # A reader of money and sport, and of nothing else for days.
    profile = world.reader([4, 9, 14, 19, 24, 29, 1, 6])
    shares = find_mixture(world.pool, index_of(world), profile).shares
    plain, calibrated = (recommend(world.context(profile), c) for c in (SURE, CALIBRATED))
    before, after = (divergence(sections_of(world, s), shares) for s in (plain, calibrated))
    assert after < before / 2
    assert sorted(plain.rows.tolist()) == sorted(calibrated.rows.tolist())
    assert calibrated.personalized


def test_an_article_that_calibration_brought_says_so(shared_world):
    world = shared_world
    profile = world.reader([4, 9, 14, 19, 24, 29, 1, 6])
    plain, calibrated = (recommend(world.context(profile), c) for c in (SURE, CALIBRATED))
    before = set(plain.rows[:20].tolist())
    own = {world.pool.sections.ids[code] for code in (1, 4)}
    seen = set()
    for row, reasons in zip(calibrated.rows[:20].tolist(), calibrated.reasons, strict=False):
        is_new = row not in before
        assert (reasons[0].code is ReasonCode.MIXTURE) == is_new
        if is_new:
            seen.add(reasons[0].section)
            who = "you" if reasons[0].section in own else "our readers"
            assert reasons[0].text == f"{reasons[0].section} is among what {who} read"
    assert seen
    assert not any(r.code is ReasonCode.MIXTURE for some in plain.reasons for r in some)


@pytest.mark.parametrize("more", [{"section": SPORT}, {"page_row": 7}])
def test_only_front_pages_are_calibrated(shared_world, more):
    world = shared_world
    plain, other = (
        recommend(world.context(world.reader([1, 6]), **more), c) for c in (SURE, CALIBRATED)
    )
    assert plain.rows.tolist() == other.rows.tolist()


def test_the_limits_of_the_editors_hold(shared_world):
    world = shared_world
    cap = Limit(rule=LimitRule.AT_MOST, of=LimitOf.SECTION, value="sport", within=20, share=0.1)
    profile = world.reader([1, 6, 11, 16, 21])
    slate = recommend(world.context(profile, limits=(cap,)), replace(SURE, calibration=0.9))
    assert (sections_of(world, slate) == SPORT).sum() <= 2
    assert all(state.met for state in slate.trace.limits)


def test_pins_count_as_part_of_the_page(shared_world):
    world, profile = shared_world, shared_world.reader([1, 6, 11])
    config = replace(SURE, calibration=0.9, first_page=8)
    pins = tuple(
        Pin(article_id=f"a{SPORT + 5 * i}", slot=i, starts_at=NOW - HOUR, ends_at=NOW + HOUR)
        for i in range(3, 6)
    )
    free = recommend(world.context(profile), config)
    pinned = recommend(world.context(profile, pins=pins), config)
    counts = [int((sections_of(world, slate, 8) == SPORT).sum()) for slate in (free, pinned)]
    assert pinned.pinned[3:6].all()
    assert abs(counts[1] - counts[0]) <= 1


def test_a_slot_gets_its_article_as_often_as_its_propensity_says(shared_world):
    config, slot, times = replace(CALIBRATED, explore_slots=2), 6, 300
    counts, chances = {}, {}
    for seed in range(times):
        slate = recommend(shared_world.context(shared_world.reader([1, 6]), seed=seed), config)
        row = int(slate.rows[slot])
        counts[row] = counts.get(row, 0) + 1
        chances[row] = float(slate.propensities[slot])
    ranked = max(counts, key=counts.__getitem__)
    spread = (times * chances[ranked] * (1 - chances[ranked])) ** 0.5
    assert 0 < chances[ranked] < 1
    assert abs(counts[ranked] - times * chances[ranked]) < 4 * spread


def test_the_contest_knows_the_order_that_was_served(shared_world):
    context = shared_world.context(shared_world.reader([1, 6, 11]))
    ranking = rank_in_stages(context, CALIBRATED, Trace(), StageTimer(Trace(), None))
    contest = Contest(ranking)
    assert contest.ranked.tolist()[: len(ranking.placed.at)] == ranking.placed.at.tolist()
    assert not contest.is_by_score
    assert contest.lack(int(contest.ranked[30]), 3) is None
