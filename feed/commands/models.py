"""`feed models`: which models there are, which one serves, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings
from feed.models.registry import ModelRegistry

data_option = click.option(
    "--data", type=click.Path(path_type=Path), help="Data directory of the installation."
)


@click.group("models")
def models() -> None:
    """See the published models and choose the one that serves."""


@models.command("list")
@data_option
def list_models(data: Path | None) -> None:
    """List the published models, newest first; the star marks the one that serves."""
    with one_line_errors():
        found = _registry(data).list()
    table = Table()
    for heading in ("", "version", "made", "articles", "gate"):
        table.add_column(heading, no_wrap=True)
    for manifest in found:
        table.add_row(
            "*" if manifest["live"] else "",
            str(manifest.get("version", "")),
            str(manifest.get("created_at", ""))[:19],
            str(manifest.get("articles", "")),
            _verdict(manifest),
        )
    Console().print(table)


@models.command()
@data_option
def rollback(data: Path | None) -> None:
    """Make the model that served before the present one serve again, at once and everywhere."""
    with one_line_errors():
        click.echo(f"serving {_registry(data).rollback()}")


@models.command()
@click.argument("version")
@data_option
def use(version: str, data: Path | None) -> None:
    """Make the published VERSION serve, after checking that it is whole."""
    with one_line_errors():
        _registry(data).set_live(version)
        click.echo(f"serving {version}")


def _registry(data: Path | None) -> ModelRegistry:
    return ModelRegistry(chosen_settings(data).data_dir / "models")


def _verdict(manifest: dict[str, Any]) -> str:
    if "error" in manifest:
        return str(manifest["error"])
    gate = manifest.get("gate")
    return str(gate.get("verdict", "")) if isinstance(gate, dict) else str(gate or "")
