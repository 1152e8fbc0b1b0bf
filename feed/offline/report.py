"""What an evaluation found: as tables in the terminal, as JSON, and as one HTML page."""

from __future__ import annotations

import html
import io
import math
from dataclasses import asdict
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from feed.offline.methods import MODEL
from feed.offline.ranking_metrics import Interval
from feed.offline.scorebook import ScoreBook
from feed.offline.tally import PROTOCOLS

_TITLES = {
    "slate": "Slate: the order of what editors showed",
    "pool": "Pool: everything that could have been shown",
    "sources": "Candidate sources: share of clicked articles among 100 proposals",
}
_SLICED = {"slate": "auc", "pool": "ndcg@10"}


def build_report(book: ScoreBook, settings: dict[str, Any]) -> dict[str, Any]:
    """Return everything found as JSON-ready numbers.

    Args:
        book: a filled score book.
        settings: data set, window and parameters, repeated in the report.
    """
    tally = book.tally
    protocols = {p: _plain(tally.summary(p)) for p in _TITLES}
    slices = {
        p: {name: asdict(i) for name, i in tally.slices(p, MODEL, metric).items()}
        for p, metric in _SLICED.items()
        if protocols[p]
    }
    lists = {
        "pool_articles_mean": _mean(book.pool_sizes),
        "candidates_mean": _mean(book.candidate_counts),
    }
    return {
        "settings": settings,
        "protocols": {p: found for p, found in protocols.items() if found},
        "slices": slices,
        "spread": {name: s.summary() for name, s in book.spreads.items() if protocols["pool"]},
        "lists": lists,
        "caveats": list(CAVEATS),
    }


CAVEATS = (
    "Intervals are 95 %, from resampling readers.",
    "A click counts from the moment it happened, not from the impression it answered.",
    "A clicked article outside the pool (read before, or shown to nobody in 48 h) is missed.",
    "Readers could click only what editors showed, so every number favours orders like theirs.",
)
"""What a reader of the numbers should know."""


def print_report(report: dict[str, Any], console: Console) -> None:
    """Write the tables to a terminal."""
    for protocol, methods in report["protocols"].items():
        metrics = list(next(iter(methods.values())))
        table = Table(title=_TITLES[protocol], title_justify="left")
        table.add_column("source" if protocol == "sources" else "method")
        for metric in metrics:
            table.add_column(metric, justify="right")
        for name, found in methods.items():
            cells = [_cell(found.get(metric)) for metric in metrics]
            table.add_row(name, *cells, style="bold" if name == MODEL else None)
        console.print(table)
    for protocol, slices in report["slices"].items():
        table = Table(title=f"The model by slice: {protocol} {_SLICED[protocol]}")
        table.add_column("slice")
        table.add_column("value", justify="right")
        table.add_column("lists", justify="right")
        for name, found in slices.items():
            table.add_row(name, _cell(found), str(found["n"]))
        console.print(table)
    if report["spread"]:
        console.print(_spread_table(report["spread"]))
    for caveat in report["caveats"]:
        console.print(f"- {caveat}", style="dim")


def _spread_table(spread: dict[str, dict[str, float | None]]) -> Table:
    names = list(next(iter(spread.values())))
    table = Table(title="Beyond accuracy: the first 10 of the pool lists", title_justify="left")
    table.add_column("method")
    for name in names:
        table.add_column(name, justify="right")
    for method, found in spread.items():
        table.add_row(method, *("-" if v is None else f"{v:.3f}" for v in found.values()))
    return table


def render_html(report: dict[str, Any]) -> str:
    """Return the report as one HTML page without any outside reference."""
    parts = [_HEAD]
    settings = ", ".join(f"{k} {v}" for k, v in report["settings"].items())
    parts.append(f"<p>{html.escape(settings)}</p>")
    for protocol, methods in report["protocols"].items():
        parts.append(f"<h2>{html.escape(_TITLES[protocol])}</h2>")
        metric = "recall@100 of the pool" if protocol == "sources" else PROTOCOLS[protocol][0]
        metric = "ndcg@10" if protocol == "pool" else metric
        parts.extend([_plot(methods, metric), _html_table(methods)])
    for protocol, slices in report["slices"].items():
        metric = _SLICED[protocol]
        parts.append(f"<h2>The model by slice: {protocol} {metric}</h2>")
        wrapped = {name: {metric: found} for name, found in slices.items()}
        parts.extend([_plot(wrapped, metric), _html_table(wrapped)])
    if report["spread"]:
        parts.append("<h2>Beyond accuracy: the first 10 of the pool lists</h2>")
        parts.append(_plain_table(report["spread"]))
    notes = "".join(f"<li>{html.escape(c)}</li>" for c in report["caveats"])
    parts.append(f"<h2>Read with care</h2><ul>{notes}</ul></body></html>")
    return "\n".join(parts)


_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Evaluation</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:.85rem;display:block;overflow-x:auto}
td,th{padding:.25rem .6rem;border-bottom:1px solid #ccc;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}
tr.model{font-weight:600}</style></head><body><h1>Evaluation</h1>"""


def _plot(methods: dict[str, dict[str, Any]], metric: str) -> str:
    shown = [(name, found[metric]) for name, found in methods.items() if _usable(found, metric)]
    if not shown:
        return ""
    figure = Figure(figsize=(8, 0.9 + 0.3 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for place, (name, found) in enumerate(reversed(shown)):
        errors = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
        colour = "#b3261e" if name == MODEL else "#33658a"
        axes.errorbar(found["mean"], place, xerr=errors, fmt="o", color=colour, capsize=3)
    axes.set_yticks(range(len(shown)), [name for name, _ in reversed(shown)])
    axes.set_xlabel(metric)
    axes.grid(axis="x", alpha=0.3)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "feed"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _usable(found: dict[str, Any], metric: str) -> bool:
    return metric in found and found[metric]["n"] > 0


def _html_table(methods: dict[str, dict[str, Any]]) -> str:
    metrics = list(next(iter(methods.values())))
    head = "".join(f"<th>{html.escape(m)}</th>" for m in metrics)
    rows = []
    for name, found in methods.items():
        cells = "".join(f"<td>{html.escape(_cell(found.get(m)))}</td>" for m in metrics)
        mark = ' class="model"' if name == MODEL else ""
        rows.append(f"<tr{mark}><td>{html.escape(name)}</td>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _plain_table(rows: dict[str, dict[str, float | None]]) -> str:
    names = list(next(iter(rows.values())))
    head = "".join(f"<th>{html.escape(n)}</th>" for n in names)
    body = "".join(
        f"<tr><td>{html.escape(method)}</td>"
        + "".join(f"<td>{'-' if v is None else f'{v:.3f}'}</td>" for v in found.values())
        + "</tr>"
        for method, found in rows.items()
    )
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _cell(found: dict[str, Any] | None) -> str:
    if found is None or not found["n"]:
        return "-"
    return f"{found['mean']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def _plain(summary: dict[str, dict[str, Interval]]) -> dict[str, dict[str, Any]]:
    return {
        method: {metric: _finite(asdict(interval)) for metric, interval in found.items()}
        for method, found in summary.items()
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()
    }


def _mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None
