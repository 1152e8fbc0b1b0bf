"""`feed tokens`: make a reader's token for trying out what a reader may do."""

from __future__ import annotations

import time
from pathlib import Path

import click

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, open_store
from feed.commands.parameters import PATH, FiniteRange
from feed.domain import check_id
from feed.service.access import TOKEN_SECRET
from feed.service.reader_tokens import ReaderTokens


@click.group()
def tokens() -> None:
    """Make readers' tokens for trying them out; a newsroom's own backend makes the real ones."""


@tokens.command()
@click.argument("user_id")
@click.option(
    "--minutes",
    type=FiniteRange(0, 1_000_000, min_open=True),
    default=60.0,
    show_default=True,
    help="How long the token is valid.",
)
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
def mint(user_id: str, minutes: float, data: Path | None) -> None:
    """Print a token that speaks for the reader USER_ID.

    It is signed with the first secret in FEED_TOKEN_SECRET, or with the installation's own
    secret if FEED_TOKEN_SECRET is empty.
    """
    with one_line_errors():
        check_id("USER_ID", user_id)
        settings = chosen_settings(data)
        with open_store(settings) as store:
            minter = ReaderTokens(settings, lambda: store.secret(TOKEN_SECRET))
            click.echo(minter.mint(user_id, time.time(), minutes * 60))
