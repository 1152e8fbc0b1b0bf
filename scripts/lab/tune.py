#!/usr/bin/env python
"""Compares the rankers' parameters by a split in time, only on the past."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.commands.errors import one_line_errors
from feed.commands.evaluate import parse_span
from feed.domain import parse_time
from feed.models.factors import training_threads
from feed.offline.datasets import NAMES, read_dataset
from feed.training_config import TrainingConfig
from lab.tuning import GRID, Trial, rebuild_examples, tune


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--dataset", type=click.Choice(NAMES), required=True, help="Layout of DIRECTORY.")
@click.option("--until", "until_text", required=True, metavar="TIME", help="End of the past.")
@click.option("--days", default="7d", show_default=True, help="Span of the past that is used.")
@click.option("--measure", default="2d", show_default=True, help="Last part, that measures.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def tune_command(
    directory: Path,
    dataset: str,
    until_text: str,
    days: str,
    measure: str,
    json_path: Path | None,
) -> None:
    """Try a grid of parameters on the log in DIRECTORY before --until; never look beyond it."""
    console, config = Console(), TrainingConfig()
    trials: list[Trial] = []
    with one_line_errors(), Progress(console=console, transient=True) as bar:
        log, embeddings = read_dataset(dataset, directory)
        until = parse_time("--until", until_text)
        task = bar.add_task("rebuilding examples", total=1.0)
        walk = rebuild_examples(
            log,
            until - parse_span(days),
            until,
            config,
            embeddings,
            lambda share: bar.update(task, completed=share),
        )
        split = until - parse_span(measure)
        bar.update(task, completed=0.0, description="trying settings", total=2.0 * len(GRID))
        for trial in tune(walk, split, until, config, training_threads()):
            trials.append(trial)
            bar.advance(task)
    table = Table("head", "leaves", "trees", "learning rate", "AUC", "nDCG@10", "lists")
    for trial in sorted(trials, key=lambda t: (t.head, -t.ndcg)):
        values = [str(v) for v in trial.parameters.values()]
        measures = (f"{trial.auc:.4f}", f"{trial.ndcg:.4f}", str(trial.lists))
        table.add_row(trial.head, *values, *measures)
    console.print(table)
    if json_path is not None:
        found = [asdict(trial) for trial in trials]
        json_path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    tune_command()
