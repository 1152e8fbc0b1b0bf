"""`feed routes`: every route of the service, and who may call it."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.table import Column, Table

from feed.config import Settings
from feed.service.access_table import (
    CALLERS,
    access_rows,
    desk_rows,
    markdown_access_table,
    markdown_desk_table,
)
from feed.service.app import create_app
from feed.storage.redis_store import RedisStore


@click.command()
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def routes(*, markdown: bool) -> None:
    """List every route, and who may call it where credentials are needed."""
    settings = Settings(redis_url="redis://127.0.0.1:1/0")  # no route is called: nothing connects
    app = create_app(settings, RedisStore(settings), time.time)
    if markdown:
        click.echo(f"{markdown_access_table(app)}\n\n{markdown_desk_table(app)}")
        return
    table = Table(Column("route", no_wrap=True), *CALLERS, title="who may call what")
    for row in access_rows(app):
        table.add_row(f"{row.method} {row.path}", *(row.access[caller] for caller in CALLERS))
    Console().print(table)
    pages = Table(Column("page of the desk", no_wrap=True), "least role", title="the desk")
    for method, path, role in desk_rows(app):
        pages.add_row(f"{method} {path}", role or "none")
    Console().print(pages)
