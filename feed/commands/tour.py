"""The tables of the demo: one reader's feed, the trending articles, and a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

FEED_ROWS = 8
TRENDING_ROWS = 6
COMPARED = (("slate", "auc"), ("slate", "ndcg@10"), ("pool", "ndcg@10"), ("pool", "recall@50"))


def print_feed(console: Console, title: str, answer: Mapping[str, Any]) -> None:
    """Print the top of a feed answer: what stands where, and why."""
    table = Table("", "article", "section", "why", title=title, title_justify="left")
    for item in answer["items"][:FEED_ROWS]:
        article = item["article"]
        reasons = "; ".join(reason["text"] for reason in item["reasons"])
        table.add_row(str(item["position"] + 1), article["title"], article["section"], reasons)
    console.print(table)
    model = answer["model_version"] or "none"
    console.print(f"{answer['notice']} [dim]mode {answer['mode_served']}, model {model}[/dim]\n")


def print_trending(console: Console, answer: Mapping[str, Any]) -> None:
    """Print what is trending and the numbers behind it."""
    minutes = answer["window_minutes"]
    table = Table(
        "article",
        "readers",
        "expected",
        "lift",
        "p",
        "label",
        title=f"Trending: distinct readers in about the last {minutes} minutes",
        title_justify="left",
    )
    for entry in answer["items"][:TRENDING_ROWS]:
        table.add_row(
            entry["article"]["title"],
            f"{entry['readers']:.0f}",
            f"{entry['expected']:.1f}",
            f"{entry['lift']:.1f}",
            f"{entry['p_value']:.1e}",
            "trending" if entry["labelled"] else "",
        )
    console.print(table, "" if answer["items"] else "Nothing is read more than usual.\n")


def print_comparison(console: Console, report: Mapping[str, Any]) -> None:
    """Print the chosen figures of an evaluation, every method beside the model."""
    table = Table("", title="Mean and 95 % interval over readers", title_justify="left")
    chosen = [(p, m) for p, m in COMPARED if p in report["protocols"]]
    for protocol, metric in chosen:
        table.add_column(f"{protocol} {metric}")
    methods = dict.fromkeys(name for p, _ in chosen for name in report["protocols"][p])
    for name in methods:
        cells = [_figure(report["protocols"][p].get(name, {}).get(m)) for p, m in chosen]
        table.add_row(name, *cells, style="bold" if name == "model" else None)
    console.print(table)


def _figure(interval: Mapping[str, float] | None) -> str:
    if not interval or interval["mean"] is None:
        return ""
    return f"{interval['mean']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"
