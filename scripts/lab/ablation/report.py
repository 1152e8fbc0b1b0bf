#!/usr/bin/env python
"""Measures what each part of the collaborative model is worth, on published data sets."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from feed.commands.errors import one_line_errors
from feed.domain import parse_time
from feed.models.factors import scale_regularization
from feed.offline.ebnerd import read_ebnerd
from feed.training_config import TrainingConfig
from lab.ablation.collaborative import (
    Row,
    check_against_implicit,
    compare_cold_start,
    compare_engines,
    compare_fold_in,
    compare_negatives,
    weights_of,
)
from lab.ablation.data import read_globo, read_movielens
from lab.ablation.log import compare_decay, compare_weights

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.option("--globo", type=_FOLDER, help="Globo.com reads with content vectors.")
@click.option("--movielens", type=_FOLDER, help="MovieLens 100k (u.data).")
@click.option("--ebnerd", type=_FOLDER, help="EB-NeRD, whose reads have times and dwell.")
@click.option("--from", "from_text", default="2023-05-23T07:00", show_default=True, metavar="TIME")
@click.option("--to", "to_text", default="2023-05-25T07:00", show_default=True, metavar="TIME")
@click.option("--json", "json_path", type=_FOLDER, help="Write the figures.")
def ablation(
    globo: Path | None,
    movielens: Path | None,
    ebnerd: Path | None,
    from_text: str,
    to_text: str,
    json_path: Path | None,
) -> None:
    """Print the nDCG@10 of the model with and without each of its parts.

    The model must find the clicks of EB-NeRD between --from and --to, which lie in its training
    week.
    """
    if globo is None and movielens is None and ebnerd is None:
        raise click.UsageError("name --globo, --movielens or --ebnerd")
    found: dict[str, list[Row]] = {}
    difference = None
    with one_line_errors():
        if globo is not None:
            found["globo"] = measure_globo(globo)
        if movielens is not None:
            found["ml-100k"], difference = measure_movielens(movielens)
        if ebnerd is not None:
            window = parse_time("--from", from_text), parse_time("--to", to_text)
            found["ebnerd"] = measure_ebnerd(ebnerd, *window)
    console = Console()
    console.print(_table(found))
    if difference is not None:
        console.print(f"ALS against plain implicit on ml-100k: factors differ by {difference:.1e}")
    if json_path is not None:
        rows = [{"data": data} | asdict(row) for data, rows in found.items() for row in rows]
        figures = {"rows": rows, "implicit_difference": difference}
        json_path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def measure_globo(folder: Path) -> list[Row]:
    """Return what content, shrinkage and fold-in are worth on reads with content vectors."""
    reads = read_globo(folder)
    config = scale_regularization(weights_of(reads), TrainingConfig())
    return [
        *compare_cold_start(reads, config),
        *compare_engines(reads, config),
        *compare_fold_in(reads, config),
    ]


def measure_movielens(folder: Path) -> tuple[list[Row], float]:
    """Return what the engine and negative reads are worth, and how far ALS is from implicit's."""
    reads = read_movielens(folder)
    config = scale_regularization(weights_of(reads), TrainingConfig())
    rows = [*compare_engines(reads, config), *compare_negatives(reads, config)]
    return rows, check_against_implicit(reads, config)


def measure_ebnerd(folder: Path, start: float, end: float) -> list[Row]:
    """Return what time decay and event weights are worth for the clicks from start to end."""
    log, config = read_ebnerd(folder), TrainingConfig()
    return [
        *compare_decay(log, start, end, config),
        *compare_weights(log, start, end, config),
    ]


def _table(found: dict[str, list[Row]]) -> Table:
    """Return all rows, with a line between questions."""
    table = Table("data", "question", "variant", "nDCG@10", "95 % interval", "readers")
    for data, rows in found.items():
        for question, group in groupby(rows, key=lambda row: row.question):
            for row in group:
                ndcg = row.ndcg
                interval = f"{ndcg.low:.4f} to {ndcg.high:.4f}"
                table.add_row(
                    data, question, row.variant, f"{ndcg.mean:.4f}", interval, str(ndcg.n)
                )
            table.add_section()
    return table


if __name__ == "__main__":
    ablation()
