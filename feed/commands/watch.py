"""`feed watch`: looks at running experiments now, as the worker does every hour."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, command_line_user, open_store
from feed.commands.parameters import PATH, FiniteRange
from feed.domain import ConflictError, StoreUnavailableError
from feed.experiments.judgement.wording import number
from feed.service.logs import configure_logging
from feed.watching.watcher import MINUTE_S, LookOutcome, Watcher

PAUSE_S = 10.0
"""Time between two looks at which alerts are due, seconds."""
PATIENCE_S = 120.0
"""How long the first look waits for a look of the worker that is under way, seconds."""


@click.command()
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
@click.option(
    "--every",
    "minutes",
    type=FiniteRange(0, 1_000_000, min_open=True),
    help="Go on until Ctrl-C, and look again each time after this many minutes.",
)
def watch(data: Path | None, minutes: float | None) -> None:
    """Look at every running experiment now: report, alerts, and a stop where a definition says so.

    The worker does this by itself every FEED_WATCH_MINUTES. An alert that cannot be delivered
    waits in the store, and the worker tries again.

    The exit code is 0 whatever was found.
    """
    with one_line_errors():
        settings = chosen_settings(data)
        configure_logging(settings)
        with open_store(settings) as store:
            watcher = Watcher(store, settings, by=command_line_user())
            show(watcher.look_now(PATIENCE_S), watcher.waiting())
            with suppress(KeyboardInterrupt):
                while minutes is not None:
                    _wait(watcher, minutes)
                    _look_again(watcher)


def _look_again(watcher: Watcher) -> None:
    try:
        show(watcher.look_now(), watcher.waiting())
    except (ConflictError, StoreUnavailableError) as error:
        click.echo(f"no look this time: {error}", err=True)


def _wait(watcher: Watcher, minutes: float) -> None:
    end = time.monotonic() + minutes * MINUTE_S
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, PAUSE_S))
        with suppress(StoreUnavailableError):
            watcher.deliver()


def show(outcomes: list[LookOutcome], waiting: int) -> None:
    """Print what was found, one experiment a row."""
    if not outcomes:
        click.echo("no experiment is running")
    else:
        table = Table()
        for heading in ("experiment", "day", "verdict"):
            table.add_column(heading, no_wrap=True)
        table.add_column("found", overflow="fold")
        table.add_column("done")
        for one in outcomes:
            table.add_row(
                one.experiment.name,
                number(one.look.day, 1),
                one.look.verdict or "no report",
                Text("\n".join(finding.sentence for finding in one.look.findings) or "nothing"),
                _done(one),
            )
        Console().print(table)
    if waiting:
        click.echo(f"{waiting} alerts wait for their delivery")


def _done(one: LookOutcome) -> str:
    parts = ["stopped"] if one.stopped else []
    if one.alerts:
        parts.append("1 alert" if len(one.alerts) == 1 else f"{len(one.alerts)} alerts")
    return ", ".join(parts) or "nothing"
