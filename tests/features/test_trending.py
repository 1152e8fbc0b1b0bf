import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from feed.domain import Article
from feed.features.counters import HALF_LIVES_S, Counters
from feed.features.ids import IdMap
from feed.features.pool import PoolBuilder
from feed.features.surprise import TrendingRules, measure_surprise
from feed.features.trend_tests import TrendTests
from feed.features.trending import TrendingDetector, TrendingState, build_state

HOUR = 3600.0
NOW = 1_000_000_000.0
TAU, TAU_SLOW = (HALF_LIVES_S[i] / np.log(2) for i in (0, 2))


def surprise_of(fast, slow, age_s=30 * 86400.0, site=(1000.0, 12000.0), rules=None):
    return measure_surprise(
        np.atleast_1d(np.asarray(fast, float)),
        np.atleast_1d(np.asarray(slow, float)),
        np.broadcast_to(np.asarray(age_s, float), np.shape(np.atleast_1d(fast))),
        site,
        HALF_LIVES_S[0],
        rules or TrendingRules(),
    )


def world(articles=50, published_at=NOW - 40 * HOUR, sections=("news",)):
    builder = PoolBuilder()
    for number in range(articles):
        section = sections[number % len(sections)]
        article = Article(
            article_id=f"a{number}", title="t", published_at=published_at, section=section,
            language="da" if number % 2 else "en",
        )  # fmt: skip
        builder.add(article, None, published_at)
    return builder.snapshot()


def steady_counters(pool, per_hour=4.0, until=NOW, hours=40):
    counters = Counters(pool.ids)
    times = np.arange(until - hours * HOUR, until, HOUR / per_hour)
    for row in range(pool.size):
        counters.add_clicks(np.full(len(times), row), times)
    return counters


def burst(counters, row, readers, at=NOW, minutes=20):
    times = np.linspace(at - minutes * 60, at, readers)
    counters.add_clicks(np.full(readers, row), times)


def test_tail_is_that_of_the_negative_binomial_of_scipy():
    # an article without a past of its own: shape 1, and rate by the prior alone
    rules = TrendingRules(prior_readers=2.0)
    site = (1000.0, 1000.0 * TAU_SLOW / TAU)
    found = surprise_of([12.0], [12.0], age_s=30 * 86400.0, site=site, rules=rules)
    seconds = 1 / (2.0 / TAU) + 2 * (TAU_SLOW - TAU)
    exposure_per_second = found.expected[0] / (1 / seconds) * 2
    p = seconds / (seconds + exposure_per_second)
    assert found.p_value[0] == pytest.approx(stats.nbinom.sf(23, 1.0, p), rel=1e-9)


def test_long_history_is_never_believed_beyond_the_stated_dispersion():
    rules = TrendingRules(dispersion=0.05)
    mean = 50.0
    found = surprise_of([90.0], [mean * TAU_SLOW / TAU + 40], rules=rules)
    expected = 2 * found.expected[0]
    p = 20 / (20 + expected)
    assert found.p_value[0] == pytest.approx(stats.nbinom.sf(179, 20, p), rel=1e-6)


@given(
    st.floats(0, 500), st.floats(0, 500), st.floats(0, 5000), st.floats(60, 1e7), st.floats(1, 1e5)
)
def test_more_recent_readers_never_surprise_less(fast, more, past, age_s, site):
    sums = (site + fast, site * 12 + fast + past)
    low = surprise_of([fast], [fast + past], age_s, sums)
    high = surprise_of([fast + more], [fast + more + past], age_s, (sums[0] + more, sums[1] + more))
    assert high.p_value[0] <= low.p_value[0] * (1 + 1e-6) + 1e-12
    assert high.score[0] >= low.score[0] - 1e-9
    for value in (low.score[0], high.score[0], low.p_value[0], high.p_value[0]):
        assert 0 <= value <= 1


def test_usual_rate_surprises_nobody():
    found = surprise_of([20.0], [20.0 * TAU_SLOW / TAU])
    assert found.p_value[0] > 0.1
    assert found.lift[0] == pytest.approx(1, abs=0.25)
    assert found.score[0] < 0.02


def test_a_busy_hour_of_the_whole_site_is_expected():
    quiet = surprise_of([60.0], [20.0 * TAU_SLOW / TAU + 40])
    busy = surprise_of([60.0], [20.0 * TAU_SLOW / TAU + 40], site=(3000.0, 14000.0))
    assert busy.expected[0] > 2 * quiet.expected[0]
    assert busy.p_value[0] > 100 * quiet.p_value[0]


