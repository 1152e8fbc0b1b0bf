"""`feed keys`: make, list and revoke API keys; only their hash is ever kept."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from feed.catalogue.decisions import Editor
from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, command_line_user, open_store
from feed.commands.parameters import PATH
from feed.domain import check_id, format_time
from feed.service.api_keys import KeyRing, hash_key, make_key, parse_keys
from feed.service.credentials import KEY_SCOPES, Scope
from feed.storage.redis_store import RedisStore

SCOPES = click.Choice([scope.value for scope in KEY_SCOPES])
DATA = click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys.

    The scope admin includes write and metrics; write includes read and site. A site key may be
    published: it can only ask for an anonymous reader's token.
    """


@keys.command()
@click.argument("scope", type=SCOPES)
@click.option("--name", default="", help="Name of the key; no two keys may share a name.")
def make(scope: str, name: str) -> None:
    """Make a key for SCOPE and print it once, with the entry for FEED_API_KEYS.

    Several keys may be valid at once. To replace one, add the new entry, move the callers to it,
    and remove the old entry. `feed keys add` needs no change of settings.
    """
    with one_line_errors():
        named = f"{check_id('--name', name)}:" if name else ""
        key = make_key()
        entry = f"{named}{scope}:{hash_key(key)}"
        parse_keys(entry)
    click.echo(f"key:   {key}")
    click.echo(f"entry: {entry}")


@keys.command()
@click.argument("name")
@click.argument("scope", type=SCOPES)
@DATA
def add(name: str, scope: str, data: Path | None) -> None:
    """Make a key named NAME for SCOPE in the store, and print it once.

    A running service accepts it within a second.
    """
    with one_line_errors():
        settings = chosen_settings(data)
        with open_store(settings) as store:
            key = _ring(store, settings.api_keys, settings.site_key).add(
                name, Scope(scope), Editor(command_line_user(), time.time())
            )
    click.echo(f"key: {key}")


@keys.command()
@click.argument("name")
@DATA
def revoke(name: str, data: Path | None) -> None:
    """Remove the key NAME from the store; a running service refuses it within a second."""
    with one_line_errors():
        settings = chosen_settings(data)
        with open_store(settings) as store:
            _ring(store, settings.api_keys, settings.site_key).remove(
                name, Editor(command_line_user(), time.time())
            )
    click.echo(f"revoked: {name}")


@keys.command("list")
@DATA
def list_keys(data: Path | None) -> None:
    """List every accepted key: its scope, where it is kept, and when it was last used."""
    table = Table("name", "scope", "kept in", "made", "last used")
    with one_line_errors():
        settings = chosen_settings(data)
        with open_store(settings) as store:
            ring = _ring(store, settings.api_keys, settings.site_key)
            ring.follow(time.time())
            used = ring.last_uses()
    for key in ring.all():
        where = "store" if key.stored else "settings"
        table.add_row(
            key.name, key.scope.value, where, _when(key.created_at), _when(used.get(key.name))
        )
    Console().print(table)


def _ring(store: RedisStore, configured: str, site_key: str) -> KeyRing:
    return KeyRing(parse_keys(configured), site_key, store)


def _when(epoch_s: float | None) -> str:
    return "" if epoch_s is None else format_time(epoch_s)[:16].replace("T", " ")
