"""A report's figures: effects with their intervals, and courses over days and positions."""

from __future__ import annotations

from collections.abc import Sequence

from feed.documents.charts import Axis, Bar, IntervalChart, LineChart, Point, Series
from feed.experiments.judgement.results import Look, SlotTable, TimeCourse
from feed.experiments.judgement.wording import NONE, percent
from feed.experiments.statistics.effects import Interval

_MARKS = ("circle", "square", "triangle", "diamond")


def effect_bar(
    label: str,
    value: float | None,
    interval: Interval | None,
    sign: float,
    *,
    strong: bool = False,
    proven: bool = True,
) -> Bar:
    """Return a relative effect as a line of a figure.

    `sign` is -1 where lower is better and 0 where neither way is. An interval that leaves out 0
    has a colour, unless a correction says that it is not `proven`.
    """
    text = percent(value, signed=True) if value is not None else NONE
    colour = "ink" if strong else "muted"
    if interval is None:
        return Bar(label, value, text=text, colour=colour, strong=strong)
    if proven and sign and (interval.low > 0 or interval.high < 0):
        colour = "good" if sign * interval.low > 0 else "bad"
    low, high = (percent(bound, signed=True)[:-2] for bound in interval)
    bounds = f"({low} to {high})" if value is not None else ""
    return Bar(label, value, *interval, text, bounds, colour, strong)


def effects_chart(
    bars: Sequence[Bar], target: float | None = None, target_name: str = ""
) -> IntervalChart:
    """Return relative effects with their intervals around zero; `target` is a dashed line."""
    axis = Axis(*_limits(bars, target), _percent_tick, most=5)
    return IntervalChart(tuple(bars), axis, target, target_name)


def course_chart(course: TimeCourse, target: float, grown_on: Sequence[int] = ()) -> LineChart:
    """Return the cumulative effect by day with its always-valid and its single-look interval.

    Every effect is on the figure. Wide intervals of the first days are cut off, with a mark.
    `grown_on` are the days, counted from 1, on which the traffic grew.
    """
    looks = course.cumulative
    always = [look.sequence.relative_interval if look.sequence else None for look in looks]
    single = [look.effect.relative_interval for look in looks]
    bounds = [found for found in always if found] or [found for found in single if found]
    ends = min(target, -0.02), max(target, 0.02)
    early = bounds[len(bounds) // 3] if bounds else Interval(*ends)
    values = [look.effect.relative for look in looks if look.effect.relative is not None]
    ends = min(early.low, ends[0], *values), max(early.high, ends[1], *values)
    thin, thick = (0.16, 0.3) if len(looks) == 1 else (0.0, 0.0)  # one day spans no area
    series = (
        Series(_points(looks, always, 1), "series-1", whisker=thin, area=0.16),
        Series(
            _points(looks, single, 1), "series-1", "circle", joined=True, whisker=thick, area=0.3
        ),
    )
    x = _days_axis(1, len(looks), "days since the start")
    marks = tuple(day - 0.5 for day in grown_on)
    return LineChart(x, _percent_axis(ends, 0.1), series, 240, target, marks)


def days_chart(looks: Sequence[Look], *, title: str, first: int) -> LineChart:
    """Return the effect of single days, counted from `first`."""
    points = _points(looks, [look.effect.relative_interval for look in looks], first)
    seen = tuple(p for p in points if p.y is not None and p.low is not None)
    x = _days_axis(first, len(looks), title)
    series = Series(seen, "series-1", "circle", whisker=0.55)
    return LineChart(x, _percent_axis(_range(seen), 0.05), (series,), 165)


def positions_chart(table: SlotTable, variants: Sequence[str]) -> LineChart:
    """Return click-through by position, one line for each variant."""
    series = []
    for place, variant in enumerate(variants):
        shift, style = (place - (len(variants) - 1) / 2) * 0.12, min(place, 3)
        points = tuple(
            Point(int(cell.label) + shift, cell.click_through, *(cell.interval or (None, None)))
            for cell in table.cells
            if cell.variant == variant and cell.label.isdigit()
        )
        series.append(Series(points, f"series-{style}", _MARKS[style], joined=True, whisker=0.45))
    found = [point for each in series for point in each.points]
    places = [point.x for point in found] or [1.0]
    x = Axis(
        min(places) - 0.5, max(places) + 0.5, "{:g}".format, 14, whole=True,
        title="position in the feed",
    )  # fmt: skip
    y = Axis(0.0, 1.05 * max(_range(found)[1], 0.001), percent, most=5)
    return LineChart(x, y, tuple(series), 200)


def _points(
    looks: Sequence[Look], intervals: Sequence[Interval | None], first: int
) -> tuple[Point, ...]:
    return tuple(
        Point(look.step + first, look.effect.relative, *(interval or (None, None)))
        for look, interval in zip(looks, intervals, strict=True)
    )


def _days_axis(first: int, days: int, title: str) -> Axis:
    last = first + max(days, 2) - 0.5
    return Axis(first - 0.5, last, "{:g}".format, 14, whole=True, title=title)


def _percent_axis(ends: tuple[float, float], margin: float) -> Axis:
    return Axis(*_wider(ends, margin), _percent_tick, most=5)


def _range(points: Sequence[Point]) -> tuple[float, float]:
    """Return the least and greatest value or bound, or -1 % to 1 % where all are zero."""
    values = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    return (low, high) if low < high else (-0.01, 0.01)


def _wider(ends: tuple[float, float], share: float) -> tuple[float, float]:
    margin = share * (ends[1] - ends[0])
    return ends[0] - margin, ends[1] + margin


def _limits(bars: Sequence[Bar], target: float | None) -> tuple[float, float]:
    """Return limits that fit the usual interval; much wider ones are cut off."""
    shown = [bound for bar in bars for bound in (bar.low, bar.high) if bound is not None]
    ends = sorted(map(abs, shown))
    values = [bar.value for bar in bars if bar.value is not None]
    usual = 1.6 * ends[(3 * len(ends)) // 4] if ends else max(map(abs, values), default=0.02)
    reach = max(usual, abs(target or 0.0), 0.02)
    low = max(-reach, min([-0.02, target or 0.0, *shown, *values]))
    high = min(reach, max([0.02, target or 0.0, *shown, *values]))
    return _wider((low, high), 0.05)


def _percent_tick(value: float) -> str:
    if abs(value) < 1e-12:
        return "0"
    digits = 0 if abs(value * 100 - round(value * 100)) < 1e-6 else 1
    return percent(value, digits=digits, signed=True)