def test_nothing_trends_in_a_steady_world():
    pool = world()
    state = TrendingDetector().update(steady_counters(pool), pool, NOW)
    assert not any(entry.labelled for entry in state.entries)


def test_a_burst_is_labelled_with_the_numbers_behind_it():
    pool = world()
    counters = steady_counters(pool)
    burst(counters, 7, 80)
    state = TrendingDetector().update(counters, pool, NOW)
    first = state.entries[0]
    assert first.article_id == "a7"
    assert first.labelled
    assert first.since == NOW
    assert first.readers == pytest.approx(counters.clicks(np.array([7]), NOW)[0, 0])
    assert first.lift >= 2
    assert first.p_value < TrendingRules().p_on
    assert first.window_minutes == 43
    assert state.labelled(np.array([7, 8])).tolist() == [True, False]
    assert state.score(np.array([7, 10_000]))[1] == 0


def test_too_few_readers_are_no_trend_however_unusual():
    pool = world()
    counters = steady_counters(pool, per_hour=0.05)
    burst(counters, 3, 9)
    state = TrendingDetector().update(counters, pool, NOW)
    assert not any(entry.labelled for entry in state.entries)


def test_a_new_article_is_judged_by_articles_of_its_age():
    pool = world(published_at=NOW - 1800)
    few, many = Counters(pool.ids), Counters(pool.ids)
    for row in range(1, 50):
        burst(many, row, 40, minutes=29)
    burst(few, 0, 60, minutes=29)
    burst(many, 0, 60, minutes=29)
    assert TrendingDetector().update(few, pool, NOW).entries[0].labelled
    assert not any(e.labelled for e in TrendingDetector().update(many, pool, NOW).entries)


def counters_after_burst(pool, now, readers=60):
    counters = steady_counters(pool, until=now)
    burst(counters, 7, readers, at=NOW)
    return counters


def test_label_stays_on_through_a_lull_and_keeps_since():
    pool = world()
    detector = TrendingDetector()
    detector.update(counters_after_burst(pool, NOW), pool, NOW)
    later = NOW + 55 * 60
    counters = counters_after_burst(pool, later)
    held = detector.update(counters, pool, later)
    fresh = TrendingDetector().update(counters, pool, later)
    assert [e.article_id for e in held.entries if e.labelled] == ["a7"]
    assert held.entry(7).since == NOW
    assert not any(e.labelled for e in fresh.entries)
    evening = NOW + 6 * HOUR
    state = detector.update(counters_after_burst(pool, evening), pool, evening)
    assert not any(e.labelled for e in state.entries)


def test_restored_detector_goes_on_where_the_other_stopped():
    pool = world()
    state = TrendingDetector().update(counters_after_burst(pool, NOW), pool, NOW)
    restored = TrendingDetector(previous=TrendingState.from_bytes(state.to_bytes(), pool.ids))
    later = NOW + 55 * 60
    assert restored.update(counters_after_burst(pool, later), pool, later).entry(7).since == NOW


def test_labels_are_capped_and_the_strongest_win():
    pool = world()
    counters = steady_counters(pool, per_hour=1)
    for row in range(6):
        burst(counters, row, 60 + 40 * row)
    rules = TrendingRules(max_labels=3)
    state = TrendingDetector(rules=rules).update(counters, pool, NOW)
    labelled = [e.article_id for e in state.entries if e.labelled]
    assert sorted(labelled) == ["a3", "a4", "a5"]
    assert state.entries[0].labelled


def test_a_label_is_not_lost_to_an_article_that_is_hardly_stronger():
    pool = world()
    counters = steady_counters(pool, per_hour=1)
    detector = TrendingDetector(rules=TrendingRules(max_labels=1))
    burst(counters, 1, 80)
    assert labels_of(detector.update(counters, pool, NOW)) == ["a1"]
    burst(counters, 2, 84)
    state = detector.update(counters, pool, NOW)
    scores = state.score(np.array([1, 2]))
    assert scores[1] > scores[0] > 0
    assert labels_of(state) == ["a1"]
    assert labels_of(
        TrendingDetector(rules=TrendingRules(max_labels=1)).update(counters, pool, NOW)
    ) == ["a2"]


def labels_of(state):
    return [entry.article_id for entry in state.entries if entry.labelled]


def test_a_retracted_article_does_not_trend():
    pool = world(articles=3)
    counters = steady_counters(pool)
    burst(counters, 1, 80)
    builder = PoolBuilder(pool.ids)
    for number in range(3):
        article = Article(
            article_id=f"a{number}", title="t", published_at=NOW - 9e4, retracted=number == 1
        )
        builder.add(article, None, NOW - 9e4)
    state = TrendingDetector().update(counters, builder.snapshot(), NOW)
    assert all(entry.article_id != "a1" for entry in state.entries)


