"""How many readers and days a design needs, from a simulated archive whose readers are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lab.simulation.archive import World
from scipy.stats import norm

from feed.config import DAY_S
from feed.experiments.design.audience import Audience
from feed.experiments.design.definitions import Experiment, GuardrailSpec, StoppingRule, Variant
from feed.experiments.design.metrics import metric_from_json
from feed.experiments.design.traffic import RampStep
from feed.experiments.judgement.baseline import baseline_from_json, baseline_to_json
from feed.experiments.judgement.baseline_reading import estimate_need, read_baseline
from feed.experiments.judgement.planning import Need, compute_need
from feed.experiments.statistics.sequential import DEFAULT_BURN_IN

WORLD = World(experiment="trial", readers=1500, days=14, pre_days=14, visits=0.4)
NOW = WORLD.start_at + WORLD.days * DAY_S


def variants(*shares: float) -> tuple[Variant, ...]:
    return tuple(Variant(name=f"v{n}", share=share) for n, share in enumerate(shares))


DESIGN = Experiment(
    name="trial",
    hypothesis="Treatment makes readers read more.",
    owner="desk",
    variants=variants(0.5, 0.5),
    stopping_rule=StoppingRule.FIXED,
    minimum_effect=0.05,
    planned_days=WORLD.days,
    pre_days=WORLD.pre_days,
)


class Planner:
    """Plans from one archive, whose baselines are read once for each of the days and readers."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._baseline = read_baseline(data_dir, DESIGN, now=NOW)

    def of(self, design: Experiment) -> Need:
        assert (design.planned_days, design.pre_days) == (DESIGN.planned_days, DESIGN.pre_days)
        return compute_need(design, self._baseline)

    def __call__(self, design: Experiment) -> tuple[int, int | None]:
        need = self.of(design)
        assert need.readers is not None
        return need.readers, need.days


@pytest.fixture(scope="module")
def need_of(data_dirs: Callable[[World], Path]) -> Planner:
    return Planner(data_dirs(WORLD))


def test_half_the_effect_wants_four_times_the_readers(need_of) -> None:
    readers, _ = need_of(DESIGN)
    many, _ = need_of(replace(DESIGN, minimum_effect=0.025))
    assert many == pytest.approx(4 * readers, rel=0.1)


def test_looking_every_day_wants_more_readers(need_of) -> None:
    fixed, _ = need_of(DESIGN)
    daily, _ = need_of(replace(DESIGN, stopping_rule=StoppingRule.SEQUENTIAL))
    assert fixed < daily < 4 * fixed


def test_a_small_arm_wants_more_readers_in_all(need_of) -> None:
    even, _ = need_of(DESIGN)
    uneven, _ = need_of(replace(DESIGN, variants=variants(0.9, 0.1)))
    assert uneven == pytest.approx(even * 0.25 / (0.9 * 0.1), rel=0.1)


def bonferroni_factor(comparisons: int) -> float:
    """By how much two-sided tests at 5 % with 80 % power grow when they share the error."""
    found = norm.ppf(0.8) - norm.ppf(0.025 / np.array([comparisons, 1]))
    return float((found[0] / found[1]) ** 2)


def test_with_three_variants_each_pair_gets_its_readers_at_half_the_error(need_of) -> None:
    pair, _ = need_of(DESIGN)
    three, _ = need_of(replace(DESIGN, variants=variants(1 / 3, 1 / 3, 1 / 3)))
    assert three == pytest.approx(1.5 * pair * bonferroni_factor(2), rel=0.001)


def test_the_neediest_of_the_primary_metrics_decides_at_half_the_error(need_of) -> None:
    alone = {
        name: need_of(replace(DESIGN, primary_metrics=(name,)))[0] for name in ("clicks", "likes")
    }
    assert alone["likes"] > alone["clicks"]
    both = replace(DESIGN, primary_metrics=("clicks", "likes"))
    assert need_of(both)[0] == pytest.approx(alone["likes"] * bonferroni_factor(2), rel=0.001)


def test_a_guardrail_that_needs_most_decides_and_each_metric_shows_its_own_need(
    data_dirs: Callable[[World], Path],
) -> None:
    narrow = GuardrailSpec(metric="click_through", margin=0.005)
    design = replace(DESIGN, guardrails=(narrow, GuardrailSpec(metric="latency_p95", margin=0.2)))
    baseline = read_baseline(data_dirs(WORLD), design, now=NOW)
    need = compute_need(design, baseline)
    reads, clicks, latency = need.metrics
    assert (reads.role, clicks.role, latency.role) == ("primary", "guardrail", "guardrail")
    assert clicks.readers == need.readers
    assert clicks.readers > reads.readers > latency.readers > 0
    assert 0.1 < reads.variance_saved < 0.9
    assert reads.mean == pytest.approx(baseline.moments["qualified_reads"].ratio)
    assert [point.effect for point in need.curve] == pytest.approx(
        [0.025, 0.0375, 0.05, 0.075, 0.1]
    )
    assert {point.readers for point in need.curve[2:]} == {need.readers}, "the guardrail's need"
    free = compute_need(replace(design, guardrails=()), baseline)
    sizes = [point.readers for point in free.curve]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] == free.readers == reads.readers


def test_a_guardrail_that_nothing_can_prove_says_so_and_does_not_stop_the_plan(need_of) -> None:
    impossible = replace(
        DESIGN,
        guardrails=(
            GuardrailSpec(metric="clicks", margin=0.0),
            GuardrailSpec(metric="coverage", margin=0.1),
            GuardrailSpec(metric="fallback_share", margin=0.01, relative=False),
        ),
    )
    need = need_of.of(impossible)
    assert need.readers == need_of(replace(DESIGN, guardrails=()))[0]
    assert [bool(row.reason) for row in need.metrics] == [False, True, True, True]
    assert "can never be ruled out" in need.metrics[1].reason


