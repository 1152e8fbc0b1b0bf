"""`feed models`: list the models, show one, and roll back to an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings
from feed.commands.parameters import PATH
from feed.domain import NotFoundError
from feed.models.registry import ModelRegistry

data_option = click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


@click.group("models")
def models() -> None:
    """See the published models and choose the one that serves."""


@models.command("list")
@data_option
@json_option
def list_models(data: Path | None, *, as_json: bool) -> None:
    """List the published models, newest first; the star marks the one that serves.

    The column "gate" shows the verdict and the two numbers that were compared, for the model and
    for what served before it (the live model, or the day-one weights): the pool nDCG@10, or on
    feed's own lists the share of pairs in order.
    """
    with one_line_errors():
        found = _registry(data).list()
    if as_json:
        click.echo(orjson.dumps([_short(manifest) for manifest in found], option=_PRETTY))
        return
    table = Table(caption="" if found else "No model yet: run feed retrain.")
    for heading in ("", "version, created", "window", "learnt from"):
        table.add_column(heading, no_wrap=True)
    table.add_column("gate")
    for manifest in found:
        table.add_row(*_cells(manifest))
    Console().print(table)


@models.command()
@click.argument("version")
@data_option
def show(version: str, data: Path | None) -> None:
    """Print everything that is known about VERSION, as JSON."""
    with one_line_errors():
        manifests = {str(m["version"]): m for m in _registry(data).list()}
        if version not in manifests:
            raise NotFoundError(f"there is no model version {version}")
    click.echo(orjson.dumps(manifests[version], option=_PRETTY))


@models.command()
@click.argument("version", required=False)
@data_option
def rollback(version: str | None, data: Path | None) -> None:
    """Make VERSION serve; without VERSION, the model that served before the current one.

    The model is first loaded and checked. Web processes notice the change within a second.
    """
    with one_line_errors():
        registry = _registry(data)
        if version is None:
            version = registry.rollback()
        else:
            registry.set_live(version)
    click.echo(f"{version} is live")


_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
_LISTED = ("version", "live", "created_at", "window", "events", "readers", "articles", "gate")


def _registry(data: Path | None) -> ModelRegistry:
    return ModelRegistry(chosen_settings(data).data_dir / "models")


def _short(manifest: dict[str, Any]) -> dict[str, Any]:
    names = (*_LISTED, "error") if "error" in manifest else _LISTED
    return {name: manifest.get(name) for name in names}


def _cells(manifest: dict[str, Any]) -> tuple[str, ...]:
    return (
        "*" if manifest["live"] else "",
        f"{manifest.get('version', '')}\n{_minute(manifest.get('created_at', ''))}",
        "\n".join(_minute(at) for at in manifest.get("window") or ()),
        "\n".join(
            f"{manifest[name]:,} {name}"
            for name in ("events", "readers", "articles")
            if name in manifest
        ),
        str(manifest["error"]) if "error" in manifest else _verdict(manifest.get("gate") or {}),
    )


def _verdict(gate: dict[str, Any]) -> str:
    if not gate:
        return ""
    word = "forced" if gate.get("forced") else gate["verdict"]
    if not gate["difference"]["n"]:
        return f"{word}: {gate['reason']}"
    numbers = f"{gate['candidate']['mean']:.4f} against {gate['other']['mean']:.4f}"
    return f"{word}: {numbers} ({gate['against']}; {gate['metric']})"


def _minute(time: str) -> str:
    return str(time)[:16].replace("T", " ")
