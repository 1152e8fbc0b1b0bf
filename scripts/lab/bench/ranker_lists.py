#!/usr/bin/env python3
"""What the rankers lose when fewer lists teach them: the choice behind `TrainingLimits`.

The log in DIRECTORY before --split teaches, and the lists from --split to --until are scored;
nothing later is looked at. Every list before the split is rebuilt once. Each limit then takes of
these lists what `feed retrain` would take, and its rankers order the same later lists: editors'
lists by the slate's ranker, the feed's own candidates by the pool's. Each ranker is trained with
several seeds, whose measures are averaged for each list. The last column is the difference from
learning from every list, with a 95 % interval from drawing readers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from feed.arrays import Floats, Matrix
from feed.commands.evaluate import parse_span
from feed.config import DAY_S, RankingConfig
from feed.domain import parse_time
from feed.offline.datasets import NAMES, read_dataset
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.event_log import EventLog
from feed.offline.examples import Examples
from feed.offline.ranker_training import fit_ranker
from feed.offline.ranking_metrics import auc, bootstrap_mean, ndcg_at, sort_lists
from feed.offline.training import (
    LEARN_RUN,
    TimeSpan,
    TrainingLimits,
    clicked_list_times,
    examples_from,
)
from feed.offline.walk import Walk
from feed.offline.walk_plan import HEADS, WalkPlan
from feed.training_config import TrainingConfig

LIMITS = (20_000, 10_000, 5_000, 2_500, 1_250)
MEASURES = {"slate": "AUC", "pool": "nDCG@10"}
SPANS_DAYS = (2.0, 7.0)
"""Least spans that are tried: the newest days alone, or the whole week."""


@dataclass(slots=True)
class LaterLists:
    """The lists that are scored: features f32 and clicks one list after the other, and their sizes.

    `factors` f64 multiply a ranker's scores, `wanted` counts each list's clicked articles, and
    `users` are whose the lists are.
    """

    features: list[Matrix] = field(default_factory=list)
    clicked: list[np.ndarray[tuple[int, ...], np.dtype[np.bool_]]] = field(default_factory=list)
    factors: list[Floats] = field(default_factory=list)
    wanted: list[float] = field(default_factory=list)
    users: list[int] = field(default_factory=list)


class Collector:
    """Keeps every list of the measured window, by head."""

    def __init__(self) -> None:
        self.lists = {head: LaterLists() for head in HEADS}

    def add_slate(self, entry: SlateList) -> None:
        """Keep a list if its order says anything."""
        clicked = entry.seen.clicked
        if clicked.any() and not clicked.all():
            kept = self.lists["slate"]
            kept.features.append(entry.features)
            kept.clicked.append(clicked)
            kept.factors.append(np.ones(len(clicked)))
            kept.wanted.append(float(clicked.sum()))
            kept.users.append(entry.seen.user)

    def add_pool(self, entry: PoolList) -> None:
        """Keep a list of candidates."""
        kept = self.lists["pool"]
        kept.features.append(entry.features)
        kept.clicked.append(entry.clicked)
        kept.factors.append(entry.factors)
        kept.wanted.append(float(len(entry.wanted)))
        kept.users.append(entry.seen.user)

    def use_rankers(self, rankers: Rankers) -> None:
        """No ranker is needed yet."""

    def flush(self) -> None:
        """Nothing waits."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--dataset", type=click.Choice(NAMES), default="ebnerd", show_default=True)