def test_a_sequence_needs_the_readers_before_which_it_says_nothing(need_of) -> None:
    obvious = replace(
        DESIGN,
        minimum_effect=5.0,
        variants=variants(0.95, 0.05),
        stopping_rule=StoppingRule.SEQUENTIAL,
        guardrails=(),
    )
    assert need_of(obvious)[0] == DEFAULT_BURN_IN / 0.05
    even = replace(obvious, variants=variants(0.5, 0.5))
    assert need_of(even) == (2 * DEFAULT_BURN_IN, 7)
    assert need_of(replace(even, minimum_days=13)) == (2 * DEFAULT_BURN_IN, 14)


def test_only_readers_whom_the_audience_admits_are_counted(
    data_dirs: Callable[[World], Path],
) -> None:
    everybody = read_baseline(data_dirs(WORLD), DESIGN, now=NOW)
    tablets = replace(DESIGN, audience=Audience(platforms=("TABLET",)))
    some = read_baseline(data_dirs(WORLD), tablets, now=NOW)
    assert sum(some.arrivals) == pytest.approx(sum(everybody.arrivals) / 4, rel=0.15)
    nobody = replace(DESIGN, audience=Audience(languages=("fr",)))
    assert sum(read_baseline(data_dirs(WORLD), nobody, now=NOW).arrivals) == 0


def test_the_covariate_comes_from_the_days_before_that_the_archive_holds(
    data_dirs: Callable[[World], Path],
) -> None:
    found = {
        days: compute_need(design, read_baseline(data_dirs(WORLD), design, now=NOW))
        for days in (0, 5, 14, 90)
        if (design := replace(DESIGN, pre_days=days, guardrails=()))
    }
    assert [need.covariate_days for need in found.values()] == [0, 5, 14, 14]
    saved = [need.metrics[0].variance_saved for need in found.values()]
    assert saved[0] == 0 < saved[1] < saved[2] == saved[3]


def test_a_baseline_survives_being_written_as_json(data_dirs: Callable[[World], Path]) -> None:
    baseline = read_baseline(data_dirs(WORLD), DESIGN, now=NOW)
    again = baseline_from_json(json.loads(json.dumps(baseline_to_json(baseline))))
    assert again == baseline


def test_days_are_whole_weeks_until_enough_readers_have_come(need_of) -> None:
    """Nearly all of the 1,500 readers come within a week, when four in ten come each day."""
    reached = replace(DESIGN, minimum_effect=0.2)
    readers, days = need_of(reached)
    assert readers < 1000
    assert days == 7
    # A twentieth of the traffic brings 75 readers in two weeks, and few are new after that.
    assert need_of(replace(reached, traffic=0.05))[1] != 7
    assert (
        need_of(replace(reached, holdout_share=0.95))[1]
        == need_of(replace(reached, traffic=0.05))[1]
    )


def test_an_archive_without_feeds_says_that_it_cannot_tell(tmp_path: Path) -> None:
    need = estimate_need(tmp_path, DESIGN, now=NOW)
    assert (need.readers, need.days) == (None, None)
    assert need.reason == "the archive holds no personalized feeds to plan from"


def test_beyond_the_archive_the_readers_of_its_last_days_go_on_coming(need_of) -> None:
    readers, days = need_of(replace(DESIGN, minimum_effect=0.02))
    more, longer = need_of(replace(DESIGN, minimum_effect=0.01))
    assert readers > WORLD.readers
    assert days % 7 == longer % 7 == 0
    assert longer / days == pytest.approx(more / readers, rel=0.3)


def test_steps_after_the_end_of_a_young_archive_are_counted(
    data_dirs: Callable[[World], Path],
) -> None:
    baseline = replace(read_baseline(data_dirs(WORLD), DESIGN, now=NOW), arrivals=(100,) * 7)
    late = replace(DESIGN, traffic=0.05, ramp=(RampStep(10.0, 1.0),), planned_days=28)
    everybody, need = (compute_need(d, baseline) for d in (replace(DESIGN, traffic=1.0), late))
    assert need.readers == everybody.readers
    assert everybody.readers_a_day == need.readers_a_day == 100
    assert 0 <= need.days - everybody.days <= 14
    slow = replace(late, traffic=0.5)
    assert compute_need(slow, baseline).days <= need.days


def test_no_plan_ends_before_its_last_step(need_of) -> None:
    steps = (RampStep(13.0, 0.99), RampStep(13.5, 1.0))
    quick = replace(DESIGN, minimum_effect=1.0, guardrails=())
    assert need_of(replace(quick, ramp=steps[:0]))[1] == 7
    grown = replace(quick, traffic=0.9, ramp=steps)
    assert replace(grown, planned_days=need_of(grown)[1]).planned_days == 14


def test_metrics_of_the_site_are_planned(data_dirs: Callable[[World], Path]) -> None:
    declared = {"title": "S", "kind": "mean", "count": "clicks", "better": "up"}
    own = {"openings": metric_from_json("openings", declared)}
    design = replace(DESIGN, metrics=own, primary_metrics=("openings",), guardrails=())
    need = compute_need(design, read_baseline(data_dirs(WORLD), design, now=NOW))
    clicks = replace(DESIGN, primary_metrics=("clicks",), guardrails=())
    assert (
        need.readers
        == compute_need(clicks, read_baseline(data_dirs(WORLD), clicks, now=NOW)).readers
    )
