"""What experiments measure: metrics as declared in TOML or JSON, and those that feed brings."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args

from feed.custom_data import EVENT_NAME
from feed.domain import InvalidInputError
from feed.experiments.design.measures import (
    NAME_RULE,
    How,
    Measure,
    measure_to_json,
    read_measure,
)
from feed.experiments.design.parsing import Reader
from feed.experiments.statistics.noninferiority import Better

Form = Literal["count", "number", "share", "seconds", "milliseconds"]
Per = Literal["reader", "day"]

WINSORISED_AT = 0.99
"""The quantile of `winsorise = true`."""


class MetricKind(StrEnum):
    """How a metric's number comes about."""

    MEAN = "mean"
    RATIO = "ratio"
    SHARE = "share"
    QUANTILE = "quantile"
    DISTINCT = "distinct"

    @property
    def meaning(self) -> str:
        """What it is, in a sentence fragment."""
        return _MEANINGS[self]


_MEANINGS = {
    MetricKind.MEAN: "a number or a sum per reader, or per active day",
    MetricKind.RATIO: "one quantity over another, as a ratio of means per reader",
    MetricKind.SHARE: (
        "the readers who did something at least once, or the active days on which they did; with a"
        " numerator and a denominator, a part of its whole"
    ),
    MetricKind.QUANTILE: "a quantile of single values, over groups of readers",
    MetricKind.DISTINCT: "how many different ones there are, over groups of readers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number about readers that a variant may move.

    Attributes:
        name: How definitions name it.
        title: How reports name it.
        kind: How its number comes about.
        better: Which way is better; of a metric that is ``neither``, reports say no more than how
            it moved.
        measure: What is counted, summed or taken; the numerator if there are two.
        over: The denominator of a ratio, or the whole of a share.
        per: What a mean, or a share without ``over``, is taken over: readers or active days.
        quantile: Which one, 0 to 1, of a ``quantile``.
        winsorise: Quantile of the positive values, all variants together, to which the totals of
            readers above it are pulled down; None: they count in full.
        form: How values are written.
        note: What it says, in a sentence.
    """

    name: str
    title: str
    kind: MetricKind
    better: Better
    measure: Measure
    over: Measure | None = None
    per: Per = "reader"
    quantile: float = 0.0
    winsorise: float | None = None
    form: Form = "number"
    note: str = ""

    @property
    def grouped(self) -> bool:
        """Whether groups of readers have it, not single ones; intervals come from the groups."""
        return self.kind in {MetricKind.QUANTILE, MetricKind.DISTINCT}

    @property
    def once(self) -> bool:
        """Whether a reader counts on one day at most, the first one on which something happened."""
        return self.kind is MetricKind.SHARE and self.over is None and self.per == "reader"

    @property
    def numerator(self) -> str:
        """The column of a reader's day that is added up."""
        if self.kind is MetricKind.SHARE and self.over is None:
            return f"{'first' if self.once else 'days_with'}_{self.measure.column}"
        return self.measure.column

    @property
    def occurred(self) -> str:
        """Whether something happened on a day, for the first time if readers count, as SQL.

        It is 0 or 1, and adds up over the days of a reader like any other column. Empty for a
        metric that does not ask whether something happened at least once.
        """
        if self.numerator == self.measure.column:
            return ""
        there = f"{self.measure.column} > 0"
        once = f" AND NOT coalesce(bool_or({there}) OVER before, false)"
        active = " AND active_days > 0"  # a custom event alone does not make a day active
        return f"CAST({there}{once if self.per == 'reader' else active} AS INTEGER)"

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What is added up over the days of a reader; nothing if only groups have the metric."""
        if self.grouped:
            return ()
        return (self.measure,) if self.over is None else (self.measure, self.over)

    @property
    def denominator(self) -> str:
        """The column it is divided by; empty: a mean per reader."""
        if self.over is not None:
            return self.over.column
        return "active_days" if self.per == "day" else ""

    @property
    def sign(self) -> float:
        """1.0, or -1.0 where lower is better."""
        return -1.0 if self.better == "down" else 1.0

    @property
    def meaning(self) -> str:
        """What is computed, in a few words."""
        if self.kind is MetricKind.QUANTILE:
            return f"{self.quantile:g} quantile of {self.measure}"
        if self.kind is MetricKind.DISTINCT:
            return f"different {self.measure}"
        if self.over is not None:
            return f"{self.measure} / {self.over}"
        unit = "reader" if self.per == "reader" else "active day"
        if self.kind is MetricKind.SHARE:
            return f"share of {unit}s with {self.measure}"
        cut = f", readers cut at their {self.winsorise:g} quantile" if self.winsorise else ""
        return f"{self.measure} per {unit}{cut}"


_WAYS: dict[MetricKind, tuple[How, ...]] = {
    MetricKind.MEAN: ("count", "sum"),
    MetricKind.SHARE: ("count",),
    MetricKind.QUANTILE: ("value",),
    MetricKind.DISTINCT: ("distinct",),
}
"""How the one measure of a kind may be taken."""

FIELDS: dict[MetricKind, tuple[str, ...]] = {
    MetricKind.MEAN: ("count", "sum", "at_least", "per", "winsorise"),
    MetricKind.RATIO: ("numerator", "denominator", "winsorise"),
    MetricKind.SHARE: ("count", "at_least", "per", "numerator", "denominator"),
    MetricKind.QUANTILE: ("value", "at_least", "quantile"),
    MetricKind.DISTINCT: ("distinct",),
}
"""Fields of each kind, beside those of all."""

_FIELDS_OF_ALL = ("title", "kind", "better", "form", "note")


def metric_from_json(name: str, data: Any, prefix: str = "") -> Metric:
    """Build a metric from its declaration, as it stands in TOML or JSON.

    Args:
        name: Of the metric.
        data: The declaration.
        prefix: What errors put before the name of a field.

    Raises:
        InvalidInputError: a field is unknown, missing, of the wrong type or breaks a rule.
    """
    if not EVENT_NAME.fullmatch(name):
        raise InvalidInputError(f"{prefix}{name}", NAME_RULE)
    reader = Reader(data, prefix=f"{prefix}{name}.")
    kind = reader.choice("kind", MetricKind)
    reader.only({*_FIELDS_OF_ALL, *FIELDS[kind]}, f"is not a field of kind {kind}")
    values: dict[str, Any] = {"title": reader.text("title", longest=80)}
    values["better"] = reader.one_of("better", get_args(Better))
    values["form"] = "share" if kind is MetricKind.SHARE else "number"
    if reader.has("form"):
        values["form"] = reader.one_of("form", get_args(Form))
    if reader.has("note"):
        values["note"] = reader.text("note", longest=500)
    if kind is MetricKind.RATIO or reader.has("numerator") or reader.has("denominator"):
        values |= _read_ratio(reader, kind)
    else:
        values["measure"] = read_measure(reader, *_WAYS[kind])
    if reader.has("per"):
        values["per"] = reader.one_of("per", get_args(Per))
    if reader.has("winsorise"):
        values["winsorise"] = _read_winsorise(reader)
    if kind is MetricKind.QUANTILE:
        values["quantile"] = _between(reader, "quantile", 0.0)
    return Metric(name=name, kind=kind, **values)


def metric_to_json(metric: Metric) -> dict[str, Any]:
    """Return a declaration, the reverse of `metric_from_json`."""
    data: dict[str, Any] = {"title": metric.title, "kind": metric.kind.value}
    if metric.over is None:
        data |= measure_to_json(metric.measure)
    else:
        data["numerator"] = measure_to_json(metric.measure)
        data["denominator"] = measure_to_json(metric.over)
    if "per" in FIELDS[metric.kind] and metric.over is None:
        data["per"] = metric.per
    if metric.kind is MetricKind.QUANTILE:
        data["quantile"] = metric.quantile
    if metric.winsorise is not None:
        data["winsorise"] = metric.winsorise
    data |= {"better": metric.better, "form": metric.form}
    return data | ({"note": metric.note} if metric.note else {})


def _read_ratio(reader: Reader, kind: MetricKind) -> dict[str, Measure]:
    for name in ("count", "at_least", "per"):
        if reader.has(name):
            raise reader.error(name, "must be left out beside numerator and denominator")
    above, below = (_read_part(reader.part(name)) for name in ("numerator", "denominator"))
    if kind is MetricKind.SHARE and not above.is_part_of(below):
        rule = "must count a part of what the denominator counts; if it does not, declare a ratio"
        raise reader.error("numerator", rule)
    return {"measure": above, "over": below}


def _read_part(part: Reader) -> Measure:
    part.only({"count", "sum", "at_least"})
    return read_measure(part, "count", "sum")


def _read_winsorise(reader: Reader) -> float | None:
    if isinstance(reader.value("winsorise"), bool):
        return WINSORISED_AT if reader.flag("winsorise") else None
    return _between(reader, "winsorise", 0.5)


def _between(reader: Reader, name: str, low: float) -> float:
    number = reader.number(name)
    if not low < number < 1.0:
        raise reader.error(name, f"must lie between {low:g} and 1")
    return number


_BUILT_IN = Path(__file__).with_name("builtin_metrics.toml").read_text(encoding="utf-8")

METRICS = {name: metric_from_json(name, data) for name, data in tomllib.loads(_BUILT_IN).items()}
"""Every metric that feed brings along by name, in the order of the report."""

PER_READER = tuple(metric for metric in METRICS.values() if not metric.grouped)
"""Those that every single reader has."""


def metric_named(
    name: str, own: Mapping[str, Metric] | None = None, field_name: str = "metric"
) -> Metric:
    """Return a metric by name: one of the site's own, or one that feed brings along.

    Raises:
        InvalidInputError: there is none of that name.
    """
    known = METRICS | dict(own or {})
    if name not in known:
        raise InvalidInputError(field_name, f"must be one of {', '.join(known)}")
    return known[name]
