"""`feed keys`: make API keys; only their hash is ever configured."""

from __future__ import annotations

import click

from feed.service.auth import Scope, hash_key, make_key


@click.command()
@click.argument("scope", type=click.Choice([s.name.lower() for s in Scope if s > Scope.PUBLIC]))
def keys(scope: str) -> None:
    """Make an API key for SCOPE and print it once, with the entry for FEED_API_KEYS.

    admin includes write, write includes read. Several keys may be valid at once: add the new
    entry, move the callers over, remove the old entry.
    """
    key = make_key()
    click.echo(f"key:   {key}")
    click.echo(f"entry: {scope}:{hash_key(key)}")
