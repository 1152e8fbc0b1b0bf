"""The readers of a story's articles count together, each once, and one label tells of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.domain import Article
from feed.features.counters import HALF_LIVES_S, Counters
from feed.features.ids import IdMap
from feed.features.network_bound import NetworkBound
from feed.features.pool import PoolBuilder
from feed.features.stories import Stories
from feed.features.story_readers import in_company, repeated_reads, stories_of
from feed.features.surprise import TrendingRules, measure_surprise
from feed.features.trend_tests import TrendTests
from feed.features.trending import TrendingDetector, TrendingState

NOW = 1_000_000_000.0
HOUR = 3600.0
ARTICLES = 50


def world(*stories, articles=ARTICLES, published_at=NOW - 40 * HOUR, **fields):
    """A pool of which some articles tell one story each; its first article comes first."""
    builder = PoolBuilder()
    for number in range(articles):
        article = Article(
            article_id=f"a{number}",
            title="t",
            published_at=published_at,
            section="sport" if number % 2 else "news",
            language="da" if number % 3 == 0 else "en",
            **fields,
        )
        builder.add(article, None, published_at)
    return with_stories(builder.snapshot(), *stories)


def with_stories(pool, *stories):
    story = np.arange(pool.size)
    for rows in stories:
        story[list(rows)] = rows[0]
    several = np.isin(np.arange(pool.size), [row for rows in stories for row in rows])
    versions = {rows[0]: np.array(sorted(rows)) for rows in stories}
    found = Stories(story, np.arange(pool.size), np.full(pool.size, -1), several, versions)
    return replace(pool, stories=found)


def steady_counters(pool, per_hour=4.0, until=NOW, hours=40):
    counters = Counters(pool.ids)
    times = np.arange(until - hours * HOUR, until, HOUR / per_hour)
    for row in range(pool.size):
        counters.add_clicks(np.full(len(times), row), times)
    return counters


def burst(counters, row, readers, at=NOW, minutes=20):
    times = np.linspace(at - minutes * 60, at, readers)
    counters.add_clicks(np.full(readers, row), times)
    return times


def labels_of(state):
    return [entry.article_id for entry in state.entries if entry.labelled]


@pytest.fixture
def split():
    """A burst that is spread over four articles of one story."""
    counters = steady_counters(world())
    for row, readers in ((3, 7), (9, 9), (11, 8), (14, 6)):
        burst(counters, row, readers)
    return counters


def test_a_story_of_which_no_article_trends_alone_is_labelled_once(split):
    alone, together = world(), world((3, 9, 11, 14))
    assert labels_of(TrendingDetector().update(split, alone, NOW)) == []
    state = TrendingDetector().update(split, together, NOW)
    assert labels_of(state) == ["a9"], "the one that most readers read leads"
    (entry,) = [one for one in state.entries if one.labelled]
    assert entry.others == ("a11", "a3", "a14")
    rows = np.array([3, 9, 11, 14])
    assert entry.readers == pytest.approx(split.clicks(rows, NOW)[:, 0].sum())
    assert state.entry(14) is entry
    assert state.labelled(np.array([14, 9, 10])).tolist() == [True, True, False]
    assert state.labelled_once(np.array([10, 14, 9])).tolist() == [False, True, False]
    assert len(set(state.score(rows))) == 1


def test_without_a_story_of_several_articles_nothing_changes():
    counters = steady_counters(world())
    for row, readers in ((3, 60), (9, 5), (30, 25)):
        burst(counters, row, readers)
    before, after = TrendingDetector(), TrendingDetector()
    state = before.update(counters, replace(world(), stories=None), NOW)
    assert labels_of(state) == ["a3", "a30"]
    assert after.update(counters, world((9,)), NOW).to_bytes() == state.to_bytes()
    assert after.tests().tests == before.tests().tests


@given(st.integers(1, 30), st.floats(0.5, 60), st.floats(0.5, 40))
@settings(max_examples=60, deadline=None)
def test_a_story_does_not_trend_because_it_has_many_articles(articles, per_hour, hours):
    tau, slow = (HALF_LIVES_S[i] / np.log(2) for i in (0, 2))
    age = np.full(200, hours * HOUR)
    fast = per_hour / HOUR * tau * (1 - np.exp2(-age / HALF_LIVES_S[0]))
    slow = per_hour / HOUR * slow * (1 - np.exp2(-age / HALF_LIVES_S[2]))
    stories = np.concatenate([np.zeros(articles, int), np.arange(1, 201 - articles)])
    site = (float(fast.sum()), float(slow.sum()))
    found = measure_surprise(
        fast, slow, age, site, HALF_LIVES_S[0], TrendingRules(), stories=stories
    )
    assert found.lift[0] < 1.3
    assert found.p_value[0] > 0.01


def test_more_articles_make_no_weaker_a_burst_into_a_trend():
    """What just fails for one article fails for four that share it, and for it among idle ones."""
    for readers in range(15, 60):
        counters = steady_counters(world(), per_hour=20, hours=20)
        burst(counters, 3, readers)
        if labels_of(TrendingDetector().update(counters, world(), NOW)):
            break
        for pool in (world((3, 9)), world((3, 9, 11, 14))):
            assert not labels_of(TrendingDetector().update(counters, pool, NOW))
    assert 15 < readers < 59


def test_a_reader_of_several_articles_of_a_story_counts_once(split):
    pool = world((3, 9, 11, 14))
    bound = NetworkBound(pool.ids)
    for row, readers in ((3, 7), (11, 8), (14, 6)):  # those of a9 have read all of it
        bound.add_repeats([row] * readers, np.linspace(NOW - 1200, NOW, readers))
    detector = TrendingDetector()
    state = detector.update(split, pool, NOW, bound)
    assert labels_of(state) == []
    test = detector.tests().of("a14")
    assert test.came - test.readers == pytest.approx(17, abs=2)


def test_a_network_counts_for_a_story_as_for_one_article():
    ids = IdMap(f"a{n}" for n in range(4))
    bound = NetworkBound(ids)
    rows = [0, 1, 2, 3] * 25
    one = NetworkBound(ids)
    columns = (["x"] * 100, [False] * 100, [NOW] * 100, [NOW] * 100)
    together = bound.add_readers(rows, *columns, stories=[0] * 100)
    assert together.tolist() == one.add_readers([0] * 100, *columns).tolist()
    withheld = bound.withheld(np.arange(4), NOW)[:, 0]
    assert withheld.sum() == pytest.approx(100)


def test_second_reads_of_a_story_are_found():
    stories = world((3, 9), (4, 5, 6)).stories
    rows = np.array([9, 9, 6, 7, 60])
    previous = np.array([3, 1, 4, 5, -1, 9, 60])
    counts = np.array([1, 0, 3, 2, 1])
    assert repeated_reads(stories, rows, previous, counts).tolist() == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert repeated_reads(None, rows, previous, counts).tolist() == [False] * 5
    rows = np.array([9, 6, 7, 60, -1])
    assert stories_of(stories, rows).tolist() == [3, 4, 7, 60, -1]
    assert in_company(stories, rows).tolist() == [True, True, False, False, False]


def test_without_any_article_a_click_is_of_no_story():
    none = np.zeros(0, np.int64)
    stories = Stories(none, none, none, np.zeros(0, np.bool_), {})
    rows = np.array([3, -1])
    assert stories_of(stories, rows).tolist() == [3, -1]
    assert in_company(stories, rows).tolist() == [False, False]
    assert not repeated_reads(stories, rows, np.array([1]), np.array([1, 0])).any()


def test_the_label_stays_with_a_story_whose_leading_article_changes(split):
    pool, detector = world((3, 9, 11, 14)), TrendingDetector()
    assert labels_of(detector.update(split, pool, NOW)) == ["a9"]
    burst(split, 11, 2, at=NOW + 60, minutes=1)
    state = detector.update(split, pool, NOW + 60)
    assert labels_of(state) == ["a9"], "an article hardly more read does not take the lead"
    burst(split, 14, 20, at=NOW + 120, minutes=1)
    state = detector.update(split, pool, NOW + 120)
    assert labels_of(state) == ["a14"]
    assert state.entry(9).since == NOW


def test_a_restart_that_groups_otherwise_keeps_the_label(split):
    state = TrendingDetector().update(split, world((3, 9, 11, 14)), NOW)
    read = TrendingState.from_bytes(state.to_bytes(), IdMap([f"a{n}" for n in range(ARTICLES)]))
    assert read.entries == state.entries
    restored = TrendingDetector(previous=read)
    again = restored.update(split, world((9, 11, 14)), NOW + 1)
    assert again.entry(14).since == NOW


def test_bytes_of_a_story_are_read_by_processes_that_know_no_stories(split):
    state = TrendingDetector().update(split, world((3, 9, 11, 14)), NOW)
    content = json.loads(state.to_bytes())
    assert all("others" not in entry for entry in content["entries"])
    del content["others"]  # written by such a process
    read = TrendingState.from_bytes(json.dumps(content).encode(), IdMap(["a9", "a14"]))
    assert read.labelled(np.array([0, 1])).tolist() == [True, False]


def test_lists_show_the_article_of_a_story_that_fits(split):
    pool = world((3, 9, 11, 14))
    state = TrendingDetector().update(split, pool, NOW)
    assert [e.article_id for e in state.select(pool) if e.labelled] == ["a9"]
    assert [e.article_id for e in state.select(pool, section="news") if e.labelled] == ["a14"]
    assert [e.article_id for e in state.select(pool, language="en") if e.labelled] == ["a11"]
    (entry,) = state.select(pool, section="news", language="en")
    assert (entry.article_id, entry.others) == ("a14", ("a9", "a11", "a3"))
    without = state.without("a9", pool.ids)
    assert labels_of(without) == ["a11"]
    assert without.labelled(np.array([9, 14])).tolist() == [False, True]


def test_the_test_of_each_article_is_that_of_its_story(split):
    detector = TrendingDetector()
    detector.update(split, world((3, 9, 11, 14)), NOW)
    tests = TrendTests.from_bytes(detector.tests().to_bytes())
    assert tests.of("a3") is tests.of("a9")
    assert tests.of("a3").is_met
    assert not tests.of("a4").is_met
