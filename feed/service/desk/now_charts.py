"""The charts of the room Now: 24 hours of the pulse, in groups of five minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

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

    def said(self, write: Callable[[float], str], time_of: Callable[[int], str]) -> str:
        """Return the newest and the highest value in words.

        Args:
            write: Turns a value into text with its unit.
            time_of: Gives the time at which a group ended, by its number.
        """
        places = np.flatnonzero(~np.isnan(self.values))
        if not len(places):
            return f"{self.name}: no data"
        newest, highest = (write(v) for v in (self.values[places[-1]], self.values[places].max()))
        is_stale = places[-1] < len(self.values) - 1
        when = f" at {time_of(int(places[-1]))}" if is_stale else ""
        return f"{self.name}: latest {newest}{when}, highest {highest}"


@dataclass(frozen=True, slots=True)
class DayChart:
    """A chart with its title and its lines.

    Attributes:
        title: What it shows.
        lines: What is drawn.
        write: Turns a value into text with its unit.
        time_of: Gives the time at which a group ended, by its number.
    """

    title: str
    lines: tuple[DayLine, ...]
    write: Callable[[float], str]
    time_of: Callable[[int], str]

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
        return "; ".join(self.legend) + "."

    @property
    def legend(self) -> tuple[str, ...]:
        """Return for each line its newest and its highest value in words."""
        return tuple(line.said(self.write, self.time_of) for line in self.lines)


def day_charts(day: PulseSeries, zone: tzinfo = UTC) -> tuple[DayChart, ...]:
    """Return the charts of a day of minutes, without the one that is not over.

    Where no web process reported, the lines have gaps. Times are those of the zone.
    """
    day = day.window((len(day.starts) - 1) // GROUP * GROUP, 1)
    alive = ~np.isnan(_highest(day.gauge("snapshot_age_s")))
    ends = day.starts[GROUP - 1 :: GROUP] + MINUTE_S

    def time_of(group: int) -> str:
        return f"{datetime.fromtimestamp(float(ends[group]), zone):%H:%M}"

    return tuple(
        DayChart(title, lines, write, time_of) for title, lines, write in _contents(day, alive)
    )


Content = tuple[str, tuple[DayLine, ...], Callable[[float], str]]


def _contents(day: PulseSeries, alive: Flags) -> tuple[Content, ...]:
    """Return title, lines and unit of every chart."""
    return (
        (
            "Feeds and events a second",
            (
                DayLine("Feeds", "blue", _rate(day, alive, *RUNGS)),
                DayLine("Events", "green", _rate(day, alive, EVENTS)),
            ),
            _number,
        ),
        (
            "Time to make a feed",
            (
                DayLine("Half within", "blue", day.percentiles(0.5, GROUP)),
                DayLine("99 % within", "ochre", day.percentiles(0.99, GROUP)),
            ),
            lambda value: f"{value:.3g} ms",
        ),
        (
            "Failed and refused requests, and simplified feeds",
            (
                DayLine("Failed", "accent", _share(day, alive, (ERRORS,), (REQUESTS,))),
                DayLine("Refused", "ochre", _share(day, alive, (REFUSED,), (REQUESTS,))),
                DayLine("Simplified", "blue", _share(day, alive, (FALLEN,), RUNGS)),
            ),
            lambda value: f"{value:.3g} %",
        ),
        (
            "How far behind the worker is",
            (
                DayLine("Counting", "blue", _highest(day.gauge("counting_lag_s"))),
                DayLine("Archive", "ochre", _highest(day.gauge("archive_lag_s"))),
            ),
            lambda value: f"{value:.3g} s",
        ),
        (
            "Memory the store uses",
            (DayLine("Used", "blue", _highest(day.gauge("store_bytes")) / 1e6),),
            lambda value: f"{value:,.0f} MB",
        ),
        (
            "Articles without a vector, and events waiting for their article",
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
