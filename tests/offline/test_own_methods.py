"""Methods of other people in the table: what they are shown and may return, and how they fail."""

from dataclasses import replace

import numpy as np
import pytest

from feed.documents.views import render_latex, render_markdown
from feed.domain import InvalidInputError
from feed.offline.evaluation import evaluate
from feed.offline.evaluation_report import build_report, evaluation_document
from feed.offline.log_source import StoredLog
from feed.offline.own_methods import MethodError, OwnMethods, open_method
from feed.offline.parallel import evaluate_protocols
from feed.offline.scorebook import ScoreBook
from feed.offline.walk_plan import WalkPlan
from feed.setting_fields import override
from feed.training_config import TrainingConfig

T0 = 1_700_000_000.0
HOUR = 3600.0
EXAMPLE = "lab.examples.recent_clicks:RecentClicks"
BUILT_IN = "clicks, half-life 30 min"
SMALL = {"factors": 4, "iterations": 2, "ranker_trees": 5, "ranker_min_impressions": 100}


DIARIES = []


class Diary:
    """Notes all that it is shown, and asked."""

    def __init__(self):
        self.shown, self.asked = [], []
        DIARIES.append(self)

    def observe(self, happened):
        self.shown.append(happened)

    def score(self, asked):
        self.asked.append((asked, len(self.shown)))
        return np.zeros(len(asked.rows))


class Failing(Diary):
    def score(self, asked):
        raise KeyError(f"device {asked.device}")


class TooShort(Diary):
    def score(self, asked):
        return asked.rows[:1]


class Unsure(Diary):
    def score(self, asked):
        return [float("nan")] * len(asked.rows)


class Silent:
    def observe(self, happened):
        del happened


def plan(**changes):
    training = override(TrainingConfig(), SMALL)
    fields = {"retrain_every_s": 12 * HOUR, "training": training, "learn_pool_every": 1} | changes
    return WalkPlan(start=T0 + 36 * HOUR, end=T0 + 48 * HOUR, **fields)


def walk(log, name, **changes):
    book = ScoreBook(log, own=OwnMethods([f"{__name__}:{name}"], log, None))
    return evaluate(log, plan(**changes), book)


def test_a_method_that_does_what_a_baseline_does_gets_its_numbers(make_world, tmp_path):
    log = make_world(lists=500, appeal=1.5)
    book = evaluate_protocols(StoredLog(log, tmp_path), plan(), methods=[EXAMPLE])
    report = build_report(book, {"dataset": "world"})
    for protocol in ("slate", "pool"):
        mine, built_in = (report["protocols"][protocol][name] for name in (EXAMPLE, BUILT_IN))
        assert mine.keys() == built_in.keys()
        for metric, found in built_in.items():
            assert mine[metric] == pytest.approx(found), metric
        assert report["leads"][protocol][EXAMPLE] == report["leads"][protocol][BUILT_IN]


def test_a_method_is_shown_all_that_came_before_and_nothing_else(make_world):
    log = make_world(lists=300)
    DIARIES.clear()
    walk(log, "Diary", heads=("slate",))
    (diary,) = DIARIES
    views, columns = log.impressions, log.events.columns
    assert len(diary.asked) == len(views.between(T0 + 36 * HOUR, T0 + 48 * HOUR))
    for asked, shown in (diary.asked[0], diary.asked[70], diary.asked[-1]):
        before = diary.shown[:shown]
        at, rows = (np.concatenate([getattr(h, n) for h in before]) for n in ("at", "rows"))
        earlier = columns.occurred_at < asked.at
        np.testing.assert_array_equal(at, columns.occurred_at[earlier])
        np.testing.assert_array_equal(rows, columns.articles[earlier])
        lists = np.concatenate([h.list_at for h in before])
        np.testing.assert_array_equal(lists, views.at[views.at < asked.at])
        seen = np.concatenate([h.shown for h in before])
        np.testing.assert_array_equal(seen, views.shown[: len(seen)])
        there = np.concatenate([h.appeared for h in before])
        assert len(set(there.tolist())) == len(there)
        assert set(there.tolist()) == set(np.flatnonzero(log.first_seen_at <= asked.at).tolist())
    titles = [a.section for h in diary.shown for a in h.articles if a is not None]
    assert set(titles) == {"red", "blue"}


def test_what_was_delivered_late_is_shown_when_it_had_arrived(make_world):
    log = make_world(lists=300)
    arrives = log.events.columns.occurred_at.copy()
    late = int(np.searchsorted(arrives, T0 + 30 * HOUR))
    arrives[late] = T0 + 40 * HOUR
    log = replace(log, events=replace(log.events, arrives_at=arrives))
    DIARIES.clear()
    walk(log, "Diary", heads=("slate",))
    (diary,) = DIARIES
    moment = log.events.columns.occurred_at[late]
    told = next(n for n, h in enumerate(diary.shown) if moment in h.at)
    asked_at = [asked.at for asked, shown in diary.asked if shown > told]
    assert asked_at[0] > T0 + 40 * HOUR
    assert sum(len(h.at) for h in diary.shown) == int((arrives < diary.asked[-1][0].at).sum())


def test_an_article_in_a_list_is_known_even_if_it_claims_to_come_later(make_world):
    log = make_world(lists=300)
    times = log.first_seen_at.copy()
    times[log.impressions.shown[-8:]] = np.inf
    DIARIES.clear()
    walk(replace(log, first_seen_at=times), "Diary", heads=("slate",))
    (diary,) = DIARIES
    appeared = {row for happened in diary.shown for row in happened.appeared.tolist()}
    assert set(log.impressions.shown[-8:].tolist()) <= appeared


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Failing", r"score failed: KeyError: 'device 0' \(test_own_methods.py:\d+\)"),
        ("TooShort", r"score must return 8 numbers, not shape \(1,\)"),
        ("Unsure", "score must return finite numbers"),
    ],
)
def test_a_method_that_fails_is_named(make_world, name, rule):
    with pytest.raises(MethodError, match=f"{name}: {rule}"):
        walk(make_world(lists=300), name, heads=("slate",))


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("numpy", "must be module:Class, or a name in feed.methods"),
        ("nowhere_at_all:Class", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("numpy:Nothing", "AttributeError"),
        (f"{__name__}:Silent", "has no method score"),
    ],
)
def test_what_is_no_method_is_refused(name, rule):
    with pytest.raises(InvalidInputError, match=f"--method: .*{rule}"):
        open_method(name)


def test_tables_come_as_markdown_and_latex(make_world):
    log = make_world(lists=300)
    book = walk(log, "Diary", heads=("slate",))
    document = evaluation_document(build_report(book, {"dataset": "50 % of a_b"}))
    name = f"{__name__}:Diary"
    assert f"| {name} |" in render_markdown(document)
    latex = render_latex(document)
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") >= 3
    assert r"dataset 50 \% of a\_b" in latex
    escaped = name.replace("_", "\\_")
    (line, *_) = (one for one in latex.splitlines() if one.strip().startswith(escaped))
    columns = next(one for one in latex.splitlines() if one.strip().startswith("method &"))
    assert line.count("&") == columns.count("&")
    assert line.endswith(r"\\")
