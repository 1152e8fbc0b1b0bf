"""`feed ingest`: articles and events from files, feeds and data sets, through the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from feed.client import FeedClient
from feed.commands.errors import EXIT_INPUT, one_line_errors
from feed.domain import InvalidInputError
from feed.ingest.json_lines import Documents, parse_json_lines
from feed.ingest.syndication import read_syndication

T = TypeVar("T")

FORMATS = ("jsonl", "rss")
MAX_FAULTS_SHOWN = 10


@click.command("ingest")
@click.argument("source")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Format of SOURCE. By default files ending in .jsonl, .ndjson or .json are JSON lines, "
    "everything else is RSS or Atom.",
)
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Its address.")
@click.option("--api-key", envvar="FEED_API_KEY", default="", help="Key with the scope write.")
@click.option(
    "--skip-invalid", is_flag=True, help="Send the valid lines even if others are invalid."
)
def ingest(source: str, form: str | None, url: str, api_key: str, *, skip_invalid: bool) -> None:
    """Send the articles and events of SOURCE to a running service.

    SOURCE is a file of JSON lines (articles and events in the API's form; "-" reads standard
    input), or an RSS or Atom document as a file or an http(s) address. Sending a source again
    changes nothing: articles are replaced and events are counted once.

    Exit codes: 0 everything was sent; 1 the service could not accept it; 2 the source has errors
    (nothing was sent, unless --skip-invalid is given).
    """
    console = Console(stderr=True)
    with one_line_errors():
        documents = read_documents(source, form, time.time())
    if documents.faults:
        report_faults(documents.faults, console)
        if not skip_invalid:
            raise click.exceptions.Exit(EXIT_INPUT)
    with one_line_errors(), FeedClient(url, api_key) as client:
        summary = send_documents(client, documents, console)
    click.echo(summary)
    if documents.faults:
        raise click.exceptions.Exit(EXIT_INPUT)


def read_documents(source: str, form: str | None, now: float) -> Documents:
    """Return what a source holds.

    Raises:
        InvalidInputError: the source is missing or of another format.
    """
    is_lines = source == "-" or Path(source).suffix in {".jsonl", ".ndjson", ".json"}
    if form == "rss" or (form is None and not is_lines):
        return Documents(articles=read_syndication(source, now))
    if source != "-" and not Path(source).is_file():
        raise InvalidInputError("source", f"{source} is not a file")
    with click.open_file(source, "rb") as lines:
        return parse_json_lines(lines, now)


def report_faults(faults: Sequence[str], console: Console) -> None:
    """Print the first faults of a source, and how many more there are."""
    for fault in faults[:MAX_FAULTS_SHOWN]:
        console.print(fault, markup=False, highlight=False)
    if len(faults) > MAX_FAULTS_SHOWN:
        console.print(f"... and {len(faults) - MAX_FAULTS_SHOWN} more")


def send_documents(client: FeedClient, documents: Documents, console: Console) -> str:
    """Send articles, then events, with a progress bar; return a sentence on what became of them.

    Raises:
        ApiError: the service refused a batch.
        ConnectionError: the service could not be reached.
    """
    counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
    columns: Any = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("articles", total=len(documents.articles))
        for articles in batches(documents.articles, 25):
            client.send_articles(articles)
            progress.advance(task, len(articles))
        task = progress.add_task("events", total=len(documents.events))
        for events in batches(documents.events, 500):
            for name, count in client.send_events(events).items():
                counts[name] += count
            progress.advance(task, len(events))
    counted = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{len(documents.articles)} articles sent; events: {counted}"


def batches(values: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return consecutive parts of at most `size` values."""
    return [values[start : start + size] for start in range(0, len(values), size)]
