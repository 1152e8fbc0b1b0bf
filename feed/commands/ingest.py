"""`feed ingest`: articles and events from files, feeds and data sets, through the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from feed.client import MAX_ARTICLES, FeedClient, batches
from feed.commands.errors import EXIT_INPUT, one_line_errors
from feed.config import DAY_S
from feed.ingest.documents import Documents, Finding
from feed.ingest.reading import read_documents
from feed.service.intake import MAX_AGE_S, MAX_AHEAD_S
from feed.zones import read_zone

FORMATS = ("jsonl", "rss")
MAX_SHOWN = 100
ERASED_RULE = "was erased, and is not taken until it is restored"
WIDTH_OF_LOGS = 160
"""Columns of a table that is written to a file."""


@click.command("ingest")
@click.argument("source")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Format of SOURCE. By default files ending in .jsonl or .ndjson are JSON lines, and "
    "everything else is recognised by its content.",
)
@click.option(
    "--url", default="http://127.0.0.1:8000", show_default=True, help="Address of the service."
)
@click.option(
    "--api-key",
    envvar="FEED_API_KEY",
    default="",
    help="Key with the scope write; by default FEED_API_KEY.",
)
@click.option("--skip-invalid", is_flag=True, hidden=True, help="The default now.")
@click.option("--strict", is_flag=True, help="Send nothing if SOURCE has any fault.")
@click.option(
    "--zone",
    default="UTC",
    show_default=True,
    help="Time zone of a feed, such as Europe/Berlin: for times without a zone, and for zone "
    "names that several zones share, such as IST or CST.",
)
def ingest(
    source: str,
    form: str | None,
    url: str,
    api_key: str,
    zone: str,
    *,
    skip_invalid: bool,  # noqa: ARG001 - accepted for scripts that still pass it
    strict: bool,
) -> None:
    """Send the articles and events of SOURCE to a running service.

    SOURCE is a file or an http(s) address. It holds a feed (RSS, RDF, Atom, JSON Feed or a news
    sitemap) or JSON (articles and events in the API's form, as lines, an array or a batch), and
    may be compressed with gzip; "-" reads JSON lines from standard input. Sending a source again
    within a day does no harm: events are counted once, what an editor or the API has set stays as
    it is, and retracted and erased articles stay away.

    The valid entries or records are sent, and a table names what was left out or changed. Events
    from more than 30 days ago or from the future are left out. With --strict, nothing is sent if
    anything would be left out or changed.

    Exit codes: 0 everything valid was sent; 1 the service could not accept it; 2 the source
    cannot be read or has nothing valid, or it has a fault and --strict was given.
    """
    console = Console(stderr=True)
    now = time.time()
    with one_line_errors():
        documents = read_documents(source, form, now, read_zone(zone))
    leave_out_misdated_events(documents, now)
    report_findings("left out", documents.faults, console)
    report_findings("changed", documents.notes, console)
    is_refused = strict and bool(documents.faults or documents.notes)
    is_empty = not (documents.submissions or documents.events)
    if is_refused or (is_empty and documents.faults):
        raise click.exceptions.Exit(EXIT_INPUT)
    with one_line_errors(), FeedClient(url, api_key) as client:
        summary = send_documents(client, documents, console)
    click.echo(summary)


def leave_out_misdated_events(documents: Documents, now: float) -> None:
    """Turn events whose time the service would replace by the time of arrival into faults."""
    kept = []
    for event in documents.events:
        if event.occurred_at < now - MAX_AGE_S:
            rule = f"must be at most {MAX_AGE_S / DAY_S:g} days in the past"
        elif event.occurred_at > now + MAX_AHEAD_S:
            rule = f"must be at most {MAX_AHEAD_S / 60:g} minutes in the future"
        else:
            kept.append(event)
            continue
        documents.faults.append(Finding(event.event_id, "occurred_at", rule))
    documents.events = kept


def report_findings(title: str, findings: Sequence[Finding], console: Console) -> None:
    """Print the first findings as a table of record, field and rule, and how many there are."""
    if not findings:
        return
    table = Table("record", "field", "rule", box=None, pad_edge=False, title_justify="left")
    table.title = f"{len(findings)} {title}"
    for finding in findings[:MAX_SHOWN]:
        table.add_row(*(Text(part) for part in (finding.record, finding.field, finding.rule)))
    console.print(table, width=None if console.is_terminal else WIDTH_OF_LOGS)
    if len(findings) > MAX_SHOWN:
        console.print(f"... and {len(findings) - MAX_SHOWN} more")


def send_documents(client: FeedClient, documents: Documents, console: Console) -> str:
    """Send articles, then events, with a progress bar; return a sentence on what became of them.

    Raises:
        ApiError: the service refused a batch.
        ConnectionError: the service could not be reached.
    """
    erased: list[str] = []
    counts = {"accepted": 0, "duplicate": 0, "waiting": 0, "rejected": 0}
    columns: Any = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("articles", total=len(documents.submissions))
        for submissions in batches(documents.submissions, MAX_ARTICLES):
            results = client.send_articles(submissions, documents.origin)
            erased += [one["article_id"] for one in results if one["status"] == "erased"]
            progress.advance(task, len(submissions))
        task = progress.add_task("events", total=len(documents.events))
        for events in batches(documents.events, 500):
            for name, count in client.send_events(events).items():
                counts[name] += count
            progress.advance(task, len(events))
    counted = ", ".join(f"{count} {name}" for name, count in counts.items())
    report_findings("left out", [Finding(one, "", ERASED_RULE) for one in erased], console)
    taken = len(documents.submissions) - len(erased)
    return f"{taken} articles sent; events: {counted}"
