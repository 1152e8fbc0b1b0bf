"""`feed health`: whether a part of the service works, for schedulers and people."""

from __future__ import annotations

import click

from feed.client import FeedClient
from feed.commands.errors import CommandError, one_line_errors
from feed.config import Settings
from feed.domain import InvalidInputError
from feed.environment import settings_from_environment
from feed.storage.redis_store import RedisStore

TIMEOUT_S = 3.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a server may be bound to


@click.command("health")
@click.argument("part", type=click.Choice(["web", "worker"]))
def health(part: str) -> None:
    """Say in one line whether the web service or the worker works.

    web: the service on this machine is ready to serve feeds. worker: every partition of the
    installation at FEED_REDIS_URL has a worker, which counts and archives its events.

    Exit codes: 0 it works; 1 it does not.
    """
    with one_line_errors():
        settings = settings_from_environment()
        click.echo(_check_web(settings) if part == "web" else _check_worker(settings))


def _check_web(settings: Settings) -> str:
    host = EVERYWHERE.get(settings.host, settings.host)
    address = (
        f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    )
    with FeedClient(address, timeout_s=TIMEOUT_S, retries=0) as client:
        answer = client.call("GET", "/readyz")
    return f"ready: {answer['articles']} articles, model {answer['model_version']}"


def _check_worker(settings: Settings) -> str:
    if not settings.redis_url:
        raise InvalidInputError("FEED_REDIS_URL", "must be set; feed serve watches its own worker")
    store = RedisStore(settings)
    try:
        table = store.read_workers()
    finally:
        store.close()
    if not table.live:
        raise CommandError("no worker is at work: events are kept, but not counted")
    unowned = table.unowned(settings.partitions)
    if unowned:
        names = ", ".join(map(str, unowned))
        raise CommandError(f"no worker has partition {names}: its events are kept, but not counted")
    return f"working: {', '.join(table.live)}"
