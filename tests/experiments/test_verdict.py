from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from feed.config import DAY_S
from feed.experiments.design.definitions import (
    Experiment,
    GuardrailSpec,
    Status,
    StoppingRule,
    Variant,
)
from feed.experiments.design.metrics import METRICS, metric_from_json
from feed.experiments.judgement.estimates import (
    apply_rule,
    check_guardrail_sequence,
    compare_moments,
    judge_guardrail,
    least_effect,
    planned_pair,
    summarise_power,
)
from feed.experiments.judgement.forecast import forecast_days
from feed.experiments.judgement.results import (
    ArmSummary,
    CheckState,
    Comparison,
    GuardrailResult,
    MetricResult,
    PowerSummary,
    TrustCheck,
    VerdictKind,
)
from feed.experiments.judgement.verdict import decide
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import estimate_effect
from feed.experiments.statistics.sequential import estimate_sequence

READS, HIDES = METRICS["qualified_reads"], METRICS["hides"]
DESIGN = Experiment(
    name="x",
    hypothesis="h",
    owner="o",
    variants=(Variant(name="control", share=0.5), Variant(name="new", share=0.5)),
    planned_readers=8000,
    planned_days=7,
    status=Status.RUNNING,
)
FINE = TrustCheck("Sample ratio", CheckState.PASSED, "fine")


def moments(mean: float, seed: int, readers: int = 4000) -> Moments:
    return Moments.from_arrays(np.random.default_rng(seed).poisson(mean, readers))


def primary(lift: float, readers: int = 4000, metric: Any = READS) -> MetricResult:
    found = compare_moments(moments(3, 1, readers), moments(3 * (1 + lift), 2, readers), 0.95)
    sequence = estimate_sequence(found.deciding, 8000)
    done = dataclasses.replace(
        found,
        treatment="new",
        sequence=sequence,
        p_value=sequence.p_value,
        p_adjusted=sequence.p_value,
    )
    return MetricResult(metric, (done,))


def guardrail(change: float, margin: float) -> GuardrailResult:
    spec = GuardrailSpec(metric="hides", margin=margin)
    found = compare_moments(moments(2, 3), moments(2 * (1 + change), 4), 0.95)
    comparison = dataclasses.replace(found, treatment="new")
    return GuardrailResult(
        spec, HIDES, comparison, judge_guardrail(DESIGN, spec, HIDES, comparison, (4000, 4000))
    )


def verdict(
    lift: float,
    *,
    guardrails: tuple[GuardrailResult, ...] = (),
    checks: tuple[TrustCheck, ...] = (FINE,),
    days: float = 7.0,
    readers: int = 4000,
    metric: Any = READS,
    **changes: Any,
) -> VerdictKind:
    arms = [ArmSummary(name, 0.5, readers, readers, 1, 1) for name in ("control", "new")]
    design = dataclasses.replace(DESIGN, **changes)
    found = [primary(lift, readers, metric)]
    return decide(design, checks, arms, found, guardrails, days_run=days).kind


def test_a_proven_gain_ships_at_any_look_under_the_sequential_rule() -> None:
    assert verdict(0.2, days=2.0, minimum_days=1) is VerdictKind.SHIP


def test_no_primary_metric_decides_before_the_minimum_of_days() -> None:
    for lift, effect in ((0.2, 0.05), (-0.2, 0.05), (0.0, 0.3)):
        days = {"minimum_effect": effect, "planned_days": 14, "minimum_days": 7}
        assert verdict(lift, days=6.9, **days) is VerdictKind.GO_ON
        assert verdict(lift, days=7.0, **days) is not VerdictKind.GO_ON
    early = {"days": 2.0, "minimum_days": 7}
    assert verdict(0.2, guardrails=(guardrail(0.5, 0.05),), **early) is VerdictKind.DO_NOT_SHIP
    torn = TrustCheck("Join keys", CheckState.FAILED, "torn")
    assert verdict(0.2, checks=(torn,), **early) is VerdictKind.BROKEN


def test_a_proven_loss_ends_early() -> None:
    assert verdict(-0.2, days=2.0, minimum_days=1) is VerdictKind.DO_NOT_SHIP


def test_a_gain_too_small_to_matter_ends_early() -> None:
    assert verdict(0.0, days=2.0, minimum_days=1, minimum_effect=0.3) is VerdictKind.DO_NOT_SHIP


