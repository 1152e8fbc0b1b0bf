#!/usr/bin/env python
"""Compares two targets on the same lists: the chance of a click, and that of a satisfied read."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.arrays import Flags, Floats
from feed.commands.errors import one_line_errors
from feed.domain import parse_time
from feed.models.ranker import LearnedRanker, logistic
from feed.models.satisfied_ranker import SatisfiedRanker
from feed.offline.datasets import read_dataset
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.event_log import Seen
from feed.offline.methods import CLICKS_BY_AGE, clicks_by_age
from feed.offline.metric_values import READS_EXPECTED, READS_NDCG, MetricValues
from feed.offline.ranking_metrics import sort_lists
from feed.offline.reads import SatisfiedReads
from feed.offline.walk import Walk
from feed.offline.walk_plan import HEADS, WalkPlan
from feed.training_config import TrainingConfig
from lab.ablation.list_facts import facts_of

CLICKS, READS = "clicks", "satisfied reads"
METRICS = ("ndcg@10", READS_NDCG, READS_EXPECTED)
SCORED_AT_ONCE = 64
_FOLDER = click.Path(path_type=Path)


class TargetBook:
    """Orders each list by both targets and measures both orders.

    Args:
        reads: which clicks were satisfied reads.
    """

    def __init__(self, reads: SatisfiedReads) -> None:
        self.metrics = MetricValues()
        self._reads = reads
        self._rankers: Rankers = {}
        self._pools: list[PoolList] = []
        self._slates: list[SlateList] = []

    def add_pool(self, entry: PoolList) -> None:
        """Take one list of the pool protocol."""
        self._pools.append(entry)
        if len(self._pools) >= SCORED_AT_ONCE:
            self.flush()

    def add_slate(self, entry: SlateList) -> None:
        """Take one list that editors made."""
        if entry.seen.clicked.any() and not entry.seen.clicked.all():
            self._slates.append(entry)
        if len(self._slates) >= SCORED_AT_ONCE:
            self.flush()

    def use_rankers(self, rankers: Rankers) -> None:
        """Score what is added from now on with these, once they are trained."""
        self.flush()
        self._rankers = rankers

    def flush(self) -> None:
        """Score and measure everything that waits."""
        pools, slates = self._pools, self._slates
        self._pools, self._slates = [], []
        if pools:
            self._measure(
                "pool",
                pools,
                [e.found.rows for e in pools],
                np.concatenate([e.factors for e in pools]),
            )
        if slates:
            rows = [entry.seen.shown for entry in slates]
            self._measure("slate", slates, rows, np.ones(sum(map(len, rows))))

    def _measure(
        self,
        protocol: str,
        entries: Sequence[PoolList | SlateList],
        rows: list[Any],
        factors: Floats,
    ) -> None:
        lists, sizes = [entry.seen for entry in entries], [len(own) for own in rows]
        features = np.concatenate([entry.features for entry in entries])
        clicked, of_clicks = _wanted(lists, rows, [seen.clicked for seen in lists])
        read, of_reads = _wanted(lists, rows, [self._reads.satisfied(seen) for seen in lists])
        self.metrics.add_facts(protocol, facts_of(entries))
        by_clicks, by_reads = both_targets(self._rankers[protocol].result())
        orders = {
            CLICKS: logistic(by_clicks.margin(features)) * factors,
            READS: logistic(by_reads.margin(features)) * factors,
            CLICKS_BY_AGE: clicks_by_age(features),
        }
        for name, scores in orders.items():
            self.metrics.add(protocol, name, sort_lists(scores, clicked, sizes, of_clicks))
            self.metrics.add_reads(protocol, name, sort_lists(scores, read, sizes, of_reads))


def both_targets(ranker: LearnedRanker | None) -> tuple[LearnedRanker, LearnedRanker]:
    """Return what orders by clicks and what orders by satisfied reads.

    Raises:
        click.ClickException: the log taught no reads.
    """
    if not isinstance(ranker, SatisfiedRanker):
        raise click.ClickException("too few clicks with a known dwell to learn satisfied reads")
    return ranker.clicks, ranker


def _wanted(lists: list[Seen], rows: list[Any], chosen: list[Flags]) -> tuple[Flags, list[float]]:
    """Return which candidates are among the chosen of their list, and how many are chosen."""
    wanted = [seen.shown[flags] for seen, flags in zip(lists, chosen, strict=True)]
    found = [np.isin(own, of_list) for own, of_list in zip(rows, wanted, strict=True)]
    return np.concatenate(found), [float(len(of_list)) for of_list in wanted]


@click.command()
@click.argument("directory", type=_FOLDER)
@click.option("--dataset", type=click.Choice(["ebnerd", "archive"]), default="ebnerd")
@click.option("--from", "from_text", default="2023-05-24T07:00", show_default=True, metavar="TIME")
@click.option("--to", "to_text", default="2023-05-25T07:00", show_default=True, metavar="TIME")
@click.option("--every", default=2, show_default=True, help="Of so many lists one is measured.")
@click.option("--learn-every", default=2, show_default=True, help="Of so many lists one teaches.")
@click.option("--protocol", type=click.Choice(["both", *HEADS]), default="pool", show_default=True)
@click.option("--json", "json_path", type=_FOLDER, help="Write the figures.")
def main(
    directory: Path,
    dataset: str,
    from_text: str,
    to_text: str,
    every: int,
    learn_every: int,
    protocol: str,
    json_path: Path | None,
) -> None:
    """Print nDCG of clicks and of satisfied reads, and expected reads, of pages by both targets.

    Both orders are of the same lists, by the same trees for clicks, so the differences are paired;
    intervals are 95 %, over readers. The default day lies in the training week.
    """
    with one_line_errors(), Progress(transient=True) as bar:
        log, vectors = read_dataset(dataset, directory)
        training = TrainingConfig(satisfied_reads=True)
        plan = WalkPlan(
            start=parse_time("--from", from_text),
            end=parse_time("--to", to_text),
            heads=HEADS if protocol == "both" else (protocol,),
            pool_every=every,
            learn_pool_every=learn_every,
            training=training,
        )
        reads = SatisfiedReads(log, plan.start, np.inf, training.satisfied_dwell_s)
        book = TargetBook(reads)
        task = bar.add_task("walking", total=1.0)
        with ThreadPoolExecutor(1) as trainer:
            Walk(log, plan, vectors, book).evaluate(
                trainer, lambda share: bar.update(task, completed=share)
            )
            book.flush()
    found = {head: _figures(book.metrics, head) for head in plan.heads}
    table = Table("lists", "target", *METRICS)
    for head, rows in found.items():
        for name, figures in rows.items():
            table.add_row(head, name, *(_cell(figures[metric]) for metric in METRICS))
    Console().print(table)
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


def _figures(metrics: MetricValues, head: str) -> dict[str, dict[str, dict[str, float]]]:
    summary = metrics.summary(head)
    figures = {
        name: {metric: asdict(own[metric]) for metric in METRICS} for name, own in summary.items()
    }
    figures["reads less clicks"] = {
        metric: asdict(metrics.leads(head, READS, metric)[CLICKS]) for metric in METRICS
    }
    return figures


def _cell(found: dict[str, float]) -> str:
    return f"{found['mean']:.4f} ({found['low']:.4f} to {found['high']:.4f}), n {found['n']:,}"


if __name__ == "__main__":
    main()
