"""Satisfied reads: which clicks are, when that is known, and what is learnt and judged by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.features.embeddings import BODY_CHARACTERS
from feed.features.interactions import READ, EventColumns
from feed.models.bundle import ModelBundle
from feed.models.satisfied_ranker import SatisfiedRanker
from feed.offline.evaluation import evaluate
from feed.offline.evaluation_report import build_report, evaluation_document
from feed.offline.event_log import EventLog, kinds_of, sort_events
from feed.offline.gate import judge
from feed.offline.methods import MODEL, SERVED
from feed.offline.ranking_metrics import expected_found, sort_lists
from feed.offline.reads import NOT_KNOWN, ClickStore, SatisfiedReads
from feed.offline.scorebook import ScoreBook
from feed.offline.training import hold_out, train
from feed.offline.walk_plan import WalkPlan
from feed.training_config import TrainingConfig

T0 = 1_700_000_000.0
HOUR = 3600.0
ENOUGH_S = 30.0
CLICKS = TrainingConfig(factors=8, iterations=4, ranker_trees=30, ranker_min_impressions=50)
READS = replace(CLICKS, satisfied_reads=True)


def is_thin(rows: np.ndarray) -> np.ndarray:
    """Return which articles disappoint whoever clicks them: every other one of each section."""
    return rows // 2 % 2 == 1


def with_reads(log: EventLog, dwell_s: np.ndarray) -> EventLog:
    """Return a log of clicks in which a read follows each, of so many seconds."""
    clicks = log.events.columns
    read = EventColumns(
        users=clicks.users,
        articles=clicks.articles,
        kinds=kinds_of(len(clicks.users), READ),
        occurred_at=clicks.occurred_at + dwell_s,
        dwell_s=dwell_s,
    )
    names = ("users", "articles", "kinds", "occurred_at", "dwell_s")
    columns = {n: np.concatenate([getattr(clicks, n), getattr(read, n)]) for n in names}
    yes = np.arange(len(columns["users"])) < len(clicks.users)
    return replace(log, events=sort_events(EventColumns(**columns), yes, ~yes & False, yes))


@pytest.fixture(scope="module")
def world(make_world) -> EventLog:
    """Return a log whose readers click by section, and leave thin articles after 5 seconds."""
    log = make_world(lists=1200, taste=3.0)
    articles = log.events.columns.articles
    return with_reads(log, np.where(is_thin(articles), 5.0, 60.0))


@pytest.fixture(scope="module")
def by_clicks(world) -> ModelBundle:
    return train(world, hold_out(world).start, CLICKS, RankingConfig(), version="clicks")


@pytest.fixture(scope="module")
def by_reads(world) -> ModelBundle:
    return train(world, hold_out(world).start, READS, RankingConfig(), version="reads")


def of_one_click(log: EventLog, dwell_s: float, until: float = np.inf) -> int:
    """Return the label of the log's first click, if the reader stayed so long."""
    dwells = np.full(len(log.events), 60.0)
    dwells[0] = dwell_s
    reads = SatisfiedReads(with_reads(log, dwells), -np.inf, until, ENOUGH_S)
    seen = next(iter(log.impressions))
    (label,) = reads.label(seen.user, seen.shown[seen.clicked], seen.at).tolist()
    return int(label)


@pytest.mark.parametrize(("dwell_s", "label"), [(29.9, 0), (30.0, 1), (0.0, 0)])
def test_a_reader_who_stays_long_enough_was_satisfied(make_world, dwell_s, label):
    assert of_one_click(make_world(lists=4), dwell_s) == label


def test_how_long_a_reader_stays_is_not_known_before_the_read_has_ended(make_world):
    log = make_world(lists=4)
    ended = float(log.events.columns.occurred_at[0]) + 60.0
    assert of_one_click(log, 60.0, until=ended) == NOT_KNOWN
    assert of_one_click(log, 60.0, until=ended + 0.1) == 1


def test_a_click_that_no_read_followed_within_a_day_is_not_known(make_world):
    log = make_world(lists=4)
    assert of_one_click(log, 25 * HOUR) == NOT_KNOWN
    silent = SatisfiedReads(log, -np.inf, np.inf, ENOUGH_S)
    assert not len(silent)
    assert not any(silent.satisfied(seen).any() for seen in log.impressions)