def test_an_open_question_goes_on_until_the_plan_is_over() -> None:
    assert verdict(0.0, days=2.0, minimum_effect=0.01) is VerdictKind.GO_ON
    assert verdict(0.0, days=7.0, minimum_effect=0.01) is VerdictKind.INCONCLUSIVE
    assert verdict(0.0, days=40.0, readers=3000, minimum_effect=0.01) is VerdictKind.INCONCLUSIVE
    assert verdict(0.0, days=2.0, minimum_effect=0.01, status=Status.STOPPED) is (
        VerdictKind.INCONCLUSIVE
    )


def test_the_fixed_rule_waits_for_readers_and_days() -> None:
    rule = StoppingRule.FIXED
    assert verdict(0.2, days=2.0, stopping_rule=rule) is VerdictKind.GO_ON
    assert verdict(0.2, readers=3000, stopping_rule=rule) is VerdictKind.INCONCLUSIVE
    assert verdict(0.2, stopping_rule=rule) is VerdictKind.SHIP


def test_a_breached_guardrail_outweighs_a_gain() -> None:
    assert verdict(0.2, guardrails=(guardrail(0.5, 0.05),)) is VerdictKind.DO_NOT_SHIP
    assert verdict(0.2, guardrails=(guardrail(0.0, 0.2),)) is VerdictKind.SHIP


def test_an_unproven_guardrail_keeps_a_gain_waiting() -> None:
    waiting = (guardrail(0.0, 0.001),)
    assert verdict(0.2, guardrails=waiting, days=2.0) is VerdictKind.GO_ON
    assert verdict(0.2, guardrails=waiting) is VerdictKind.INCONCLUSIVE


def in_own_unit(control: list[float], new: list[float], **changes: Any) -> Any:
    """The verdict on a metric whose control is not above 0."""
    found = compare_moments(Moments.from_arrays(control), Moments.from_arrays(new), 0.95)
    design = dataclasses.replace(DESIGN, **changes)
    done = apply_rule(design, dataclasses.replace(found, treatment="new"))
    done = dataclasses.replace(done, p_adjusted=done.p_value)
    arms = [ArmSummary(name, 0.5, 4000, 4000, 1, 1) for name in ("control", "new")]
    return decide(design, (FINE,), arms, [MetricResult(READS, (done,))], (), days_run=7.0)


@pytest.mark.parametrize("rule", list(StoppingRule))
def test_an_effect_without_an_interval_in_percent_has_one_in_its_own_unit(
    rule: StoppingRule,
) -> None:
    found = in_own_unit([0.0] * 4000, [0.0, 0.0, 0.0, 1.0] * 1000, stopping_rule=rule)
    assert found.kind is VerdictKind.SHIP
    assert "rose by 0.250" in found.sentence
    assert "qualified reads per reader +0.2" in found.reasons[1]
    assert "control is 0, so there is no interval in percent" in found.reasons[1]
    still = in_own_unit([-1.0, -3.0] * 2000, [-1.0, -3.0] * 2000, stopping_rule=rule)
    assert still.kind is VerdictKind.INCONCLUSIVE
    assert "is between \u22120." in still.sentence
    assert "control is below 0" in still.reasons[1]
    assert "yet" not in still.reasons[1]


def test_one_failed_check_forbids_any_verdict() -> None:
    failed = TrustCheck("Join keys", CheckState.FAILED, "torn")
    assert verdict(0.2, checks=(FINE, failed)) is VerdictKind.BROKEN
    warned = TrustCheck("Clocks", CheckState.WARNING, "off")
    assert verdict(0.2, checks=(FINE, warned)) is VerdictKind.SHIP


def test_where_lower_is_better_a_fall_ships() -> None:
    assert verdict(-0.2, metric=HIDES) is VerdictKind.SHIP
    assert verdict(0.2, metric=HIDES) is VerdictKind.DO_NOT_SHIP


def test_the_sequential_guardrail_is_more_careful_than_the_single_look() -> None:
    effect = estimate_effect(moments(2, 3), moments(2.05, 4))
    margins = np.linspace(0.0, 0.3, 31)
    holds = [
        check_guardrail_sequence(
            effect, GuardrailSpec(metric="hides", margin=float(m)), HIDES, (4000, 4000), 8000, 0.05
        ).verdict
        == "holds"
        for m in margins
    ]
    fixed = dataclasses.replace(DESIGN, stopping_rule=StoppingRule.FIXED)
    single = [
        judge_guardrail(
            fixed,
            GuardrailSpec(metric="hides", margin=float(m)),
            HIDES,
            Comparison("new", effect),
            (4000, 4000),
        ).verdict
        == "holds"
        for m in margins
    ]
    assert sum(holds) < sum(single)
    assert holds == sorted(holds)


