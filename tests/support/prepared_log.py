"""The log of an experiment with every table of the report, for tests of queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feed.experiments.design.definitions import Experiment
from feed.experiments.log.exposure import Window, create_exposed, create_requests, set_variables
from feed.experiments.log.reader_days import create_reader_days, create_readers
from feed.experiments.log.source import Log, open_log


@contextmanager
def prepared_log(data_dir: Path, design: Experiment, window: Window) -> Iterator[Log]:
    """Open an archive, with what `analyse` makes of it."""
    with open_log(data_dir, window.pre_from, threads=1) as log:
        set_variables(log.connection, design, window)
        create_requests(log.connection)
        create_exposed(log.connection)
        create_reader_days(log.connection, design.metrics.values())
        create_readers(log.connection)
        yield log
