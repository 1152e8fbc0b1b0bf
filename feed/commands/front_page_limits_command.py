"""`feed limits`: the newsroom's limits on front pages, and what they cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import Progress

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings, open_store
from feed.commands.parameters import PATH
from feed.config import Settings
from feed.domain import InvalidInputError
from feed.editorial.editorial import Editorial, editorial_from_store
from feed.editorial.editorial_limits import Limit, check_limits, limit_from_json
from feed.features.sections import read_aliases
from feed.models.bundle import empty_bundle
from feed.models.registry import ModelRegistry
from feed.offline.limit_price import LimitPrice, present_price, price_limits
from feed.ranking.settings_in_force import put_in_force
from feed.storage.archive import Archive

MOST_HOURS = 24 * 14


@click.group("limits")
def limits_command() -> None:
    """Show the newsroom's limits on front pages, and what they cost."""


@limits_command.command()
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
def show(data: Path | None) -> None:
    """Show the limits that hold."""
    with one_line_errors():
        limits = _read(chosen_settings(data)).limits
    for limit in limits:
        click.echo(limit.sentence())
    if not limits:
        click.echo("There is no limit.")


@limits_command.command()
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
@click.option(
    "--hours",
    type=click.IntRange(1, MOST_HOURS),
    default=24,
    show_default=True,
    help="How far back the recorded feeds go.",
)
@click.option(
    "--limits",
    "limits_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with limits to price instead of those in force, as PUT /v1/limits takes them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def price(data: Path | None, hours: int, limits_file: Path | None, *, as_json: bool) -> None:
    """Say what limits cost on recorded clicks.

    Recorded front pages that readers clicked on are ranked again, with the limits and without
    them. At most 2,000 are used, drawn evenly over the period.
    """
    with one_line_errors():
        settings = chosen_settings(data)
        editorial = _read(settings)
        limits = editorial.limits if limits_file is None else _read_limits(limits_file)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("ranking", total=1.0)
            found = _price(
                settings, editorial, limits, hours, lambda s: bar.update(task, completed=s)
            )
    if as_json:
        click.echo(orjson.dumps(present_price(found), option=orjson.OPT_INDENT_2))
        return
    click.echo(found.sentence())
    if found.enough:
        click.echo(f"{100 * found.changed:.1f} % of the articles of first pages are others.")
        for limit, (before, after) in zip(limits, found.met, strict=True):
            kept = (
                f"kept by {100 * before:.0f} % of them without, {100 * after:.0f} % with the limits"
            )
            click.echo(f"{limit.sentence()}: {kept}")


def _read(settings: Settings) -> Editorial:
    with open_store(settings) as store:
        return editorial_from_store(store.read_editorial())


def _read_limits(path: Path) -> list[Limit]:
    try:
        limits = [limit_from_json(one) for one in orjson.loads(path.read_bytes())["limits"]]
    except (ValueError, KeyError, TypeError) as error:
        rule = f"{path} must be a JSON object whose `limits` are as PUT /v1/limits takes them"
        raise InvalidInputError("--limits", rule) from error
    check_limits(limits)
    return limits


def _price(
    settings: Settings, editorial: Editorial, limits: Any, hours: int, progress: Any
) -> LimitPrice:
    return price_limits(
        Archive(settings.data_dir / "archive"),
        limits,
        ModelRegistry(settings.data_dir / "models").load_live() or empty_bundle(),
        put_in_force(settings.ranking, editorial.ranking).config,
        now=time.time(),
        hours=float(hours),
        section_aliases=read_aliases(settings.section_aliases),
        progress=progress,
    )