@pytest.mark.parametrize("rule", list(StoppingRule))
@pytest.mark.parametrize("relative", [True, False])
def test_the_interval_of_a_guardrail_agrees_with_its_outcome(
    rule: StoppingRule, relative: bool
) -> None:
    design = dataclasses.replace(DESIGN, stopping_rule=rule)
    effect = estimate_effect(moments(2, 3), moments(2.3, 4))
    seen = set()
    for margin in np.linspace(0.0, 0.6, 61):
        spec = GuardrailSpec(metric="hides", margin=float(margin), relative=relative)
        found = judge_guardrail(design, spec, HIDES, Comparison("new", effect), (4000, 4000))
        interval = found.relative_interval if relative else found.interval
        assert interval is not None
        beyond = "holds" if interval.high < margin else "breached"
        assert found.verdict == ("unproven" if interval.covers(float(margin)) else beyond)
        seen.add(found.verdict)
    assert seen == {"holds", "breached", "unproven"}


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.2)])
def test_the_planned_pair_follows_the_shares(shares: tuple[float, float]) -> None:
    variants = tuple(
        Variant(name=n, share=s) for n, s in zip(("control", "new"), shares, strict=True)
    )
    assert planned_pair(dataclasses.replace(DESIGN, variants=variants), "new") == 8000


def several(**lifts: tuple[float, float]) -> tuple[Experiment, list[MetricResult]]:
    """A design with several variants, and their lifts in reads and in clicks as results."""
    names = ("control", *lifts)
    design = dataclasses.replace(
        DESIGN,
        variants=tuple(Variant(name=n, share=1 / len(names)) for n in names),
        primary_metrics=("qualified_reads", "clicks"),
        guardrails=(),
        minimum_days=1,
    )
    results = []
    for place, metric in enumerate(design.primary_metrics):
        found = [
            dataclasses.replace(
                compare_moments(moments(3, 1), moments(3 * (1 + lift[place]), 2), 0.95),
                treatment=name,
            )
            for name, lift in lifts.items()
        ]
        ruled = [apply_rule(design, each) for each in found]
        done = [dataclasses.replace(each, p_adjusted=each.p_value) for each in ruled]
        results.append(MetricResult(METRICS[metric], tuple(done)))
    return design, results


@pytest.mark.parametrize(
    ("b", "c", "said"),
    [
        ((0.3, 0.0), (0.2, 0.0), "c could be shipped too, with less gain."),
        ((0.3, 0.2), (0.2, 0.3), "c could be shipped too."),
        ((0.3, 0.0), (0.0, 0.2), "c could be shipped too."),
    ],
)
def test_a_second_winner_gains_less_only_if_it_does_in_every_metric(
    b: tuple[float, float], c: tuple[float, float], said: str
) -> None:
    design, results = several(b=b, c=c)
    arms = [ArmSummary(v.name, v.share, 4000, 4000, 1, 1) for v in design.variants]
    found = decide(design, (FINE,), arms, results, (), days_run=7.0)
    assert found.variant == "b"
    assert said in found.sentence


@pytest.mark.parametrize("name", ["b", "c"])
def test_the_headline_says_only_of_the_shipped_variant_that_its_effect_changes(name: str) -> None:
    design, results = several(b=(0.3, 0.0), c=(0.0, 0.0))
    arms = [ArmSummary(v.name, v.share, 4000, 4000, 1, 1) for v in design.variants]
    remarks = [(name, f"{name}: it wears off.")]
    found = decide(design, (FINE,), arms, results, (), days_run=7.0, remarks=remarks)
    assert ("The effect changes with time" in found.sentence) == (name == "b")
    assert found.reasons[-1] == remarks[0][1]


def test_a_window_before_the_stop_is_judged_as_it_was_then() -> None:
    design, results = several(b=(0.0, 0.0))
    arms = [ArmSummary(v.name, v.share, 4000, 4000, 1, 1) for v in design.variants]
    stopped = dataclasses.replace(
        design,
        status=Status.STOPPED,
        started_at=1e9,
        stopped_at=1e9 + 6 * DAY_S + 0.0005,
        minimum_effect=0.001,
        minimum_days=3,
    )
    before = decide(stopped, (FINE,), arms, results, (), days_run=2.0)
    assert before.kind is VerdictKind.GO_ON
    assert "no primary metric may decide before 3 whole days" in before.sentence
    after = decide(stopped, (FINE,), arms, results, (), days_run=6.0)
    assert after.kind is VerdictKind.INCONCLUSIVE
    assert "it was stopped before its planned end" in after.sentence


