"""`feed metrics`: what experiments can measure, with the site's own metrics."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from feed.commands.errors import one_line_errors
from feed.commands.opening import chosen_settings
from feed.commands.parameters import PATH
from feed.experiments.design.metrics import METRICS, Metric
from feed.experiments.design.own_metrics import own_metrics, read_metric_file


@click.group("metrics", invoke_without_command=True)
@click.option("--data", type=PATH, help="Data directory; by default FEED_DATA_DIR.")
@click.pass_context
def metrics(context: click.Context, data: Path | None) -> None:
    """List every metric that an experiment can name: feed's own and those of the site.

    The site's metrics stand in metrics.toml in the data directory, or in the file that
    FEED_METRICS_FILE names.
    """
    if context.invoked_subcommand is not None:
        return
    with one_line_errors():
        found = own_metrics(chosen_settings(data))
    _print(METRICS.values())
    if found:
        _print(found.values(), "the site's own")


@metrics.command()
@click.argument("file", type=PATH)
def check(file: Path) -> None:
    """Check the metrics that FILE declares; an error names the line, the metric and the rule."""
    with one_line_errors():
        found = read_metric_file(file)
    _print(found.values(), file.name)


def _print(chosen: Iterable[Metric], title: str = "metrics") -> None:
    table = Table(Column("name", no_wrap=True), "title", "measures", "better", title=title)
    for metric in chosen:
        table.add_row(*map(escape, (metric.name, metric.title, metric.meaning, metric.better)))
    Console().print(table)
