"""An effect that wears off is told from one that stays."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape

import numpy as np
import pytest
from lab.simulation.archive import World
from lab.simulation.drifts import try_constant_effects

from feed.documents.views import render_html, render_markdown
from feed.experiments.design.definitions import StoppingRule
from feed.experiments.design.metrics import METRICS, metric_from_json
from feed.experiments.judgement.drifts import describe_drift
from feed.experiments.judgement.results import Drift, Report, TimeCourse
from feed.experiments.report.writing import experiment_document
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import ArmMean, Effect
from feed.experiments.statistics.novelty import estimate_drift

STEADY = World(experiment="trial", readers=4000, days=9, pre_days=2, visits=0.6, lift=0.4)
NOVEL = World(
    experiment="trial", readers=4000, days=9, pre_days=2, visits=0.6, lift=0.8, lifted_days=3
)

ReportOn = Callable[..., Report]


@pytest.mark.parametrize("rule", list(StoppingRule))
def test_an_effect_that_wears_off_is_said_to(report_on: ReportOn, rule: StoppingRule) -> None:
    report = report_on(NOVEL, stopping_rule=rule)
    (course,) = report.courses
    assert course.drift is not None
    assert course.drift.early is not None
    assert course.drift.late is not None
    assert course.drift.early > 0.5
    assert abs(course.drift.late) < 0.2
    (remark,) = [reason for reason in report.verdict.reasons if "wears off" in reason]
    assert "changes with time" in report.verdict.sentence
    text = unescape(render_markdown(experiment_document(report)))
    assert " ".join(text.split()).count(" ".join(remark.split())) == 2


@pytest.mark.parametrize(
    ("early", "late", "said"),
    [
        (-0.048, 0.233, "turns round"),
        (0.2, -0.15, "turns round"),
        (0.6, -0.05, "wears off"),
        (-0.4, -0.05, "wears off"),
        (-0.05, -0.4, "grows"),
        (0.0, 0.2, "grows"),
    ],
)
def test_the_words_agree_with_the_first_and_the_last_effect(
    early: float, late: float, said: str
) -> None:
    nothing = ArmMean(0, None, 0.0)
    drift = Drift(Effect(nothing, nothing, 0.95), 0.01, early, late)
    course = TimeCourse(METRICS["clicks"], "new", (), (), (), drift)
    assert f"the effect on clicks per reader {said} with" in describe_drift(course, 0.05)


def test_an_effect_that_stays_is_not(report_on: ReportOn) -> None:
    report = report_on(STEADY, stopping_rule=StoppingRule.FIXED)
    assert report.courses[0].drift is not None
    assert not any("first exposure" in reason for reason in report.verdict.reasons)


def test_a_share_of_readers_is_not_said_to_wear_off(report_on: ReportOn) -> None:
    declared = {"title": "Readers who clicked", "kind": "share", "count": "clicks", "better": "up"}
    report = report_on(
        STEADY,
        stopping_rule=StoppingRule.FIXED,
        metrics={"clicked": metric_from_json("clicked", declared)},
        primary_metrics=("clicked",),
        planned_readers=2000,
    )
    assert report.primaries[0].comparisons[0].deciding.difference > 0
    assert not any("first exposure" in reason for reason in report.verdict.reasons)
    assert "changes with time" not in report.verdict.sentence
    text = unescape(render_html(experiment_document(report)))
    assert "A reader counts on the first day only." in " ".join(text.split())
    assert "suggests a novelty" not in text


def test_the_mean_day_of_a_ratio_is_that_beside_its_denominator() -> None:
    rng = np.random.default_rng(3)
    impressions = rng.poisson(5.0, (2, 900, 6)) + 1
    clicks = rng.binomial(impressions, 0.2)
    days = np.arange(6) - 2.5
    control, treatment = (
        Moments.from_arrays(c @ days, c.sum(axis=1), i @ days, i.sum(axis=1))
        for c, i in zip(clicks, impressions, strict=True)
    )
    found = estimate_drift(control, treatment)
    expected = [
        (c @ days).sum() / c.sum() - (i @ days).sum() / i.sum()
        for c, i in zip(clicks, impressions, strict=True)
    ]
    assert found.difference == pytest.approx(expected[1] - expected[0])
    assert found.p_value is not None
    assert found.p_value > 0.01


def test_a_constant_relative_effect_raises_no_false_alarm() -> None:
    tallies = try_constant_effects(seed=5, runs=600)
    for name in ("constant effect: drift found", "constant effect, ratio: drift found"):
        interval = tallies[name].interval(0.999)
        assert interval is not None
        assert interval.covers(0.05)
    rate = tallies["effect gone after two days: drift found"].rate
    assert rate is not None
    assert rate > 0.9
