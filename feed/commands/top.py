"""`feed top`: what is going on in a running service, in the terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from feed.client import FeedClient
from feed.commands.errors import one_line_errors
from feed.commands.parameters import FiniteRange
from feed.domain import FeedError
from feed.service.status_words import LEVEL_WORDS, rungs_of, summary_of, tiles_of

TIMEOUT_S = 5.0
STYLES = {"fault": "bold red", "warning": "bold yellow", "hint": "bold blue"}
BAR_WIDTH = 24


@click.command("top")
@click.option("--once", is_flag=True, help="Print the current state once, and end.")
@click.option(
    "--every",
    type=FiniteRange(0.5, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    "--url", default="http://127.0.0.1:8000", show_default=True, help="Address of the service."
)
@click.option(
    "--api-key",
    envvar="FEED_API_KEY",
    default="",
    help="Key with the scope read; by default FEED_API_KEY.",
)
def top(*, once: bool, every: float, url: str, api_key: str) -> None:
    """Show what is going on, what is wrong and what to do, until Ctrl-C.

    It shows the same as the room Now of the desk. If the output is not a terminal, it prints the
    current state once.
    """
    console = Console()
    with one_line_errors(), FeedClient(url, api_key, TIMEOUT_S, retries=0) as client:

        def look() -> Mapping[str, Any]:
            status: Mapping[str, Any] = client.call("GET", "/v1/status")
            return status

        if once or not console.is_terminal:
            console.print(show(look()))
        else:
            watch(console, look, every, threading.Event())


def watch(
    console: Console, look: Callable[[], Mapping[str, Any]], every: float, stop: threading.Event
) -> None:
    """Show the present state again and again, until `stop` is set or Ctrl-C.

    A service that does not answer is no reason to end: the last state stays, and the trouble is
    told below it.

    Args:
        console: where it is shown.
        look: returns what `GET /v1/status` answers.
        every: seconds between two looks.
        stop: ends it.
    """
    last: RenderableType = Text("")
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not stop.is_set():
                trouble = Text("")
                try:
                    last = show(look())
                except (FeedError, ConnectionError) as error:
                    trouble = Text(f"\nThe service does not answer: {error}", style="bold red")
                live.update(Group(last, trouble), refresh=True)
                stop.wait(every)
    except KeyboardInterrupt:
        pass  # this is how it is ended


def show(status: Mapping[str, Any]) -> RenderableType:
    """Return the present state for a terminal."""
    return Group(*_parts(status))


def _parts(status: Mapping[str, Any]) -> Iterator[RenderableType]:
    known = "" if status["store"] else " Only what one web process knows."
    yield Text(f"{summary_of(status)}{known}  {status['at'][11:19]} UTC", style="bold")
    numbers = Table.grid(padding=(0, 2))
    for tile in tiles_of(status):
        numbers.add_row(tile.name, Text(tile.value, style="bold"), Text(tile.remark, style="dim"))
    for name, share, text in rungs_of(status):
        bar = "█" * round(BAR_WIDTH * share)
        numbers.add_row(name, Text(text, style="bold"), Text(bar, style="blue"))
    yield numbers
    for alert in status["alerts"]:
        yield Text(f"\n{LEVEL_WORDS[alert['level']]}: ", style=STYLES[alert["level"]]) + Text(
            alert["title"], style="bold"
        )
        yield Text(alert["meaning"].replace("`", ""))
        yield Text("What to do: " + alert["action"].replace("`", ""))