@pytest.mark.parametrize(
    ("status", "buckets", "said"),
    [
        (Status.RUNNING, (0, 2_000), "let more readers in"),
        (Status.RUNNING, (0, 10_000), "plan a new experiment with more traffic"),
        (Status.STOPPED, (0, 2_000), "plan a new experiment with more traffic"),
    ],
)
def test_more_readers_are_suggested_where_the_traffic_can_still_grow(
    status: Status, buckets: tuple[int, int], said: str
) -> None:
    undecided = dataclasses.replace(DESIGN, status=status, started_at=1.0, buckets=buckets)
    forecast, suggestion = forecast_days(undecided, (), readers=10, arrivals=0.0)
    assert "no new reader came lately" in forecast
    assert said in suggestion


@pytest.mark.parametrize("planned", [990, 1_010])
def test_the_forecast_does_not_jump_when_the_planned_readers_have_come(planned: int) -> None:
    undecided = dataclasses.replace(DESIGN, planned_readers=planned)
    power = [PowerSummary("qualified_reads", "new", 0.05, 0.3, 0.1)]
    forecast, _ = forecast_days(undecided, power, readers=1_000, arrivals=100.0)
    assert "About 3,000 more readers are needed" in forecast
    assert "30 more days" in forecast


def test_readers_are_not_called_enough_for_a_metric_that_nobody_has() -> None:
    power = [PowerSummary("qualified_reads", "new", 0.05, 0.9, 0.04)]
    stopped = dataclasses.replace(DESIGN, status=Status.STOPPED)
    forecast, _ = forecast_days(stopped, power, readers=8_000, arrivals=10.0)
    assert "are enough" in forecast
    power.append(PowerSummary("clicks", "new", 0.05, None, None))
    forecast, suggestion = forecast_days(stopped, power, readers=8_000, arrivals=10.0)
    assert "do not show how many are needed" in forecast
    assert "plan a new experiment" in suggestion
    forecast, _ = forecast_days(stopped, power, readers=5_000, arrivals=10.0)
    assert "About 3,000 more readers are needed" in forecast


@pytest.mark.parametrize("rule", list(StoppingRule))
def test_the_power_reached_is_corrected_as_the_plan_is(rule: StoppingRule) -> None:
    one = dataclasses.replace(DESIGN, stopping_rule=rule, minimum_effect=0.1)
    two = dataclasses.replace(one, primary_metrics=("qualified_reads", "clicks"))
    half = dataclasses.replace(one, alpha=0.025)
    (alone,) = summarise_power(one, [primary(0.0)])
    (shared,) = summarise_power(two, [primary(0.0)])
    assert alone.power is not None
    assert shared.power is not None
    assert shared.power < alone.power
    if rule is StoppingRule.FIXED:
        assert shared == summarise_power(half, [primary(0.0)])[0]


def test_only_a_metric_that_is_never_negative_can_lose_no_more_than_everything() -> None:
    either = {"hides", "likes"}
    assert {n for n, metric in METRICS.items() if least_effect(metric) is None} == either
    own = {"title": "t", "kind": "mean", "better": "up"}
    paid = metric_from_json("paid", own | {"sum": "custom:paid"})
    orders = metric_from_json("orders", own | {"count": "custom:paid"})
    assert (least_effect(paid), least_effect(orders)) == (None, -1.0)
    few = Moments.from_arrays([0.9, 1.1] * 15), Moments.from_arrays([0.0] * 30 + [1.0])
    for metric, bounded in ((orders, True), (paid, False)):
        found = compare_moments(*few, 0.95, least_effect(metric)).deciding
        assert found.relative_interval is not None
        assert (found.relative_interval.low >= -1.0) == bounded


def test_there_is_no_power_before_the_sequence_says_anything() -> None:
    few = [primary(0.0, readers=99)]
    (early,) = summarise_power(DESIGN, few)
    assert (early.power, early.detectable) == (None, None)
    fixed = dataclasses.replace(DESIGN, stopping_rule=StoppingRule.FIXED)
    assert summarise_power(fixed, few)[0].power is not None
