"""`feed serve`: everything that one machine needs to answer."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from feed.commands.errors import one_line_errors
from feed.commands.parameters import PATH
from feed.config import Settings
from feed.environment import misspelt_variables, settings_from_environment
from feed.service.supervisor import Supervisor, check_port


@click.command()
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
@click.option("--host", help="Address to bind; without a credential only a loopback one.")
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port.")
@click.option("--web", type=click.IntRange(1, 256), help="Number of web processes.")
def serve(data: Path | None, host: str | None, port: int | None, web: int | None) -> None:
    """Serve feeds until Ctrl-C.

    By default this starts a private store, the worker and the web processes. With FEED_REDIS_URL
    it starts only the web processes; run `feed worker` beside it.
    """
    with one_line_errors():
        settings = _chosen(settings_from_environment(), data, host, port, web)
        if settings.otlp_endpoint:  # imported only then: this process is to stay small
            importlib.import_module("feed.service.request_traces").check_traces(settings)
        check_port(settings.host, settings.port)
        for name, setting in misspelt_variables().items():
            click.echo(f"Warning: {name} is no setting; did you mean {setting}?", err=True)
        code = Supervisor(settings, announce=click.echo).run()
    if code:
        sys.exit(code)


def _chosen(
    settings: Settings, data: Path | None, host: str | None, port: int | None, web: int | None
) -> Settings:
    return replace(
        settings,
        data_dir=Path(os.path.realpath(data or settings.data_dir)),
        host=host or settings.host,
        port=port or settings.port,
        web=web or settings.web,
    )
