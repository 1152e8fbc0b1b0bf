#!/usr/bin/env python
"""Measures what calibration of the front page's sections costs in clicks, and what it changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.commands.errors import one_line_errors
from feed.config import RankingConfig
from feed.domain import parse_time
from feed.models.ranker import LinearRanker, Ranker, logistic
from feed.offline.datasets import read_dataset
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.metric_values import MetricValues
from feed.offline.ranking_metrics import ndcg_at, sort_lists
from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan
from feed.ranking.calibration import calibrate, divergence, find_mixture, section_entropy
from feed.ranking.diversity import diversify
from lab.ablation.list_facts import facts_of

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
METRICS = ("ndcg of the page", "divergence", "entropy")
_FOLDER = click.Path(path_type=Path)
_NO_PINS: Rows = np.empty(0, np.int64)


@click.command()
@click.argument("directory", type=_FOLDER)
@click.option("--dataset", type=click.Choice(["ebnerd", "mind"]), default="mind")
@click.option("--from", "from_text", default="2019-11-11", show_default=True, metavar="TIME")
@click.option("--to", "to_text", default="2019-11-13", show_default=True, metavar="TIME")
@click.option("--every", default=1, show_default=True, help="Of so many lists one is measured.")
@click.option("--page", default=10, show_default=True, help="Slots of the page.")
def main(
    directory: Path, dataset: str, from_text: str, to_text: str, every: int, page: int
) -> None:
    """Print accuracy, divergence and entropy of the first page by the weight of calibration.

    The pool of each list is ranked as a feed is, up to calibration. Candidates without a section
    are left out, and so are lists without a click on one that has a section: a log that does not
    know its sections says nothing about calibration.
    """
    with one_line_errors(), Progress(transient=True) as bar:
        log, vectors = read_dataset(dataset, directory)
        plan = WalkPlan(
            start=parse_time("--from", from_text),
            end=parse_time("--to", to_text),
            heads=("pool",),
            pool_every=every,
        )
        book = CalibrationBook(replace(plan.ranking, first_page=page))
        task = bar.add_task("walking", total=1.0)
        with ThreadPoolExecutor(1) as trainer:
            walk = Walk(log, plan, vectors, book)
            walk.evaluate(trainer, lambda share: bar.update(task, completed=share))
            book.flush()
    columns = ("weight", f"nDCG@{page}", "change", "KL of the page, nats", "entropy, nats", "lists")
    table = Table(*columns)
    for row in book.rows():
        table.add_row(*row)
    Console().print(table)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A front page that waits for the period's ranker, and what its reader wants of it.

    `rows` are the candidates that have a section, with their features, factors and clicks.
    """

    entry: PoolList
    rows: Rows
    features: Matrix
    factors: Floats
    clicked: Flags
    shares: Floats


class CalibrationBook:
    """Orders the pool with every weight of calibration, and measures every first page.

    Args:
        config: how the pool is ranked.
    """

    def __init__(self, config: RankingConfig) -> None:
        self._config = config
        self._metrics = MetricValues()
        self._rankers: Rankers = {}
        self._waiting: list[_Waiting] = []

    def add_slate(self, entry: SlateList) -> None:
        """Nothing: editors' lists are not measured here."""

    def add_pool(self, entry: PoolList) -> None:
        """Keep a front page until its ranker is known."""
        context, index = entry.found.context, entry.found.situation.index
        pool, rows = context.view.pool, entry.found.rows
        coded = pool.section[rows] >= 0
        if context.request.page_row >= 0 or not entry.clicked[coded].any():
            return
        self._waiting.append(
            _Waiting(
                entry=entry,
                rows=rows[coded],
                features=entry.features[coded],
                factors=entry.factors[coded],
                clicked=entry.clicked[coded],
                shares=find_mixture(pool, index, context.profile).shares,
            )
        )

    def use_rankers(self, rankers: Rankers) -> None:
        """Score what is added from now on with these, once they are trained."""
        self.flush()
        self._rankers = rankers

    def flush(self) -> None:
        """Order and measure everything that waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        trained = self._rankers["pool"].result() if "pool" in self._rankers else None
        ranker: Ranker = LinearRanker() if trained is None else trained
        entries = [one.entry for one in waiting]
        self._metrics.add_facts("pool", facts_of(entries))
        clicked = np.concatenate([one.clicked for one in waiting])
        sizes = [len(one.clicked) for one in waiting]
        found = [self._order(one, ranker) for one in waiting]
        for at, weight in enumerate(WEIGHTS):
            places = np.concatenate([orders[at][0] for orders in found])
            name = str(weight)
            gains = ndcg_at(sort_lists(-places, clicked, sizes), self._config.first_page)
            figures = [np.array([orders[at][column] for orders in found]) for column in (1, 2)]
            for metric, values in zip(METRICS, (gains, *figures), strict=True):
                self._metrics.add_values("pool", name, metric, values)

    def _order(self, one: _Waiting, ranker: Ranker) -> list[tuple[Floats, float, float]]:
        """Return for each weight the place of each candidate, and its page's two figures."""
        found = one.entry.found
        view, rows = found.context.view, one.rows
        scores = logistic(ranker.margin(one.features)) * one.factors
        sections = view.pool.section[rows]
        order = diversify(
            scores, sections, view.pool.source[rows], view.content[rows], self._config, len(rows)
        )
        pages = []
        for weight in WEIGHTS:
            config = replace(self._config, calibration=weight)
            calibrated = calibrate(
                found.context, found.situation.index, rows, scores, order, _NO_PINS, config
            ).order.order
            places = np.full(len(rows), len(rows), np.float64)
            places[calibrated] = np.arange(len(calibrated))
            page = sections[calibrated[: config.first_page]]
            counts = np.bincount(page[page >= 0]).astype(np.float64)
            pages.append((places, divergence(page, one.shares), section_entropy(counts)))
        return pages

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of the table, a row for each weight."""
        summary = self._metrics.summary("pool")
        leads = self._metrics.leads("pool", str(WEIGHTS[0]), METRICS[0])
        found: list[tuple[str, ...]] = []
        for weight in map(str, WEIGHTS):
            accuracy, kl, entropy = (summary[weight][metric] for metric in METRICS)
            change = ""
            if weight in leads:  # by how much no calibration leads
                lead = leads[weight]
                change = f"{-lead.mean:+.4f} ({-lead.high:+.4f} to {-lead.low:+.4f})"
            figures = (f"{accuracy.mean:.4f}", change, f"{kl.mean:.3f}", f"{entropy.mean:.3f}")
            found.append((weight, *figures, f"{accuracy.n:,}"))
        return found


if __name__ == "__main__":
    main()
