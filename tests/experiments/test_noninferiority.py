"""Guardrails: verdicts, margins and their agreement with an independent test."""

import numpy as np
import pytest
import scipy.stats

from feed.experiments.design.definitions import GuardrailSpec
from feed.experiments.design.metrics import metric_from_json
from feed.experiments.judgement.estimates import check_guardrail_sequence
from feed.experiments.statistics.aggregates import NO_READERS, Moments
from feed.experiments.statistics.effects import estimate_effect
from feed.experiments.statistics.noninferiority import check_guardrail
from feed.experiments.statistics.power import plan_noninferiority


def effect_of(lift: float, readers: int = 4_000, seed: int = 1):
    rng = np.random.default_rng(seed)
    arms = rng.normal(10.0, 2.0, (2, readers))
    arms[1] += 10.0 * lift
    return arms, estimate_effect(*(Moments.from_arrays(arm) for arm in arms))


def test_a_relative_margin_is_welch_against_a_scaled_control() -> None:
    (control, treatment), effect = effect_of(-0.01)
    found = check_guardrail(effect, 0.02)
    expected = scipy.stats.ttest_ind(
        treatment, control * 0.98, equal_var=False, alternative="greater"
    )
    assert found.p_holds == pytest.approx(expected.pvalue, rel=1e-8)


def test_an_absolute_margin_is_welch_against_a_shifted_control() -> None:
    (control, treatment), effect = effect_of(0.01)
    found = check_guardrail(effect, 0.2, "down", relative=False)
    expected = scipy.stats.ttest_ind(treatment, control + 0.2, equal_var=False, alternative="less")
    assert found.p_holds == pytest.approx(expected.pvalue, rel=1e-8)


@pytest.mark.parametrize(
    ("lift", "better", "verdict"),
    [
        (0.0, "up", "holds"),
        (0.0, "down", "holds"),
        (-0.05, "up", "breached"),
        (-0.05, "down", "holds"),
        (0.05, "down", "breached"),
        (-0.02, "up", "unproven"),
    ],
)
def test_verdicts_follow_the_better(lift: float, better, verdict: str) -> None:
    assert check_guardrail(effect_of(lift)[1], 0.02, better).verdict == verdict


@pytest.mark.parametrize(
    ("lift", "better", "verdict"),
    [
        (0.0, "up", "holds"),
        (0.0, "down", "holds"),
        (0.05, "up", "breached"),  # further below 0
        (-0.05, "up", "holds"),
        (-0.05, "down", "breached"),
    ],
)
def test_a_share_of_control_is_tolerated_under_zero_too(lift: float, better, verdict: str) -> None:
    arms, _ = effect_of(lift)
    effect = estimate_effect(*(Moments.from_arrays(-arm) for arm in arms))
    assert check_guardrail(effect, 0.02, better).verdict == verdict
    declared = {"title": "Refunds", "kind": "mean", "sum": "custom:refund", "better": better}
    metric = metric_from_json("refunds", declared)
    spec = GuardrailSpec(metric="refunds", margin=0.02)
    found = check_guardrail_sequence(effect, spec, metric, (4_000, 4_000), 8_000, 0.05)
    assert found.verdict == verdict


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_a_plan_does_not_depend_on_the_sign_of_a_metric(lower_is_better: bool) -> None:
    arm = effect_of(0.0)[0][0]
    plan, mirrored = (
        plan_noninferiority(Moments.from_arrays(values), 0.1, lower_is_better=lower)
        for values, lower in ((arm, lower_is_better), (-arm, not lower_is_better))
    )
    assert plan == mirrored


def test_few_readers_prove_nothing() -> None:
    assert check_guardrail(effect_of(0.0, readers=20)[1], 0.02).verdict == "unproven"


def test_no_reader_and_no_variance_give_no_estimate() -> None:
    for arms in ((NO_READERS, NO_READERS), [Moments.from_arrays(np.zeros(5))] * 2):
        found = check_guardrail(estimate_effect(*arms), 0.02)
        assert found.verdict == "no_estimate"
        assert found.reason
        assert found.p_holds is None


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        check_guardrail(effect_of(0.0)[1], -0.1)
