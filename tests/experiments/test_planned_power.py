"""Experiments of the planned size find what they were planned for, as often as was wanted.

Every case draws whole experiments of readers whose effect is known and judges them as the report
does. The rates must lie within four standard errors of the power wanted; where a plan is known to
err on the safe side, they may lie above.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from lab.simulation.worlds import Readers, draw_readers

from feed.experiments.design.definitions import Experiment, GuardrailSpec, StoppingRule, Variant
from feed.experiments.design.metrics import metric_named
from feed.experiments.judgement.baseline import Baseline
from feed.experiments.judgement.estimates import apply_rule, compare_moments, judge_guardrail
from feed.experiments.judgement.planning import compute_need
from feed.experiments.judgement.results import Comparison
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.multiplicity import adjust_holm

RUNS = 400
LIFT = 0.15
POWER = 0.8
ERROR = math.sqrt(POWER * (1 - POWER) / RUNS)
LOOKS = 10
MARGIN = 0.1

READ_MOMENTS: dict[str, Callable[[Readers], Moments]] = {
    "qualified_reads": Readers.reads_moments,
    "click_through": Readers.click_through_moments,
}
BASELINE = Baseline(
    {
        name: moments_of(draw_readers(np.random.default_rng(0), 200_000))
        for name, moments_of in READ_MOMENTS.items()
    },
    (100,) * 14,
)


def design(*shares: float, **changes: object) -> Experiment:
    """A planned experiment with as many readers as its plan says."""
    made = Experiment(
        name="trial",
        hypothesis="Treatment makes readers read more.",
        owner="desk",
        variants=tuple(Variant(name=f"v{n}", share=share) for n, share in enumerate(shares)),
        **{  # type: ignore[arg-type]
            "minimum_effect": LIFT,
            "power": POWER,
            "stopping_rule": StoppingRule.FIXED,
            "guardrails": (),
            **changes,
        },
    )
    readers = compute_need(made, BASELINE).readers
    assert readers is not None
    return Experiment(
        **{name: getattr(made, name) for name in made.__dataclass_fields__}
        | {"planned_readers": readers}
    )


def draw_arms(
    rng: np.random.Generator, experiment: Experiment, lifts: dict[str, float]
) -> dict[str, Readers]:
    return {
        arm.name: draw_readers(
            rng, math.ceil(experiment.planned_readers * arm.share), lifts.get(arm.name, 0.0)
        )
        for arm in experiment.arms
    }


def first(readers: Readers, part: float) -> Readers:
    """The readers who have come when a part of the planned ones has."""
    end = math.ceil(readers.views.size * part)
    return Readers(*(getattr(readers, name)[:end] for name in Readers.__dataclass_fields__))


def compare(
    experiment: Experiment, arms: dict[str, Readers], metric: str, treatment: str
) -> Comparison:
    moments_of = READ_MOMENTS[metric]
    found = compare_moments(
        moments_of(arms[experiment.control.name]),
        moments_of(arms[treatment]),
        1.0 - experiment.alpha,
    )
    return apply_rule(
        experiment, Comparison(treatment, found.raw, found.adjusted, p_value=found.deciding.p_value)
    )


def rate_of(try_once: Callable[[np.random.Generator], bool]) -> float:
    rng = np.random.default_rng(5)
    return sum(try_once(rng) for _ in range(RUNS)) / RUNS


@pytest.mark.parametrize("metric", ["qualified_reads", "click_through"])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.2)])
def test_a_mean_and_a_ratio_are_found_at_any_shares(
    metric: str, shares: tuple[float, float]
) -> None:
    experiment = design(*shares, primary_metrics=(metric,))

    def finds(rng: np.random.Generator) -> bool:
        found = compare(experiment, draw_arms(rng, experiment, {"v1": LIFT}), metric, "v1")
        return found.p_value is not None and found.p_value < experiment.alpha

    assert rate_of(finds) == pytest.approx(POWER, abs=4 * ERROR)


def test_the_only_effect_among_four_comparisons_is_found_after_holm() -> None:
    experiment = design(
        0.4, 0.3, 0.3, primary_metrics=("qualified_reads", "click_through"), minimum_effect=0.2
    )
    needed = {row.metric: row.readers for row in compute_need(experiment, BASELINE).metrics}
    metric = max(needed, key=lambda name: needed[name] or 0)
    assert experiment.comparisons == 4

    def finds(rng: np.random.Generator) -> bool:
        arms = draw_arms(rng, experiment, {"v1": 0.2})
        others = [0.5, 0.5, 0.5]  # no other effect is found: Holm's first step must suffice
        found = adjust_holm([compare(experiment, arms, metric, "v1").p_value, *others])
        return found[0] is not None and found[0] < experiment.alpha

    assert rate_of(finds) == pytest.approx(POWER, abs=4 * ERROR)


def test_a_sequence_finds_it_at_one_of_the_looks_and_a_little_more_often() -> None:
    experiment = design(0.5, 0.5, stopping_rule=StoppingRule.SEQUENTIAL)

    def finds(rng: np.random.Generator) -> bool:
        arms = draw_arms(rng, experiment, {"v1": LIFT})
        for look in range(1, LOOKS + 1):
            so_far = {name: first(readers, look / LOOKS) for name, readers in arms.items()}
            found = compare(experiment, so_far, "qualified_reads", "v1")
            if found.p_value is not None and found.p_value < experiment.alpha:
                return True
        return False

    assert POWER - 4 * ERROR < rate_of(finds) < 0.93


@pytest.mark.parametrize("rule", list(StoppingRule))
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.7, 0.3)])
def test_a_guardrail_that_nothing_has_moved_is_proven_to_hold(
    rule: StoppingRule, shares: tuple[float, float]
) -> None:
    """One look, at the planned end."""
    spec = GuardrailSpec(metric="click_through", margin=MARGIN)
    experiment = design(
        *shares, stopping_rule=rule, guardrails=(spec,), minimum_effect=0.5, power=POWER
    )

    def holds(rng: np.random.Generator) -> bool:
        arms = draw_arms(rng, experiment, {})
        pair = (arms["v0"].views.size, arms["v1"].views.size)
        found = compare(experiment, arms, "click_through", "v1")
        outcome = judge_guardrail(experiment, spec, metric_named("click_through"), found, pair)
        return outcome.verdict == "holds"

    assert rate_of(holds) == pytest.approx(POWER, abs=4 * ERROR)


def test_a_guardrail_with_an_absolute_margin_is_proven_to_hold() -> None:
    spec = GuardrailSpec(metric="click_through", margin=0.008, relative=False)
    experiment = design(0.5, 0.5, guardrails=(spec,), minimum_effect=0.5)

    def holds(rng: np.random.Generator) -> bool:
        arms = draw_arms(rng, experiment, {})
        pair = (arms["v0"].views.size, arms["v1"].views.size)
        found = compare(experiment, arms, "click_through", "v1")
        outcome = judge_guardrail(experiment, spec, metric_named("click_through"), found, pair)
        return outcome.verdict == "holds"

    assert rate_of(holds) == pytest.approx(POWER, abs=4 * ERROR)
