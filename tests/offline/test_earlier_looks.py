"""Lists that are looked at half an hour before their readers see them."""

from dataclasses import replace

import numpy as np
import pytest

from feed.documents.views import render_markdown
from feed.offline.earlier_looks import EARLIER_S, look_ahead
from feed.offline.evaluation import evaluate
from feed.offline.evaluation_report import build_report, evaluation_document
from feed.offline.event_log import EventLog
from feed.offline.log_source import StoredLog
from feed.offline.methods import CLICKS_BY_AGE, RANDOM, SERVED
from feed.offline.metric_values import EARLIER
from feed.offline.scorebook import ScoreBook
from feed.offline.walk_plan import WalkPlan
from feed.setting_fields import override
from feed.training_config import TrainingConfig

T0 = 1_700_000_000.0
HOUR = 3600.0
SMALL = override(
    TrainingConfig(),
    {"factors": 8, "iterations": 4, "ranker_trees": 10, "ranker_leaves": 7, "neighbours": 10},
)
START, END = T0 + 36 * HOUR, T0 + 42 * HOUR


def plan(**fields) -> WalkPlan:
    return WalkPlan(
        start=START, end=END, heads=("pool",), learn_pool_every=1, training=SMALL, **fields
    )


def measure(log: EventLog, **fields) -> ScoreBook:
    return evaluate(log, plan(**fields), ScoreBook(log))


@pytest.fixture(scope="module")
def world(make_world):
    return make_world(taste=3.0, lists=700)


@pytest.fixture(scope="module")
def book(world, tmp_path_factory):
    return measure(StoredLog(world, tmp_path_factory.mktemp("log")), earlier_every=2)


def test_moments_come_in_time_order_and_each_list_once(world):
    lists = list(world.impressions)
    found = list(look_ahead(lists, lambda seen: seen.number % 3 == 0))
    times = [seen.at for seen, _ in found]
    assert times == sorted(times)
    assert [seen for seen, is_earlier in found if not is_earlier] == lists
    earlier = [seen for seen, is_earlier in found if is_earlier]
    assert earlier == [replace(s, at=s.at - EARLIER_S) for s in lists[::3]]


def test_every_second_list_that_lies_deep_enough_in_the_window_is_measured_twice(book, world):
    views = world.impressions
    numbers = np.flatnonzero((views.at >= START + EARLIER_S) & (views.at < END))
    facts = book.metrics.facts(EARLIER)
    assert facts.numbers.tolist() == numbers[numbers % 2 == 0].tolist()
    np.testing.assert_array_equal(facts.at, views.at[facts.numbers] - EARLIER_S)


def test_what_is_measured_of_the_moment_itself_does_not_change(book, world):
    alone = measure(world)
    for method in alone.metrics.methods("pool"):
        if method != RANDOM:
            before, after = (b.metrics.values("pool", method, "ndcg@10") for b in (alone, book))
            np.testing.assert_allclose(before, after, err_msg=method)


def test_the_half_hour_before_a_list_is_unknown_at_the_earlier_moment(book, world, scramble_future):
    """Whatever happens from a moment on, lists of the next half hour are measured alike."""
    facts = book.metrics.facts(EARLIER)
    moment = facts.at[len(facts.at) // 2] + 1.0
    views, columns = world.impressions, world.events.columns
    half_hour = (columns.occurred_at >= moment) & (columns.occurred_at < moment + EARLIER_S)
    assert half_hour.sum() > 3
    mixed = scramble_future(world, moment, 4)
    # Who asks for what is kept: only what the half hour did to counters and readers is mixed.
    other = measure(replace(mixed, impressions=views), earlier_every=2)
    same = facts.at < moment
    for method in (SERVED, CLICKS_BY_AGE):
        before, after = (b.metrics.values(EARLIER, method, "ndcg@10") for b in (book, other))
        np.testing.assert_allclose(before[same], after[same], err_msg=method)
        fresh = book.metrics.values("pool", method, "ndcg@10")
        assert not np.allclose(fresh, other.metrics.values("pool", method, "ndcg@10"))


def test_leads_are_compared_on_the_same_lists(book):
    found = book.metrics.leads_by_freshness(SERVED, "ndcg@10")
    assert SERVED not in found
    lead, before, freshness = found[CLICKS_BY_AGE]
    assert lead.n == before.n == freshness.n == len(book.metrics.facts(EARLIER).numbers)
    assert freshness.mean == pytest.approx(lead.mean - before.mean)


def test_the_report_prints_what_of_the_lead_is_freshness(book):
    report = build_report(book, {"dataset": "world"})
    found = report["freshness"][CLICKS_BY_AGE]
    assert found["freshness"]["mean"] == pytest.approx(
        found["lead"]["mean"] - found["lead half an hour earlier"]["mean"]
    )
    assert "What of the lead in ndcg@10 is freshness" in render_markdown(
        evaluation_document(report)
    )


def test_nobody_looks_earlier_unless_asked(world):
    book = measure(world)
    assert not book.metrics.leads_by_freshness(SERVED, "ndcg@10")
    assert "freshness" not in render_markdown(evaluation_document(build_report(book, {})))
