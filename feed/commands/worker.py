"""`feed worker`: the process that counts, archives and finds what is trending."""

from __future__ import annotations

import signal
import threading

import click

from feed.commands.errors import one_line_errors
from feed.domain import InvalidInputError
from feed.environment import settings_from_environment
from feed.service.telemetry import configure_logging
from feed.storage.working_copy import prepare_data_dir
from feed.worker.loop import run_worker


@click.command()
def worker() -> None:
    """Run the worker until Ctrl-C.

    It needs FEED_REDIS_URL. Without that setting, `feed serve` runs its own worker. Several
    workers may run, on one or several machines that share the data directory: they share out the
    readers' partitions among them, and take over those of one that dies within 15 seconds.
    """
    with one_line_errors():
        settings = settings_from_environment()
        if not settings.redis_url:
            raise InvalidInputError("FEED_REDIS_URL", "must be set; feed serve runs its own worker")
        configure_logging(settings)
        prepare_data_dir(settings)
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        run_worker(settings, stopping)
