#!/usr/bin/env python
"""Takes the collaborative model apart on published sets and prints what each part is worth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from feed.commands.errors import one_line_errors
from feed.config import TrainingConfig
from feed.domain import parse_time
from feed.models.factors import scale_regularization
from feed.offline.ebnerd import read_ebnerd
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
    """Print nDCG@10 of the model and of what is left without each of its parts.

    --from and --to bound the clicks of EB-NeRD that are to be found, in its training week.
    """
    if globo is None and movielens is None and ebnerd is None:
        raise click.UsageError("name --globo, --movielens or --ebnerd")
    console = Console()
    rows: list[tuple[str, Row]] = []
    difference = None
    with one_line_errors():
        if globo is not None:
            reads = read_globo(globo)
            config = scale_regularization(weights_of(reads), TrainingConfig())
            for compare in (compare_cold_start, compare_engines, compare_fold_in):
                rows += [("globo", row) for row in compare(reads, config)]
        if movielens is not None:
            reads = read_movielens(movielens)
            config = scale_regularization(weights_of(reads), TrainingConfig())
            difference = check_against_implicit(reads, config)
            for compare in (compare_engines, compare_negatives):
                rows += [("ml-100k", row) for row in compare(reads, config)]
        if ebnerd is not None:
            log = read_ebnerd(ebnerd)
            window = parse_time("--from", from_text), parse_time("--to", to_text)
            for measure in (compare_decay, compare_weights):
                rows += [("ebnerd", row) for row in measure(log, *window, TrainingConfig())]
    console.print(_table(rows))
    if difference is not None:
        console.print(f"ALS against plain implicit on ml-100k: factors differ by {difference:.1e}")
    if json_path is not None:
        figures = [{"data": data} | asdict(row) for data, row in rows]
        found = {"rows": figures, "implicit_difference": difference}
        json_path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


def _table(rows: list[tuple[str, Row]]) -> Table:
    table = Table("data", "question", "variant", "nDCG@10", "95 % interval", "readers")
    before = ""
    for data, row in rows:
        if before and before != row.question:
            table.add_section()
        before = row.question
        interval = f"{row.ndcg.low:.4f} to {row.ndcg.high:.4f}"
        table.add_row(
            data, row.question, row.variant, f"{row.ndcg.mean:.4f}", interval, str(row.ndcg.n)
        )
    return table


if __name__ == "__main__":
    ablation()