@pytest.mark.parametrize(
    ("body", "least_s"),
    [
        ("", 30.0),
        ("word " * 40, 40 / (238 / 60)),
        ("word " * 119, 30.0),
        ("w " * (BODY_CHARACTERS // 2), 30.0),  # a log may hold only its beginning
        ("文" * 300, 30.0),
    ],
)
def test_a_short_text_is_read_sooner(make_world, body, least_s):
    log = make_world(lists=4)
    catalogue = tuple(replace(article, body=body) for article in log.catalogue)
    log = replace(log, catalogue=catalogue)
    assert of_one_click(log, least_s + 0.1) == 1
    assert of_one_click(log, least_s - 0.1) == 0


def test_only_clicks_of_the_window_teach_whose_reads_have_ended(world):
    store, lists = ClickStore(6 * HOUR), list(world.impressions)
    for number, seen in enumerate(lists):
        features = np.full((1, 3), number, np.float32)
        store.add(features, seen.shown[seen.clicked], seen.user, seen.at)
    until = T0 + 40 * HOUR
    found = store.collect(until, SatisfiedReads(world, -np.inf, until, ENOUGH_S))
    numbers = found.features[:, 0].astype(int)
    assert all(until - 6 * HOUR <= lists[number].at < until for number in numbers)
    thin = np.array([is_thin(lists[n].shown[lists[n].clicked])[0] for n in numbers])
    np.testing.assert_array_equal(found.satisfied, ~thin)
    recent = [n for n, seen in enumerate(lists) if until - 80.0 < seen.at < until]
    assert not {n for n in recent if lists[n].at + 20.0 + 60.0 > until} & set(
        numbers[found.satisfied].tolist()
    )


def test_what_happens_after_the_training_teaches_nothing(world):
    until = T0 + 40 * HOUR
    columns = world.events.columns
    later = (columns.occurred_at >= until) & (columns.kinds == READ)
    dwells = np.where(later, 1.0, columns.dwell_s)
    other = replace(world.events, columns=replace(columns, dwell_s=dwells))
    one, two = (
        train(log, until, READS, RankingConfig(), version="v")
        for log in (world, replace(world, events=other))
    )
    assert isinstance(one.ranker, SatisfiedRanker)
    assert isinstance(two.ranker, SatisfiedRanker)
    assert one.ranker.reads.text == two.ranker.reads.text
    assert one.ranker.clicks.text == two.ranker.clicks.text


def test_a_model_of_reads_orders_what_satisfies_first(world, by_clicks, by_reads):
    assert isinstance(by_reads.ranker, SatisfiedRanker)
    notes = by_reads.manifest["reads"]["pool"]
    assert notes["trees"] > 0
    assert 0 < notes["satisfied"] < notes["clicks"]
    verdict = judge(world, by_reads, by_clicks, hold_out(world), 0.01, RankingConfig())
    assert verdict.metric == "pool nDCG@10 of satisfied reads"
    assert verdict.better
    back = judge(world, by_clicks, by_reads, hold_out(world), 0.01, RankingConfig())
    assert back.metric == "pool nDCG@10"
    assert not back.better or back.candidate.n > verdict.candidate.n


def test_where_no_read_is_known_clicks_alone_decide(make_world):
    log = make_world(lists=800, taste=5.0)
    bundle = train(log, T0 + 40 * HOUR, READS, RankingConfig(), version="v")
    assert bundle.ranker is not None
    assert not isinstance(bundle.ranker, SatisfiedRanker)
    assert bundle.manifest["reads"]["pool"] == {"clicks": 0, "satisfied": 0, "trees": 0}


def test_an_evaluation_says_what_an_order_is_worth_in_satisfied_reads(world):
    def measured(config: TrainingConfig) -> dict[str, Any]:
        plan = WalkPlan(start=T0 + 36 * HOUR, end=T0 + 48 * HOUR, training=config)
        reads = SatisfiedReads(world, plan.start, np.inf, ENOUGH_S)
        book = evaluate(world, plan, ScoreBook(world, reads=reads))
        report = build_report(book, {})
        assert any(caveat.startswith("Expected reads") for caveat in report["caveats"])
        sections = {section.anchor for section in evaluation_document(report).sections}
        assert {"slate-reads", "pool-reads"} <= sections
        return report["protocols"]

    clicks, reads = measured(CLICKS), measured(READS)
    for protocol, method in (("slate", MODEL), ("pool", SERVED)):
        for metric in ("ndcg@10 of reads", "expected reads"):
            assert (
                reads[protocol][method][metric]["mean"] > clicks[protocol][method][metric]["mean"]
            )
    of_reads = clicks["pool"][SERVED]["ndcg@10 of reads"]
    assert 0 < of_reads["n"] < clicks["pool"][SERVED]["ndcg@10"]["n"]


def test_an_evaluation_of_a_log_without_reads_says_nothing_of_them(make_world):
    log = make_world(lists=300)
    plan = WalkPlan(start=T0 + 40 * HOUR, end=T0 + 48 * HOUR, training=CLICKS, heads=("slate",))
    reads = SatisfiedReads(log, plan.start, np.inf, ENOUGH_S)
    book = evaluate(log, plan, ScoreBook(log, reads=reads))
    report = build_report(book, {})
    assert "expected reads" not in report["protocols"]["slate"][MODEL]
    assert not any("reads" in caveat for caveat in report["caveats"])


def test_a_reader_comes_upon_the_lower_places_less_often():
    scores, relevant = np.arange(10.0)[::-1], np.zeros(10, bool)
    relevant[[0, 3]] = True
    ranked = sort_lists(scores, relevant, [5, 5])
    np.testing.assert_allclose(expected_found(ranked, 0.8), [1.0 + 0.8**3, 0.0])
