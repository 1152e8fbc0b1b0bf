"""`feed sources`: the feeds that a running service polls, through the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feed.client import ApiError, FeedClient, batches
from feed.commands.errors import CommandError, InputCommandError, one_line_errors
from feed.commands.ingest import report_findings
from feed.commands.parameters import OUTPUT_FILE, FiniteRange
from feed.domain import InvalidInputError, NotFoundError
from feed.environment import settings_from_environment
from feed.ingest.documents import Finding
from feed.ingest.fetching import fetch_document
from feed.ingest.urls import is_web_address
from feed.sources.checking import SourceChecker
from feed.sources.outlines import read_list, write_opml
from feed.sources.reach import AllowedHosts
from feed.sources.subscription import (
    FEED_SCHEMES,
    Source,
    SourceState,
    id_of_address,
    read_address,
)
from feed.zones import read_zone

BATCH = 500
PATIENCE_S = 90.0
"""How long `check` waits for the service, seconds: longer than one download may take."""
PAUSE_S = 0.3

WORDS = {
    "added": "added",
    "known": "is a source already",
    "new_login": "is a source already; the new login is used from now on",
}
"""What is said about each status of a source that was to be added."""

SERVICE = [
    click.option(
        "--url", default="http://127.0.0.1:8000", show_default=True, help="Address of the service."
    ),
    click.option(
        "--api-key",
        envvar="FEED_API_KEY",
        default="",
        help="Key with the scope write (list and export: read); by default FEED_API_KEY.",
    ),
]


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which service to call."""
    for option in reversed(SERVICE):
        command = option(command)
    return command


@click.group()
def sources() -> None:
    """Add, list and check the feeds that are polled.

    A running service keeps itself up to date with its sources: RSS, RDF, Atom, JSON Feed and news
    sitemaps. SOURCE is the id or the address of one of them.
    """


@sources.command()
@click.argument("address")
@click.option("--name", default="", help="What you call it; by default the title of the feed.")
@click.option(
    "--zone",
    default="UTC",
    show_default=True,
    help="Time zone of the feed, such as Europe/Berlin: for times without a zone, and for zone "
    "names that several zones share.",
)
@click.option(
    "--age-from",
    type=click.Choice(["published", "updated"]),
    default="updated",
    show_default=True,
    help="What the age of its articles counts from: their publication, or their last real change.",
)
@click.option("--min-minutes", type=FiniteRange(1, 1440), help="Shortest time between two checks.")
@click.option(
    "--max-minutes",
    type=FiniteRange(1, 1440),
    help="Longest time between two checks. It overrides what the feed asks for.",
)
@service_options
def add(address: str, url: str, api_key: str, **options: Any) -> None:
    """Poll the feed at ADDRESS from now on, or the feed to which the web page there links.

    A name and a password in the address (https://name:password@host/...) are used but never
    shown.
    """
    body = {name: value for name, value in options.items() if value is not None}
    with one_line_errors(), FeedClient(url, api_key) as client:
        (result,) = _send(client, [{"address": address, **body}])
    click.echo(f"{result['source_id']}: {result['address']} {WORDS[result['status']]}")


@sources.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")
@service_options
def list_sources(url: str, api_key: str, *, as_json: bool) -> None:
    """List every source, and what its last check found."""
    with one_line_errors(), FeedClient(url, api_key) as client:
        answer = client.call("GET", "/v1/sources")
    if as_json:
        click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))
        return
    table = Table()
    for heading in ("id", "status", "articles"):
        table.add_column(heading, no_wrap=True)
    table.add_column("source, and what happened", overflow="fold")
    for one in answer["sources"]:
        table.add_row(
            one["source_id"],
            one["status"],
            str(one["articles"]),
            Text(
                "\n".join(filter(None, (one["name"], one["address"], one["message"], _times(one))))
            ),
        )
    Console().print(table)


@sources.command()
@click.argument("source")
@service_options
def remove(source: str, url: str, api_key: str) -> None:
    """Stop polling SOURCE and forget it. Its articles stay."""
    source_id = _change(url, api_key, "DELETE", source, "")
    click.echo(f"removed: {source_id}")


@sources.command()
@click.argument("source")
@service_options
def pause(source: str, url: str, api_key: str) -> None:
    """Stop polling SOURCE until it is resumed."""
    source_id = _change(url, api_key, "POST", source, "/pause")
    click.echo(f"paused: {source_id}")


@sources.command()
@click.argument("source")
@service_options
def resume(source: str, url: str, api_key: str) -> None:
    """Poll SOURCE again, after it was paused or its server said that it was gone."""
    source_id = _change(url, api_key, "POST", source, "/resume")
    click.echo(f"resumed: {source_id}")


