"""The two kinds of charts, as data: intervals beside their names, and values along an axis.

Places are percentages of the chart, so that one drawing fits wide and narrow pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """The values from `low` to `high`.

    Attributes:
        low: At 0 %.
        high: At 100 %.
        write: Returns the text of a tick.
        most: Steps between ticks, at most.
        whole: Whether ticks stand at whole numbers only.
        title: What the values are; may be empty.
    """

    low: float
    high: float
    write: Callable[[float], str]
    most: int = 7
    whole: bool = False
    title: str = ""

    def at(self, value: float) -> float:
        """Return the place of a value in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def holds(self, value: float | None) -> bool:
        """Return whether a value exists and lies on the axis."""
        return value is not None and self.low <= value <= self.high

    def clip(self, value: float) -> float:
        """Return the nearest value that lies on the axis."""
        return min(max(value, self.low), self.high)

    def ticks(self) -> list[float]:
        """Return round values on the axis."""
        least = (self.high - self.low) / self.most
        size = 10.0 ** math.floor(math.log10(least))
        steps = [step * size for step in _STEPS if step * size >= least * (1 - 1e-9)]
        step = next((s for s in steps if not self.whole or s == round(s)), 1.0)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(place * step, 12) for place in range(first, last + 1)]

    def is_crowded(self) -> bool:
        """Return whether the texts of the ticks would touch each other on a narrow page."""
        texts = [self.write(value) for value in self.ticks()]
        return len(texts) > 8 or sum(map(len, texts)) > 24


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of an interval chart.

    Attributes:
        label: What it is.
        value: Point estimate; None draws the label alone.
        low: Lower bound, or None.
        high: Upper bound, or None.
        text: The estimate as text.
        range: The interval as text, left out on narrow pages.
        colour: A colour of the style sheet.
        strong: Whether it is the one that decides.
        heading: Whether it is a heading without a line.
    """

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""
    range: str = ""
    colour: str = "muted"
    strong: bool = False
    heading: bool = False

    def reaches(self, end: float, *, below: bool = False) -> bool:
        """Return whether the value or a bound lies beyond an end of the axis: an arrow says so."""
        values = [v for v in (self.value, self.low, self.high) if v is not None]
        return any(v < end if below else v > end for v in values)


@dataclass(frozen=True, slots=True)
class IntervalChart:
    """Estimates with their intervals, one line each; `target` is a dashed line with a name."""

    bars: tuple[Bar, ...]
    x: Axis
    target: float | None = None
    target_name: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a day or position, with its interval where there is one."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one colour.

    Attributes:
        points: From left to right.
        colour: A colour of the style sheet.
        mark: Shape of each point: circle, square, triangle, diamond; empty draws none.
        joined: Whether a line runs through them.
        whisker: Opacity of a line along each interval; 0 draws none.
        area: Opacity of the area between the bounds of the intervals; 0 draws none.
    """

    points: tuple[Point, ...]
    colour: str
    mark: str = ""
    joined: bool = False
    whisker: float = 0.0
    area: float = 0.0


@dataclass(frozen=True, slots=True)
class LineChart:
    """Series over two axes.

    `height` is in pixels, `target` a dashed level line, `marks` are upright lines at values of x.
    """

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    height: int
    target: float | None = None
    marks: tuple[float, ...] = ()

    def lines(self, series: Series) -> list[str]:
        """Return the lines through a series as SVG paths, broken where a value is missing."""
        places = [(p.x, p.y) for p in series.points]
        return [self._path(run) for run in _runs(places)] if series.joined else []

    def areas(self, series: Series) -> list[str]:
        """Return the areas between the bounds of a series as SVG paths."""
        if not series.area:
            return []
        highs = _runs([(p.x, p.high) for p in series.points])
        lows = _runs([(p.x, p.low) for p in series.points])
        pairs = zip(highs, lows, strict=True)
        return [self._path([*high, *reversed(low)]) + "Z" for high, low in pairs]

    def cuts(self, series: Series) -> list[tuple[float, bool]]:
        """Return each x at which an area goes beyond the chart, and whether it does so above."""
        points, at = series.points if series.area else (), self.y.at
        above = [(p.x, True) for p in points if p.high is not None and at(p.high) > 100]
        return above + [(p.x, False) for p in points if p.low is not None and at(p.low) < 0]

    def _path(self, run: list[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.x.at(x):g},{100 - self.y.at(y):g}" for x, y in run)


def _runs(places: list[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Split points where a value is missing."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in places:
        if y is not None:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
