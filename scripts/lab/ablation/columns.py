#!/usr/bin/env python
"""Measures whether the rankers gain from further columns, made of those that they have."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.arrays import Floats, Integers, Matrix
from feed.commands.errors import one_line_errors
from feed.domain import parse_time
from feed.models.schema import FEATURES, feature_index
from feed.offline.datasets import read_dataset
from feed.offline.examples import Examples
from feed.offline.methods import clicks_by_age
from feed.offline.ranker_training import split_gains
from feed.offline.ranking_metrics import bootstrap_mean
from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan
from lab.ablation.kept_lists import KeptLists, ListBook, boost

NOTHING = "nothing"
GAPS = (
    *("ctr_2h", "ctr_24h", "page_ctr_24h", "clicks_30m", "age_seen", "last_shown", "shown_count"),
    *("covisit", "covisit_last", "covisit_page", "page_list", "neighbours"),
)
"""Features that are compared with the best of the list; the rankers have two such gaps already."""


def clicks_over_age(features: Matrix, sizes: Integers) -> Matrix:
    """Return the simple rival's score on a scale of logarithms, f32 [n, 1]."""
    del sizes
    return np.log1p(10.0 * clicks_by_age(features)).astype(np.float32)[:, None]


def gaps_in_list(features: Matrix, sizes: Integers) -> Matrix:
    """Return the features `GAPS` less the highest value of their list, f32 [n, len(GAPS)]."""
    columns = features[:, [feature_index()[name] for name in GAPS]]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    best = np.fmax.reduceat(columns, starts, axis=0)
    gaps: Matrix = columns - np.repeat(best, sizes, axis=0)
    return gaps


MakeColumns = Callable[[Matrix, Integers], Matrix]
TRIED: dict[str, dict[str, MakeColumns]] = {
    "slate": {"clicks over age": clicks_over_age, "gaps in the list": gaps_in_list},
    "pool": {"clicks over age": clicks_over_age},
}
"""Columns tried for each head. Of a list of the pool only a sample teaches, so none is made there
of a whole list."""


def measure(
    lists: KeptLists, head: str, examples: Examples, columns: MakeColumns | None, seeds: int
) -> Floats:
    """Return the slate AUC or pool nDCG@10 of each list, f64 [seeds, n]."""
    features, taught = np.concatenate(lists.features), examples.features
    if columns is not None:
        features = np.hstack([features, columns(features, lists.sizes)])
        taught = np.hstack([taught, columns(taught, examples.sizes)])
    further = taught.shape[1] - len(FEATURES)
    changes = {"feature_contri": split_gains(head) + [1.0] * further}
    found = []
    for seed in range(seeds):
        margin = boost(taught, examples, head, seed, changes).predict(features, raw_score=True)
        found.append(lists.measure(np.asarray(margin, np.float64), head))
    return np.array(found)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--dataset", type=click.Choice(["ebnerd", "mind"]), default="ebnerd")
@click.option("--from", "from_text", default="2023-05-23T07:00", show_default=True, metavar="TIME")
@click.option("--to", "to_text", default="2023-05-25T07:00", show_default=True, metavar="TIME")
@click.option(
    "--every", default=2, show_default=True, help="Of so many pool lists one is measured."
)
@click.option("--seeds", default=3, show_default=True, help="Rankers trained for each row.")
def main(
    directory: Path, dataset: str, from_text: str, to_text: str, every: int, seeds: int
) -> None:
    """Print slate AUC and pool nDCG@10 without and with further columns, and the gain.

    One model is fitted on what came before each day; the rankers learn from all lists before
    --from. The default days lie in EB-NeRD's training week.
    """
    with one_line_errors(), Progress(transient=True) as bar:
        log, vectors = read_dataset(dataset, directory)
        start, end = parse_time("--from", from_text), parse_time("--to", to_text)
        book = ListBook()
        walk = Walk(log, WalkPlan(start=start, end=end, pool_every=every), vectors, book)
        task = bar.add_task("walking", total=1.0)
        with ThreadPoolExecutor(1) as trainer:
            walk.evaluate(trainer, lambda share: bar.update(task, completed=share))
        bar.update(task, description="training", completed=0.0)
        table = Table("head", "columns more", "mean", "gain", "lists")
        for head, tried in TRIED.items():
            lists, examples = book.lists[head], walk.examples(head, start)
            users, base = np.array(lists.users), measure(lists, head, examples, None, seeds)
            table.add_row(head, NOTHING, f"{base.mean():.4f}", "", f"{len(users):,}")
            for name, columns in tried.items():
                found = measure(lists, head, examples, columns, seeds)
                gain = bootstrap_mean((found - base).mean(axis=0), users)
                shown = f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
                table.add_row(head, name, f"{found.mean():.4f}", shown, f"{gain.n:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