@sources.command()
@click.argument("source")
@click.option(
    "--zone", default="UTC", show_default=True, help="Time zone of an address that is not a source."
)
@service_options
def check(source: str, zone: str, url: str, api_key: str) -> None:
    """Poll SOURCE now, or show what polling a new address would take.

    An address that is not a source yet is fetched by this machine, and nothing is stored. The exit
    code is 2 if the feed cannot be read.
    """
    console = Console(stderr=True)
    with one_line_errors():
        with FeedClient(url, api_key, retries=0) as client:
            found = _poll_now(client, source)
        if found is None:
            _preview(source, zone, console)
            return
    findings = [Finding(**finding) for finding in found["findings"]]
    report_findings("left out or changed", findings, console)
    click.echo(f"{found['name'] or found['address']}: {found['message']}")
    if found["failures"]:
        raise click.exceptions.Exit(2)


@sources.command("import")
@click.argument("source_list", metavar="FILE")
@service_options
def import_list(source_list: str, url: str, api_key: str) -> None:
    """Add the feeds in FILE, which holds OPML or one address per line.

    FILE may also be a web address.
    """
    with one_line_errors(), FeedClient(url, api_key) as client:
        found = read_list(fetch_document(source_list).content)
        bodies = [{"address": one.address, "name": one.name} for one in found]
        results = [result for batch in batches(bodies, BATCH) for result in _send(client, batch)]
    added = sum(result["status"] == "added" for result in results)
    click.echo(f"{added} sources added, {len(results) - added} already known")


@sources.command()
@click.argument("path", type=OUTPUT_FILE, required=False)
@service_options
def export(path: Path | None, url: str, api_key: str) -> None:
    """Write every source as OPML to PATH, or print it. Logins are left out."""
    with one_line_errors(), FeedClient(url, api_key) as client:
        listed = client.call("GET", "/v1/sources")["sources"]
    opml = write_opml([Source(address=one["address"], name=one["name"]) for one in listed])
    if path is None:
        click.echo(opml, nl=False)
    else:
        path.write_bytes(opml)


def _send(client: FeedClient, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add sources; return what became of each."""
    answer = _call(client, "POST", "/v1/sources", {"sources": list(bodies)})
    results: list[dict[str, Any]] = answer["results"]
    return results


def _change(url: str, api_key: str, method: str, source: str, action: str) -> str:
    with one_line_errors(), FeedClient(url, api_key) as client:
        source_id = _id_of(source)
        _call(client, method, _path(source_id, action))
    return source_id


def _path(source_id: str, action: str = "") -> str:
    return f"/v1/sources/{quote(source_id, safe='')}{action}"


def _call(client: FeedClient, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Call the service; each of these calls changes nothing when it arrives twice.

    Raises:
        NotFoundError: there is no such source.
        InputCommandError: the service says that the input is at fault.
    """
    try:
        return client.call(method, path, body=body, repeatable=True)
    except ApiError as error:
        detail = str(error).partition(": ")[2]
        if error.status == 404:
            raise NotFoundError(detail) from None
        if error.status == 422:
            raise InputCommandError(detail.removeprefix("sources.0.")) from None
        raise


def _id_of(source: str) -> str:
    """Return the id of a source that is named by its id or by its address."""
    is_address = is_web_address(source) or source.lower().startswith(FEED_SCHEMES)
    return id_of_address(read_address(source, "SOURCE")) if is_address else source


def _poll_now(client: FeedClient, source: str) -> dict[str, Any] | None:
    """Have a known source polled and return it afterwards; None for an unknown address."""
    source_id = _id_of(source)
    try:
        found = _call(client, "POST", _path(source_id, "/check"))
        deadline = time.monotonic() + PATIENCE_S
        while found["check_pending"]:
            if time.monotonic() > deadline:
                raise CommandError(
                    "the service has not checked the source yet: is its worker running?"
                )
            time.sleep(PAUSE_S)
            found = _call(client, "GET", _path(source_id))
    except (ConnectionError, NotFoundError):
        if source_id == source:
            raise
        return None
    return found


def _preview(address: str, zone: str, console: Console) -> None:
    """Print what a poll of an address would take."""
    read_zone(zone)
    source = Source(address=read_address(address, "SOURCE"), zone=zone)
    reach = AllowedHosts(settings_from_environment().source_networks).check
    found = SourceChecker(reach).check(source, SourceState(), time.time())
    documents = found.documents
    if documents is None:
        raise InvalidInputError("source", found.message)
    report_findings("would be left out", documents.faults, console)
    report_findings("would be changed", documents.notes, console)
    parts = (found.message, f"{documents.title}: {len(documents.articles)} articles, none taken")
    click.echo("; ".join(filter(None, parts)))


def _times(one: dict[str, Any]) -> str:
    """Return when a source was last read and when it will be checked, in UTC."""
    known = (("read", one["succeeded_at"]), ("next check", one["next_at"]))
    return ", ".join(f"{what} {at[5:16].replace('T', ' ')}" for what, at in known if at)
