"""The results of an evaluation, as JSON and as a document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from feed.documents.charts import Axis, Bar, IntervalChart
from feed.documents.document import (
    Cell,
    DataTable,
    Document,
    Figure,
    Heading,
    Listing,
    Section,
)
from feed.offline.methods import MODEL, SERVED
from feed.offline.metric_values import EARLIER, PERSISTENCE, READS_EXPECTED, READS_NDCG
from feed.offline.ranking_metrics import MeanEstimate
from feed.offline.scorebook import ScoreBook

_TITLES = {
    "slate": "Slate: the order of what editors showed",
    "pool": "Pool: everything that could have been shown",
    EARLIER: "Pool, half an hour earlier: by what was known then, of the reader too",
    "sources": "Candidate sources: share of clicked articles among 100 proposals",
}
_CHARTED = {
    "slate": "auc",
    "pool": "ndcg@10",
    EARLIER: "ndcg@10",
    "sources": "recall@100 of the pool",
}
"""The metric of each protocol that is drawn."""

_SLICED = {"slate": "auc", "pool": "ndcg@10"}
_LEADER = {"slate": MODEL, "pool": SERVED}
"""What is compared with every other method, list by list."""
_OF_READS = (READS_NDCG, READS_EXPECTED)
_MOMENTS = ("lead", "lead half an hour earlier", "freshness")
"""Leads on the same lists, and their difference."""


def build_report(book: ScoreBook, settings: dict[str, Any]) -> dict[str, Any]:
    """Return everything found as JSON-ready numbers.

    Args:
        book: a filled score book.
        settings: data set, window and parameters, repeated in the report.
    """
    metrics = book.metrics
    protocols = {p: _plain(metrics.summary(p)) for p in _TITLES}
    slices = {
        p: {name: asdict(i) for name, i in metrics.slices(p, MODEL, metric).items()}
        for p, metric in _SLICED.items()
        if protocols[p]
    }
    leads = {
        p: {name: _finite(asdict(i)) for name, i in metrics.leads(p, _LEADER[p], metric).items()}
        for p, metric in _SLICED.items()
        if protocols[p]
    }
    freshness = {
        name: {of: _finite(asdict(i)) for of, i in zip(_MOMENTS, found, strict=True)}
        for name, found in metrics.leads_by_freshness(SERVED, _SLICED["pool"]).items()
    }
    lists = {
        "pool_articles_mean": _mean(book.pool_sizes),
        "candidates_mean": _mean(book.candidate_counts),
    }
    return {
        "settings": settings,
        "protocols": {p: found for p, found in protocols.items() if found},
        "leads": leads,
        "freshness": freshness,
        "slices": slices,
        "spread": {name: s.summary() for name, s in book.spreads.items() if protocols["pool"]},
        "lists": lists,
        "caveats": [*CAVEATS, *(READS_CAVEATS if _has_reads(protocols) else ())],
    }


CAVEATS = (
    "Intervals are 95 %, from resampling readers.",
    "A click counts from the moment it happened, not from the impression it answered.",
    "A clicked article outside the pool (read before, or shown to nobody in 48 h) is missed.",
    "Readers could click only what editors showed, so every number favours orders like theirs.",
)
"""What a reader of the numbers should know."""
READS_CAVEATS = (
    "Of reads only satisfied ones count: the reader stayed for satisfied_dwell_s seconds.",
    f"Expected reads: a reader goes on from place to place with a chance of {PERSISTENCE:g}.",
    "A log knows reads only of what was shown.",
)
"""The same where satisfied reads were measured."""


def _has_reads(protocols: dict[str, dict[str, dict[str, Any]]]) -> bool:
    return any(READS_NDCG in found for methods in protocols.values() for found in methods.values())


def evaluation_document(report: dict[str, Any]) -> Document:
    """Return what was found as sections of figures and tables."""
    sections = []
    for protocol, methods in report["protocols"].items():
        metric = _CHARTED[protocol]
        first = "source" if protocol == "sources" else "method"
        names = [m for m in next(iter(methods.values())) if m not in _OF_READS]
        blocks = (*_figure(methods, metric), _metrics_table(first, methods, names))
        sections.append(Section(_TITLES[protocol], protocol.capitalize(), protocol, blocks))
        read = {name: found for name, found in methods.items() if READS_NDCG in found}
        if read:
            heading = f"What readers stayed with: {protocol}"
            table = _metrics_table(first, read, _OF_READS)
            sections.append(Section(heading, "Reads", f"{protocol}-reads", [table]))
    for protocol, leads in report["leads"].items():
        metric, leader = _SLICED[protocol], _LEADER[protocol]
        rows = [(name, _cell(found), str(found["n"])) for name, found in leads.items()]
        table = DataTable(("method", f"lead in {metric}", "lists"), rows)
        heading = f"How far the {leader} is ahead, list by list: {protocol}"
        sections.append(Section(heading, "Lead", f"{protocol}-lead", [table]))
    if report["freshness"]:
        rows = [
            (name, *(_cell(found[of]) for of in _MOMENTS), str(found["lead"]["n"]))
            for name, found in report["freshness"].items()
        ]
        table = DataTable(("method", *_MOMENTS, "lists"), rows)
        heading = f"What of the lead in {_SLICED['pool']} is freshness: {_LEADER['pool']}"
        sections.append(Section(heading, "Freshness", "freshness", [table]))
    for protocol, slices in report["slices"].items():
        metric, title = _SLICED[protocol], f"{protocol.capitalize()} by slice"
        wrapped = {name: {metric: found} for name, found in slices.items()}
        rows = [(name, _cell(found), str(found["n"])) for name, found in slices.items()]
        table = DataTable(("slice", metric, "lists"), rows)
        heading = f"The model by slice: {protocol} {metric}"
        blocks = (*_figure(wrapped, metric), table)
        sections.append(Section(heading, title, f"{protocol}-slices", blocks))
    if report["spread"]:
        names = next(iter(report["spread"].values()))
        rows = [
            (method, *("-" if v is None else f"{v:.3f}" for v in found.values()))
            for method, found in report["spread"].items()
        ]
        title = "Beyond accuracy: the first 10 of the pool lists"
        table = DataTable(("method", *names), rows)
        sections.append(Section(title, "Beyond accuracy", "spread", [table]))
    caveats = [Listing(report["caveats"])]
    sections.append(Section("Read with care", "Read with care", "caveats", caveats))
    lead = ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    return Document("Evaluation", sections, lead=lead)


def _metrics_table(
    first: str, methods: dict[str, dict[str, Any]], metrics: Sequence[str]
) -> DataTable:
    rows = [
        [Cell(name, strong=name == MODEL), *(_cell(found.get(m)) for m in metrics)]
        for name, found in methods.items()
    ]
    return DataTable((first, *metrics), rows)


def _figure(methods: dict[str, dict[str, Any]], metric: str) -> tuple[Heading, Figure] | tuple[()]:
    measured = [(name, found[metric]) for name, found in methods.items() if metric in found]
    bars = tuple(_bar(name, found) for name, found in measured if found["n"])
    bounds = [v for bar in bars for v in (bar.value, bar.low, bar.high) if v is not None]
    if not bounds:
        return ()
    margin = 0.05 * (max(bounds) - min(bounds)) or 0.01
    axis = Axis(min(bounds) - margin, max(bounds) + margin, "{:.4g}".format, most=5)
    return Heading(metric), Figure(IntervalChart(bars, axis), f"{metric} with 95 % intervals")


def _bar(name: str, found: dict[str, Any]) -> Bar:
    colour, cell = "accent" if name == MODEL else "series-1", _cell(found)
    mean, low, high = (found[key] for key in ("mean", "low", "high"))
    shown = str(cell.text), f"({cell.notes[0]})"
    return Bar(name, mean, low, high, *shown, colour, strong=name == MODEL)


def _cell(found: dict[str, Any] | None) -> Cell:
    if found is None or not found["n"]:
        return Cell("-")
    return Cell(f"{found['mean']:.4f}", (f"{found['low']:.4f} to {found['high']:.4f}",))


def _plain(summary: dict[str, dict[str, MeanEstimate]]) -> dict[str, dict[str, Any]]:
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
