"""`feed demo`: the whole system in one tour, on the built-in newsroom or a published data set."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import click
from rich.console import Console

from feed.client import FeedClient
from feed.commands.demo_service import running_service
from feed.commands.demo_steps import Tour
from feed.commands.demo_world import build_newsroom, read_published
from feed.commands.errors import one_line_errors
from feed.commands.parameters import PATH
from feed.domain import ConflictError
from feed.service.supervisor import check_port, is_ready

MARK = ".feed-demo"


@click.command("demo")
@click.option("--once", is_flag=True, help="Stop after the tour; serve nothing afterwards.")
@click.option(
    "--dataset",
    type=(click.Choice(["ebnerd", "mind"]), click.Path(exists=True, file_okay=False)),
    help="Load a published data set, by name and directory.",
)
@click.option(
    "--data",
    type=PATH,
    default=Path("data/demo"),
    show_default=True,
    help="Data directory, which is made anew.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="TCP port."
)
@click.option(
    "--web",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Number of web processes.",
)
@click.option(
    "--readers",
    type=click.IntRange(20, 100_000),
    default=600,
    show_default=True,
    help="Number of simulated readers.",
)
def demo(
    dataset: tuple[str, str] | None, data: Path, port: int, web: int, readers: int, *, once: bool
) -> None:
    """Start everything, load a newsroom, train, and show what a newsroom would see.

    The data directory is made anew each time. Without --once the service runs until Ctrl-C, which
    stops everything that the demo started, including the store.
    """
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with one_line_errors():
        # Whoever has the port would otherwise answer in the place of the demo's own service.
        check_port("127.0.0.1", port)
        prepare_directory(data)
        world = (
            read_published(dataset[0], Path(dataset[1]), time.time())
            if dataset
            else build_newsroom(time.time(), readers)
        )
        try:
            with (
                running_service(data, port, web, lambda: is_ready("127.0.0.1", port)),
                FeedClient(f"http://127.0.0.1:{port}") as client,
            ):
                Tour(client, world, data, console).run()
                if not once:
                    serve_on(console, port)
        except KeyboardInterrupt:
            console.print("\nStopped.")


def prepare_directory(data: Path) -> None:
    """Make the demo's data directory empty; only one that a demo made is ever removed.

    Raises:
        ConflictError: the directory holds something else.
    """
    if data.exists() and any(data.iterdir()):
        if not (data / MARK).exists():
            raise ConflictError(f"{data} is not a demo's directory; name another with --data")
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / MARK).touch()


def serve_on(console: Console, port: int) -> None:
    """Keep serving until Ctrl-C."""
    console.print(f"The page: [bold]http://127.0.0.1:{port}/[/bold]  Ctrl-C stops everything.")
    while True:
        time.sleep(3600)
