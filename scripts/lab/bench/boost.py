#!/usr/bin/env python3
"""What the trending label and the trending boost are worth on real clicks, by replay of EB-NeRD.

The label: of the articles labelled at a full hour, how many are among the 5 % most read of the
pool in the next hour, beside as many articles taken by their clicks of the last 6 hours. The boost:
pool nDCG@10, coverage and the share of the first ten that trends, by strength and half-life, with
the learned ranker and with the day-one weights. The window is the training week's: what is chosen
here is reported on another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import orjson
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.arrays import Floats, Rows
from feed.commands.errors import one_line_errors
from feed.config import HOUR_S, RankingConfig
from feed.documents.charts import Axis, LineChart, Point, Series
from feed.documents.document import Document, Figure, Section
from feed.documents.views import render_html
from feed.domain import parse_time
from feed.features.trending import TrendingDetector
from feed.offline.ebnerd import read_ebnerd
from feed.offline.event_log import EventLog
from feed.offline.replay import Replay, build_log_pool
from feed.offline.walk_plan import WalkPlan
from lab.bench.boost_replay import HALF_LIVES_MINUTES, RANKERS, BoostPoint, choose, sweep_boost

WARM_UP_S = 3 * 24 * HOUR_S
STEP_S = 600.0
SHARE = 20
"""An article among the first 1 / SHARE of the pool by readers of the next hour was a hit."""

MEASURES: dict[str, Callable[[BoostPoint], float]] = {
    "pool nDCG@10": lambda point: point.ndcg.mean,
    "articles in any first ten": lambda point: point.articles,
    "share of the first ten that rises": lambda point: point.rising,
    "share of the first ten with the label": lambda point: point.labelled,
}


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--from", "from_text", default="2023-05-23T07:00", show_default=True, metavar="TIME")
@click.option("--to", "to_text", default="2023-05-25T07:00", show_default=True, metavar="TIME")
@click.option("--every", default=2, show_default=True, help="Measure every n-th list.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
@click.option("--html", "html_path", type=click.Path(path_type=Path), help="Write the curves.")
def bench_boost(
    directory: Path,
    from_text: str,
    to_text: str,
    every: int,
    json_path: Path | None,
    html_path: Path | None,
) -> None:
    """Measure the label and the boost on the EB-NeRD log in DIRECTORY (train and validation)."""
    console, default = Console(), RankingConfig()
    with one_line_errors(), Progress(console=console, transient=True) as bar:
        task = bar.add_task("label", total=1.0)
        log = read_ebnerd(directory)
        end = parse_time("--to", to_text)
        label = measure_label(log)
        bar.update(task, description="boost")
        plan = WalkPlan(start=parse_time("--from", from_text), end=end, pool_every=every)
        points = sweep_boost(log, plan, progress=lambda share: bar.update(task, completed=share))
    console.print(
        f"Label: {label['labelled_hours']} labelled articles at full hours of {label['days']:.1f} "
        f"days, {label['new_labels_per_day']:.1f} new a day. Among the 5 % most read of the next "
        f"hour: {label['precision']:.0%}; as many by clicks of the last 6 h: "
        f"{label['precision_of_last_6h']:.0%}; by clicks with a half-life of 6 h: "
        f"{label['precision_of_half_life_6h']:.0%}."
    )
    console.print(_table(points))
    for ranker in RANKERS:
        best = choose(points, ranker)
        console.print(
            f"Best for {ranker}: boost {best.boost:g}, half-life {best.half_life_minutes:g} min "
            f"({best.gain.mean:+.4f}, {best.gain.low:+.4f} to {best.gain.high:+.4f}, against none; "
            f"the default is {default.trending_boost:g} at "
            f"{default.trending_half_life_minutes:g} min)."
        )
    if json_path is not None:
        figures = {"label": label, "boost": [asdict(point) for point in points]}
        json_path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    if html_path is not None:
        html_path.write_text(render_html(boost_document(points)), encoding="utf-8")


def measure_label(log: EventLog) -> dict[str, Any]:
    """Return the precision of the label over the whole log, and that of two rules beside it.

    Nothing is chosen by it, so it looks at every day after the first three. Both rivals name as
    many articles as the label does at the same hour.
    """
    pool, replay, detector = build_log_pool(log), Replay(log), TrendingDetector(RankingConfig())
    clicks, at = _first_clicks(log)
    start, end = float(log.impressions.at[0]) + WARM_UP_S, float(log.impressions.at[-1]) - HOUR_S
    replay.start(start)
    hits = {"precision": 0, "precision_of_last_6h": 0, "precision_of_half_life_6h": 0}
    labels = fresh = 0
    on: set[int] = set()
    for step, now in enumerate(np.arange(start, end, STEP_S).tolist()):
        replay.advance(now)
        live = np.zeros(pool.size, np.bool_)
        live[replay.pool_rows()] = True
        state = detector.update(replay.signals.counters, replace(pool, live=live), now)
        rows = state.ranked_rows[[entry.labelled for entry in state.entries]]
        fresh += len(set(rows.tolist()) - on)
        on = set(rows.tolist())
        if step % round(HOUR_S / STEP_S) or not rows.size:
            continue
        read = _count(clicks, at, now, now + HOUR_S, pool.size)
        there = np.flatnonzero(live)
        bar = max(np.sort(read[there])[-max(len(there) // SHARE, 1)], 1)
        last = _count(clicks, at, now - 6 * HOUR_S, now, pool.size)[there]
        decayed = replay.signals.counters.clicks(there, now)[:, 2]
        named = (rows, _most(there, last, len(rows)), _most(there, decayed, len(rows)))
        labels += len(rows)
        for name, chosen in zip(hits, named, strict=True):
            hits[name] += int((read[chosen] >= bar).sum())
    days = (end - start) / (24 * HOUR_S)
    shares = {name: count / max(labels, 1) for name, count in hits.items()}
    return {"days": days, "labelled_hours": labels, "new_labels_per_day": fresh / days} | shares


def boost_document(points: Sequence[BoostPoint]) -> Document:
    """Return the curve of each measure, one line for each ranker and half-life."""
    curves = list(product(RANKERS, HALF_LIVES_MINUTES))
    legend = [(f"series-{n}", 1.0, f"{name}, {m:g} min") for n, (name, m) in enumerate(curves)]
    boosts = [point.boost for point in points]
    x = Axis(min(boosts), max(boosts), "{:g}".format, title="trending_boost")
    sections = []
    for place, (title, value) in enumerate(MEASURES.items()):
        values = [value(point) for point in points]
        margin = 0.05 * (max(values) - min(values)) or 0.01
        y = Axis(min(values) - margin, max(values) + margin, "{:.4g}".format, most=5)
        series = [
            Series(
                tuple(
                    Point(point.boost, value(point))
                    for point in points
                    if (point.ranker, point.half_life_minutes) == curve
                ),
                colour,
                "circle",
                joined=True,
            )
            for curve, (colour, _, _) in zip(curves, legend, strict=True)
        ]
        figure = Figure(LineChart(x, y, tuple(series), 220), title, legend=legend)
        sections.append(Section(title, title, f"measure-{place}", [figure]))
    return Document("Trending boost by strength and half-life", sections)


def _table(points: Sequence[BoostPoint]) -> Table:
    names = ("ranker", "min", "boost", "nDCG@10", "gain", "from", "to", "articles", "rising")
    table = Table(*names, "label", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for p in points:
        gain = (f"{value:+.4f}" for value in (p.gain.mean, p.gain.low, p.gain.high))
        where = (p.ranker, f"{p.half_life_minutes:g}", f"{p.boost:g}", f"{p.ndcg.mean:.4f}")
        shares = (f"{p.rising:.1%}", f"{p.labelled:.1%}")
        table.add_row(*where, *gain, str(p.articles), *shares)
    return table


def _first_clicks(log: EventLog) -> tuple[Rows, Floats]:
    counted = log.events.first & log.events.counted
    columns = log.events.columns
    return columns.articles[counted], columns.occurred_at[counted]


def _count(clicks: Rows, at: Floats, start: float, end: float, size: int) -> Rows:
    low, high = np.searchsorted(at, [start, end])
    return np.bincount(clicks[low:high], minlength=size)


def _most(rows: Rows, amounts: npt.NDArray[Any], count: int) -> Rows:
    most: Rows = rows[np.argsort(-amounts, kind="stable")[:count]]
    return most


if __name__ == "__main__":
    bench_boost()
