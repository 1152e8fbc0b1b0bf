"""The charts of the room Now: 24 hours of the pulse, in groups of five minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats
from feed.documents.charts import Axis, LineChart, Point, Series
from feed.storage.pulse_series import (
    ERRORS,
    EVENTS,
    FALLEN,
    MINUTE_S,
    REFUSED,
    REQUESTS,
    RUNGS,
    PulseSeries,
)

GROUP = 5
"""Minutes in one point of a chart."""
HOURS = 24
HEIGHT = 150


@dataclass(frozen=True, slots=True)
class DayLine:
    """One line of a chart: its name, its colour, and one value for each group, NaN for a gap."""

    name: str
    colour: str
    values: Floats

    def said(self, write: Callable[[float], str]) -> str:
        """Return the newest and the highest value in words."""
        known = self.values[~np.isnan(self.values)]
        if not len(known):
            return f"{self.name}: nothing is known"
        return f"{self.name}: now {write(known[-1])}, at most {write(known.max())}"


@dataclass(frozen=True, slots=True)
class DayChart:
    """A chart with its title and its lines; `write` turns a value into text with its unit."""

    title: str
    lines: tuple[DayLine, ...]
    write: Callable[[float], str]

    @property
    def drawing(self) -> LineChart:
        """Return what is drawn."""
        values = np.concatenate([line.values for line in self.lines])
        known = values[~np.isnan(values)]
        top = float(known.max()) if len(known) else 0.0
        return LineChart(
            x=Axis(-HOURS, 0.0, _hour, most=5),
            y=Axis(0.0, top * 1.08 or 1.0, self.write, most=4),
            series=tuple(
                Series(_points(line.values), line.colour, joined=True) for line in self.lines
            ),
            height=HEIGHT,
        )

    @property
    def caption(self) -> str:
        """Return in words what the lines show, for those who do not see them."""
        return "; ".join(line.said(self.write) for line in self.lines) + "."


def day_charts(day: PulseSeries) -> tuple[DayChart, ...]:
    """Return the charts of a day of minutes, without the one that is not over.

    Where no web process reported, the lines have gaps.
    """
    day = day.window((len(day.starts) - 1) // GROUP * GROUP, 1)
    alive = ~np.isnan(_highest(day.gauge("snapshot_age_s")))
    return (
        DayChart(
            "Feeds and events a second",
            (
                DayLine("Feeds", "blue", _rate(day, alive, *RUNGS)),
                DayLine("Events", "green", _rate(day, alive, EVENTS)),
            ),
            _number,
        ),
        DayChart(
            "Time that a feed takes",
            (
                DayLine("50 % within", "blue", day.percentiles(0.5, GROUP)),
                DayLine("99 % within", "ochre", day.percentiles(0.99, GROUP)),
            ),
            lambda value: f"{value:.3g} ms",
        ),
        DayChart(
            "Requests that went wrong, and feeds simpler than asked for",
            (
                DayLine("Failed", "accent", _share(day, alive, (ERRORS,), (REQUESTS,))),
                DayLine("Refused", "ochre", _share(day, alive, (REFUSED,), (REQUESTS,))),
                DayLine("Simpler", "blue", _share(day, alive, (FALLEN,), RUNGS)),
            ),
            lambda value: f"{value:.3g} %",
        ),
        DayChart(
            "How far the worker is behind",
            (
                DayLine("Counting", "blue", _highest(day.gauge("counting_lag_s"))),
                DayLine("Archive", "ochre", _highest(day.gauge("archive_lag_s"))),
            ),
            lambda value: f"{value:.3g} s",
        ),
        DayChart(
            "Memory of the store",
            (DayLine("Used", "blue", _highest(day.gauge("store_bytes")) / 1e6),),
            lambda value: f"{value:,.0f} MB",
        ),
        DayChart(
            "Articles without a vector, and events that wait for an article",
            (
                DayLine("Articles", "blue", _highest(day.gauge("unencoded_articles"))),
                DayLine("Events", "green", _highest(day.gauge("waiting_events"))),
            ),
            _number,
        ),
    )


def _rate(day: PulseSeries, alive: Flags, *names: str) -> Floats:
    total = day.count(*names).reshape(-1, GROUP).sum(axis=1)
    return np.where(alive, total / (GROUP * MINUTE_S), np.nan)


def _share(day: PulseSeries, alive: Flags, part: tuple[str, ...], whole: tuple[str, ...]) -> Floats:
    """Return the percentage of one count in another, 0 where there was neither."""
    some = day.count(*part).reshape(-1, GROUP).sum(axis=1)
    every = day.count(*whole).reshape(-1, GROUP).sum(axis=1)
    return np.where(alive, 100.0 * some / np.maximum(every, 1), np.nan)


def _highest(minutes: Floats) -> Floats:
    """Return the highest known value of each group."""
    grouped = minutes.reshape(-1, GROUP)
    highest = np.where(np.isnan(grouped), -np.inf, grouped).max(axis=1)
    return np.where(np.isneginf(highest), np.nan, highest)


def _points(values: Floats) -> tuple[Point, ...]:
    hours = (np.arange(len(values)) - len(values) + 0.5) * GROUP / 60
    return tuple(
        Point(round(x, 3), None if np.isnan(y) else float(y))
        for x, y in zip(hours.tolist(), values.tolist(), strict=True)
    )


def _hour(value: float) -> str:
    return "now" if not value else f"{-value:g} h ago"


def _number(value: float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
