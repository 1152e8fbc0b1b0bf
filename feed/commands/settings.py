"""`feed settings`: every setting and parameter with its default and its meaning."""

from __future__ import annotations

import re
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from feed.commands.errors import one_line_errors
from feed.config import RankingConfig, Settings
from feed.environment import RANKING_PREFIX, settings_from_environment
from feed.setting_fields import documented
from feed.settings_text import describe, setting_text
from feed.training_config import TrainingConfig

CLASSES: dict[str, tuple[type[Any], str]] = {
    "settings": (Settings, "FEED_"),
    "ranking": (RankingConfig, RANKING_PREFIX),
    "training": (TrainingConfig, ""),
}
SECRET = frozenset(
    {
        "api_keys",
        "token_secret",
        "cursor_secret",
        "redis_url",
        "alert_secret",
        "alert_url",
        "oidc_client_secret",
    }
)
"""Settings that may hold a secret: only whether they are set is shown."""
LOGIN = re.compile(r"(?<=://)[^\s,]*@")
"""User and password in an address, which any other setting may hold."""


@click.command("settings")
@click.option("--of", "which", type=click.Choice(list(CLASSES)), default="settings")
@click.option("--markdown", is_flag=True, help="Print the table of defaults as Markdown.")
def settings(which: str, *, markdown: bool) -> None:
    """List the settings, the ranking or the training parameters.

    Settings and ranking parameters come from the environment. The column "value" shows those that
    it sets.
    """
    if markdown:
        click.echo(markdown_table(which))
        return
    with one_line_errors():
        changed = _changed_values(which)
    table = Table("value", "default", "meaning", title=which)
    table.columns.insert(0, Column("name", no_wrap=True))
    for name, default, text in rows(which):
        table.add_row(name, *map(escape, (changed.get(name, ""), default, text)))
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
        (_written(name, prefix), default.replace("|", "\\|"), text)
        for name, default, text in describe(kind)
    ]


def _shown(name: str, value: str) -> str:
    return "(set)" if name in SECRET else LOGIN.sub("(set)@", value)


def _changed_values(which: str) -> dict[str, str]:
    """Return what the environment sets to something else than the default, by written name."""
    kind, prefix = CLASSES[which]
    chosen = settings_from_environment()
    present = {"settings": chosen, "ranking": chosen.ranking}.get(which, kind())
    default = kind()
    return {
        _written(f.name, prefix): _shown(f.name, setting_text(value))
        for f in documented(kind)
        if (value := getattr(present, f.name)) != getattr(default, f.name)
    }


def _written(name: str, prefix: str) -> str:
    return prefix + (name.upper() if prefix else name)
