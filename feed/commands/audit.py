"""`feed audit`: who changed what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, open_store
from feed.commands.parameters import PATH
from feed.domain import format_time


@click.command()
@click.option("--subject", default="", help="Only entries about this, such as experiments/NAME.")
@click.option("--by", default="", help="Only entries by this person.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Number of entries."
)
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
def audit(subject: str, by: str, limit: int, data: Path | None) -> None:
    """Show who changed what and when, the newest first.

    The store keeps the newest 10,000 entries.
    """
    with one_line_errors(), open_store(chosen_settings(data), make=False) as store:
        entries = store.read_audit(limit, subject, by)
    table = Table()
    for heading in ("time, id", "by", "what", "action"):
        table.add_column(heading, no_wrap=True)
    table.add_column("change", overflow="fold")
    for entry in entries:
        at = format_time(entry.at)[:16].replace("T", " ")
        change = _describe(entry.before or {}, entry.after or {})
        table.add_row(f"{at}\n{entry.id}", entry.by, entry.subject, entry.action, change)
    Console().print(table)


def _describe(before: dict[str, Any], after: dict[str, Any]) -> str:
    lines = []
    for name in dict.fromkeys([*before, *after]):
        old, new = (orjson.dumps(side.get(name)).decode() for side in (before, after))
        lines.append(f"{name}: {new}" if name not in before else f"{name}: {old} -> {new}")
    return "\n".join(lines)