def test_a_sponsored_article_does_not_trend():
    pool = world()
    counters = steady_counters(pool)
    burst(counters, 7, 80)
    assert TrendingDetector().update(counters, pool, NOW).labelled(np.array([7]))[0]
    pool.sponsored[7] = True
    assert not TrendingDetector().update(counters, pool, NOW).entries


def test_bytes_carry_ids_and_take_the_rows_of_the_reading_process():
    pool = world()
    counters = steady_counters(pool)
    burst(counters, 7, 80)
    state = TrendingDetector().update(counters, pool, NOW)
    other = IdMap(["unrelated", "a7"])
    read = TrendingState.from_bytes(state.to_bytes(), other)
    assert read.entries == state.entries
    assert read.at == NOW
    assert read.labelled(np.array([0, 1])).tolist() == [False, True]
    assert read.entry(1) == state.entry(7)


def test_entries_of_a_page_are_those_of_its_rows():
    pool = world()
    counters = steady_counters(pool)
    for row in (3, 7):
        burst(counters, row, 80)
    state = TrendingDetector().update(counters, pool, NOW)
    rows = np.array([7, -1, 2, 3, pool.size])
    found = state.entries_of(rows)
    assert [entry and entry.article_id for entry in found] == ["a7", None, None, "a3", None]
    assert found[0] is state.entry(7)
    assert TrendingState().entries_of(rows) == [None] * 5


def test_lists_are_filtered_by_section_and_language():
    pool = world(sections=("news", "sport", "culture"))
    counters = steady_counters(pool, per_hour=1)
    for row in range(6):
        burst(counters, row, 80)
    state = TrendingDetector().update(counters, pool, NOW)
    sport = [e.article_id for e in state.select(pool, section="sport") if e.labelled]
    assert sorted(sport) == ["a1", "a4"]
    both = [e.article_id for e in state.select(pool, "sport", "da") if e.labelled]
    assert both == ["a1"]
    assert state.select(pool, section="unknown") == ()
    assert TrendingState().select(pool, section="sport") == ()


def test_empty_worlds_have_empty_states():
    pool = PoolBuilder().snapshot()
    state = TrendingDetector().update(Counters(pool.ids), pool, NOW)
    assert state.entries == ()
    rows = np.array([0, 5])
    assert state.score(rows).tolist() == [0, 0]
    assert build_state(NOW, [], pool.ids).labelled(rows).tolist() == [False, False]


class Withheld:
    """A bound on networks that withholds all but `counted` readers of one row."""

    def __init__(self, row, came, counted):
        self.row, self.out = row, came - counted

    def withheld(self, rows, _now):
        return np.where(rows == self.row, self.out, 0.0)[:, None] * np.ones(len(HALF_LIVES_S))

    def site_withheld(self, _now):
        return np.full(len(HALF_LIVES_S), self.out)

    def readers(self, rows, _now):
        return np.where(rows == self.row, 1.0, 0.0)


def test_the_tests_of_an_update_are_what_it_judged_by():
    pool = world()
    counters = steady_counters(pool)
    burst(counters, 3, 60)
    burst(counters, 5, 60)
    came = float(counters.clicks(np.array([5]), NOW)[0, 0])
    detector = TrendingDetector()
    assert detector.tests() is None
    state = detector.update(counters, pool, NOW, Withheld(5, came, 4.0))
    tests = TrendTests.from_bytes(detector.tests().to_bytes())
    assert (tests.at, tests.window_minutes) == (NOW, 43)
    for entry in state.entries:
        test = tests.of(entry.article_id)
        judged = (test.readers, test.expected, test.lift, test.p_value)
        assert judged == (entry.readers, entry.expected, entry.lift, entry.p_value)
    bound = tests.of("a5")
    assert "a5" not in {entry.article_id for entry in state.entries}
    assert (bound.came, bound.readers, bound.is_met) == (came, pytest.approx(4.0), False)
    assert [test.article_id for test in tests.tests if test.is_met] == ["a3"]
    assert tests.of("nobody") is None


def test_a_test_says_that_an_article_waits_for_its_label():
    pool = world()
    counters = steady_counters(pool)
    burst(counters, 5, 60)
    came = float(counters.clicks(np.array([5]), NOW)[0, 0])
    detector = TrendingDetector()
    waits = []
    for seconds in (0, 10, 40):
        detector.update(counters, pool, NOW + seconds, Withheld(5, came, came))
        test = detector.tests().of("a5")
        assert test.is_met
        waits.append(test.waits_since)
    assert waits == [NOW, NOW, None]
