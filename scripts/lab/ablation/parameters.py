#!/usr/bin/env python
"""Compares how the rankers are taught: LightGBM's parameters, more lists, more negatives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.arrays import Floats
from feed.commands.errors import one_line_errors
from feed.domain import parse_time
from feed.offline.datasets import read_dataset
from feed.offline.examples import Examples, sample_negatives
from feed.offline.ranker_training import split_gains
from feed.offline.ranking_metrics import bootstrap_mean
from feed.offline.walk import Walk
from feed.offline.walk_plan import HEADS, WalkPlan
from lab.ablation.kept_lists import MEASURES, KeptLists, ListBook, boost

MOST_NEGATIVES = 100
"""Candidates of a list, at most, that were not clicked and that a setting may choose from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to teach a ranker.

    `changes` are LightGBM's parameters that differ from feed's; every n-th list teaches, with
    `negatives` articles that were not clicked, or with all of them if that is 0.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    every: int = 1
    negatives: int = 0


def _of_pool(name: str, every: int, negatives: int, **changes: Any) -> Setting:
    gains: dict[str, Any] = {"feature_contri": split_gains("pool")}
    return Setting(name=name, changes=gains | changes, every=every, negatives=negatives)


def _of_slate(name: str, every: int = 1, **changes: Any) -> Setting:
    return Setting(name=name, changes=changes, every=every)


TRIED: dict[str, tuple[Setting, ...]] = {
    "slate": (
        _of_slate("150 trees, rate .06", num_iterations=150, learning_rate=0.06),
        _of_slate("300 trees, rate .04", num_iterations=300, learning_rate=0.04),
        _of_slate(
            "300 trees, rate .04, without on_page",
            num_iterations=300,
            learning_rate=0.04,
            feature_contri=split_gains("pool"),
        ),
        _of_slate("500 trees, rate .03", num_iterations=500, learning_rate=0.03),
        _of_slate("800 trees, rate .02", num_iterations=800, learning_rate=0.02),
        _of_slate("63 leaves, 300 trees, rate .03", num_leaves=63, learning_rate=0.03),
        _of_slate("300 trees, rate .04, every 2nd list", 2, num_iterations=300, learning_rate=0.04),
    ),
    "pool": (
        _of_pool("every 2nd list, 20 others", 2, 20),
        _of_pool("every 2nd list, 60 others", 2, 60),
        _of_pool("the same, with on_page", 2, 60, feature_contri=split_gains("slate")),
        _of_pool("the same, lambdarank", 2, 60, objective="lambdarank"),
        _of_pool("every list, 20 others", 1, 20),
        _of_pool("every list, 60 others", 1, 60),
    ),
}
"""What is tried for each head. The first setting is what the others are compared with."""


def choose_teaching(examples: Examples, setting: Setting, seed: int = 0) -> Examples:
    """Return the lists of a setting, each with its clicks and as many others as it wants."""
    rng = np.random.default_rng(seed)
    kept, sizes = [], []
    starts = np.cumsum(examples.sizes) - examples.sizes
    for start, size in list(zip(starts.tolist(), examples.sizes.tolist(), strict=True))[
        :: setting.every
    ]:
        clicked = examples.clicked[start : start + size]
        rows = sample_negatives(clicked, setting.negatives or size, rng)
        kept.append(start + rows)
        sizes.append(len(rows))
    rows = np.concatenate(kept)
    return Examples(examples.features[rows], examples.clicked[rows], np.array(sizes))


def measure(
    lists: KeptLists, head: str, examples: Examples, setting: Setting, seeds: int
) -> Floats:
    """Return the slate AUC or pool nDCG@10 of each list, f64 [seeds, n]."""
    taught, features = choose_teaching(examples, setting), np.concatenate(lists.features)
    found = []
    for seed in range(seeds):
        booster = boost(taught.features, taught, head, seed, setting.changes)
        margin = booster.predict(features, raw_score=True, num_threads=1)
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
@click.option("--seeds", default=2, show_default=True, help="Rankers trained for each row.")
@click.option("--head", "heads", type=click.Choice(HEADS), multiple=True, default=HEADS)
def main(
    directory: Path,
    dataset: str,
    from_text: str,
    to_text: str,
    every: int,
    seeds: int,
    heads: tuple[str, ...],
) -> None:
    """Print slate AUC and pool nDCG@10 of rankers that are taught in different ways.

    One model is fitted on what came before each day; the rankers learn from all lists before
    --from. The default days lie in EB-NeRD's training week. The pool's lists are ordered as they
    are served: by the ranker's scores times the factors of trends and the like.
    """
    with one_line_errors(), Progress(transient=True) as bar:
        log, vectors = read_dataset(dataset, directory)
        start, end = parse_time("--from", from_text), parse_time("--to", to_text)
        plan = WalkPlan(
            start=start,
            end=end,
            pool_every=every,
            learn_pool_every=1,
            negatives=MOST_NEGATIVES,
            heads=heads,
        )
        book = ListBook()
        walk = Walk(log, plan, vectors, book)
        task = bar.add_task("walking", total=1.0)
        with ThreadPoolExecutor(1) as trainer:
            walk.evaluate(trainer, lambda share: bar.update(task, completed=share))
        bar.update(task, description="training", completed=0.0)
        for head in heads:
            lists, examples = book.lists[head], walk.examples(head, start)
            users = np.array(lists.users)
            table = Table(
                f"{head}, {len(users):,} lists", "lists that teach", MEASURES[head], "gain"
            )
            base: Floats | None = None
            for setting in TRIED[head]:
                found = measure(lists, head, examples, setting, seeds)
                base = found if base is None else base
                gain = bootstrap_mean((found - base).mean(axis=0), users)
                shown = f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
                taught = -(-len(examples) // setting.every)
                table.add_row(setting.name, f"{taught:,}", f"{found.mean():.4f}", shown)
            Console().print(table)


if __name__ == "__main__":
    main()
