"""`feed worker`: the process that counts, archives and finds what is trending."""

from __future__ import annotations

import os
import signal
import threading

import click
from prometheus_client import start_http_server

from feed.commands.errors import one_line_errors
from feed.config import Settings
from feed.domain import InvalidInputError
from feed.environment import settings_from_environment
from feed.service.logs import configure_logging
from feed.service.metrics_directory import MULTIPROCESS_VARIABLE
from feed.storage.working_copy import prepare_data_dir
from feed.worker.loop import run_worker


@click.command()
def worker() -> None:
    """Run the worker until Ctrl-C.

    It needs FEED_REDIS_URL. Without that setting, `feed serve` runs its own worker. Several
    workers may run, on one or several machines that share the data directory: they share out the
    readers' partitions among them, and take over those of one that dies within 15 seconds. With
    FEED_WORKER_METRICS_PORT, Prometheus finds its metrics at that port of FEED_HOST.
    """
    with one_line_errors():
        settings = settings_from_environment()
        if not settings.redis_url:
            raise InvalidInputError("FEED_REDIS_URL", "must be set; feed serve runs its own worker")
        configure_logging(settings)
        prepare_data_dir(settings)
        if settings.worker_metrics_port and MULTIPROCESS_VARIABLE not in os.environ:
            serve_metrics(settings)
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        run_worker(settings, stopping)


def serve_metrics(settings: Settings) -> None:
    """Answer Prometheus in a thread of its own.

    Raises:
        InvalidInputError: nothing can listen at the host and port of the settings.
    """
    try:
        start_http_server(settings.worker_metrics_port, settings.host)
    except OSError as error:
        place = f"{settings.host}:{settings.worker_metrics_port}"
        rule = f"cannot listen at {place}: {error.strerror}"
        raise InvalidInputError("FEED_WORKER_METRICS_PORT", rule) from None
