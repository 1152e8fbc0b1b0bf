"""The tables of the demo: what a person sees of one reader's feed, of trending, of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

FEED_ROWS = 8
TRENDING_ROWS = 6


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


def print_comparison(
    console: Console, title: str, rows: Sequence[tuple[str, Mapping[str, str]]]
) -> None:
    """Print named rows of already formatted figures under their column names."""
    columns = list(rows[0][1]) if rows else []
    table = Table("", *columns, title=title, title_justify="left")
    for name, figures in rows:
        table.add_row(name, *(figures[column] for column in columns))
    console.print(table)