@click.option("--split", "split_text", required=True, metavar="TIME", help="End of what teaches.")
@click.option("--measure", default="1d", show_default=True, help="Span after it that is scored.")
@click.option("--seeds", default=3, show_default=True, help="Trainings of each ranker.")
@click.option("--pool-every", default=2, show_default=True, help="Score every n-th pool list.")
@click.option("--threads", default=1, show_default=True, help="Of each training.")
def bench_ranker_lists(
    directory: Path,
    dataset: str,
    split_text: str,
    measure: str,
    seeds: int,
    pool_every: int,
    threads: int,
) -> None:
    """Print AUC and nDCG@10 by how many lists teach the rankers."""
    log, embeddings = read_dataset(dataset, directory)
    split = parse_time("--split", split_text)
    until = split + parse_span(measure)
    config = TrainingConfig()
    teaching = Walk(log, WalkPlan.to_learn(split, learn_pool_every=1), embeddings)
    teaching.learn()
    later = _later_lists(log, embeddings, teaching, TimeSpan(split, until), pool_every)
    console = Console(width=110)
    for head in HEADS:
        table = Table("newest days", "lists at most", "lists", MEASURES[head], "less than all")
        base: Floats | None = None
        for days, most, taught in _limited(teaching, log, head, split, config):
            found = _measure(taught, later[head], head, config, seeds, threads)
            base = found if base is None else base
            users = np.array(later[head].users)
            mean, less = bootstrap_mean(found, users), bootstrap_mean(found - base, users)
            table.add_row(
                f"{days:g}",
                f"{most:,}" if most else "all",
                f"{len(taught):,}",
                f"{mean.mean:.4f}",
                f"{less.mean:+.4f} ({less.low:+.4f} to {less.high:+.4f})",
            )
        console.print(f"{head}: {len(later[head].users):,} lists scored")
        console.print(table)


def _later_lists(
    log: EventLog, embeddings: Matrix | None, teaching: Walk, window: TimeSpan, pool_every: int
) -> dict[str, LaterLists]:
    collector = Collector()
    plan = WalkPlan(
        start=window.start,
        end=window.end,
        pool_every=pool_every,
        learn_pool_every=max(1, len(log.impressions)),
        ranking=RankingConfig(),
        training=replace(TrainingConfig(), ranker_days=0.0),
    )
    Walk(log, plan, embeddings, collector).measure(teaching.fit(window.start))
    return collector.lists


def _limited(
    walk: Walk, log: EventLog, head: str, until: float, config: TrainingConfig
) -> Iterator[tuple[float, int, Examples]]:
    """Yield the span in days, the limit (0: none), and the lists that it leaves."""
    whole = TimeSpan(until - config.ranker_days * DAY_S, until)
    every_list = walk.examples(head, until)
    yield config.ranker_days, 0, every_list
    for days in SPANS_DAYS:
        for most in LIMITS:
            limits = TrainingLimits(slate_lists=most, least_span_s=days * DAY_S)
            began = examples_from(log.lists_from, clicked_list_times(log), whole, limits)
            examples = walk.examples(head, until, began)
            examples = _every(examples, max(1, -(-len(examples) // most)))
            if len(examples) < len(every_list):
                yield days, most, examples


def _every(examples: Examples, every: int) -> Examples:
    """Return every n-th run of lists, as `WalkPlan.teaches` chooses them."""
    lists = np.arange(len(examples)) // LEARN_RUN % every == 0
    rows = np.repeat(lists, examples.sizes)
    return Examples(examples.features[rows], examples.clicked[rows], examples.sizes[lists])


def _measure(
    taught: Examples,
    later: LaterLists,
    head: str,
    config: TrainingConfig,
    seeds: int,
    threads: int,
) -> Floats:
    """Return AUC (slate) or nDCG@10 (pool) of each later list, the mean of some trainings."""
    features, clicked = np.concatenate(later.features), np.concatenate(later.clicked)
    sizes = [len(entry) for entry in later.clicked]
    total = np.zeros(len(sizes))
    for seed in range(seeds):
        ranker = fit_ranker(taught, head, replace(config, seed=seed), threads)
        if ranker is None:
            return np.full(len(sizes), np.nan)
        scores = ranker.with_threads(threads).score(features)
        scores = scores * np.concatenate(later.factors)
        ranked = sort_lists(scores, clicked, sizes, later.wanted)
        total += auc(ranked) if head == "slate" else ndcg_at(ranked, 10)
    return np.asarray(total / seeds, np.float64)


if __name__ == "__main__":
    bench_ranker_lists()
