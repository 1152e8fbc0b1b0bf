"""`feed settings`: every setting and parameter with its default and its meaning."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table

from feed.config import RankingConfig, Settings, TrainingConfig, describe

CLASSES: dict[str, tuple[type[Any], str]] = {
    "settings": (Settings, "FEED_"),
    "ranking": (RankingConfig, ""),
    "training": (TrainingConfig, ""),
}


@click.command("settings")
@click.option("--of", "which", type=click.Choice(list(CLASSES)), default="settings")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def settings(which: str, *, markdown: bool) -> None:
    """List the settings (from the environment), or the ranking or training parameters."""
    if markdown:
        click.echo(markdown_table(which))
        return
    table = Table("name", "default", "meaning", title=which)
    for name, default, text in rows(which):
        table.add_row(name, default, text)
    Console().print(table)


def markdown_table(which: str) -> str:
    """Return one class of settings as a Markdown table."""
    lines = ["| name | default | meaning |", "|---|---|---|"]
    for name, default, text in rows(which):
        lines.append(f"| `{name}` | {f'`{default}`' if default else 'empty'} | {text} |")
    return "\n".join(lines)


def rows(which: str) -> list[tuple[str, str, str]]:
    """Return (name, default, meaning) of every setting of a class, as people write them."""
    kind, prefix = CLASSES[which]
    return [
        (prefix + (name.upper() if prefix else name), default.replace("|", "\\|"), text)
        for name, default, text in describe(kind)
    ]
