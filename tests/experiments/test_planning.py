"""How many readers and days a design needs, from a simulated archive whose readers are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lab.simulation.archive import World

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, StoppingRule, Variant
from feed.experiments.judgement.planning import estimate_need

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


@pytest.fixture
def need_of(data_dirs: Callable[[World], Path]) -> Callable[[Experiment], tuple[int, int | None]]:
    def estimate(design: Experiment) -> tuple[int, int | None]:
        need = estimate_need(data_dirs(WORLD), design, now=NOW)
        assert need.readers is not None
        return need.readers, need.days

    return estimate


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


def test_with_three_variants_each_pair_gets_its_readers(need_of) -> None:
    pair, _ = need_of(DESIGN)
    three, _ = need_of(replace(DESIGN, variants=variants(1 / 3, 1 / 3, 1 / 3)))
    assert three == pytest.approx(1.5 * pair, rel=0.01)


def test_the_neediest_of_the_primary_metrics_decides(need_of) -> None:
    alone = {
        name: need_of(replace(DESIGN, primary_metrics=(name,)))[0] for name in ("clicks", "likes")
    }
    assert alone["likes"] > alone["clicks"]
    both = replace(DESIGN, primary_metrics=("clicks", "likes"))
    assert need_of(both)[0] == alone["likes"]


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
