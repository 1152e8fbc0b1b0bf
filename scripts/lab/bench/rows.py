"""The lines of a table of measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.bench.load import Load


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was measured, the figures, the floor and the target."""

    what: str
    p50_ms: float | None = None
    p99_ms: float | None = None
    per_second: float | None = None
    other: str = ""
    floor: str = ""
    must: str = ""

    @classmethod
    def of(cls, what: str, load: Load, must: str, floor: str = "", each: int = 1) -> Row:
        """Return the line of one run of the load generator, `each` things to a request."""
        figures = load.summary()
        share = figures["generator_core_share"]
        other = f"generator {share:.0%}"
        if figures["other_answers"]:
            other += f", {figures['other_answers']:.0f} refused or not whole"
        rate = figures["per_second"] * each
        return cls(what, figures["p50_ms"], figures["p99_ms"], rate, other, floor, must)


def show(console: Console, rows: list[Row], remarks: list[str]) -> None:
    """Print the table and what is to be said about it."""
    table = Table(title="Speed")
    for name, justify in (
        ("what", "left"),
        ("p50 ms", "right"),
        ("p99 ms", "right"),
        ("per second", "right"),
        ("other", "left"),
        ("floor", "left"),
        ("must", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        milliseconds = ("" if n is None else f"{n:.2f}" for n in (row.p50_ms, row.p99_ms))
        rate = "" if row.per_second is None else f"{row.per_second:,.0f}"
        table.add_row(row.what, *milliseconds, rate, row.other, row.floor, row.must)
    console.print(table)
    for remark in remarks:
        console.print(remark)


def tell(figures: Mapping[str, Mapping[str, float]], path: Path | None) -> None:
    """Print the figures of each part of a benchmark, and write them as JSON if a file is named."""
    for part, values in figures.items():
        print(part)
        for name, value in values.items():
            print(f"  {name:24s} {value:12,.1f}")
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")
