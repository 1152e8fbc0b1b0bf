"""The log of an experiment with every table of the report, for tests of queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.simulation.archive import World

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, Status, Variant
from feed.experiments.log.exposure import Window, create_exposed, create_requests, set_variables
from feed.experiments.log.reader_days import create_reader_days, create_readers
from feed.experiments.log.source import Log, open_log


@contextmanager
def prepared_log(data_dir: Path, design: Experiment, window: Window) -> Iterator[Log]:
    """Open an archive, with what `analyse` makes of it."""
    with open_log(data_dir, window.pre_from, threads=1) as log:
        set_variables(log.connection, design, window)
        create_requests(log.connection)
        create_exposed(log.connection, design.segments)
        create_reader_days(log.connection, design.metrics.values())
        create_readers(log.connection)
        yield log


def window_of(world: World) -> Window:
    """Return the days of a simulated experiment and those before it."""
    start_at = world.start_at
    return Window(start_at - world.pre_days * DAY_S, start_at, start_at + world.days * DAY_S)


def running_trial(world: World, **more: Any) -> Experiment:
    """Return the experiment of a simulated world, with two variants of half the readers each."""
    return Experiment(
        name=world.experiment,
        hypothesis="h",
        owner="o",
        variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
        status=Status.RUNNING,
        started_at=world.start_at,
        **more,
    )
