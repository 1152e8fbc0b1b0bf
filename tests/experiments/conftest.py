from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab.simulation.archive import World, write_simulated_log

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, GuardrailSpec, Status, Variant
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.results import Report


def registered(world: World, **changes: Any) -> Experiment:
    """The experiment that a simulated world is about, as it would be registered."""
    share = 1.0 / len(world.variants)
    design = Experiment(
        name=world.experiment,
        hypothesis="Treatment makes readers read more.",
        owner="desk",
        variants=tuple(Variant(name=name, share=share) for name in world.variants),
        status=Status.RUNNING,
        started_at=world.start_at,
        pre_days=world.pre_days,
        planned_days=world.days,
        planned_readers=round(0.9 * world.readers),
        guardrails=(
            GuardrailSpec(metric="latency_p95", margin=0.2),
            GuardrailSpec(metric="section_entropy", margin=0.1),
        ),
    )
    return replace(design, **changes)


@pytest.fixture(scope="session")
def data_dirs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[World], Path]:
    """Data directories of simulated worlds, each written once; do not change them."""
    made: dict[World, Path] = {}

    def write(world: World) -> Path:
        if world not in made:
            made[world] = tmp_path_factory.mktemp("world")
            write_simulated_log(made[world], world)
        return made[world]

    return write


@pytest.fixture(scope="session")
def report_on(data_dirs: Callable[[World], Path]) -> Callable[..., Report]:
    """Analyse a simulated world at its end, each once."""

    known: list[tuple[World, Experiment, Report]] = []

    def run(world: World, **changes: Any) -> Report:
        design = registered(world, **changes)
        for other, experiment, report in known:
            if (other, experiment) == (world, design):
                return report
        end = world.start_at + world.days * DAY_S
        report = analyse(data_dirs(world), design, now=end, threads=1)
        known.append((world, design, report))
        return report

    return run
