"""A report's figures as SVG whose colours follow the page: light, dark or print."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from feed.experiments.judgement.results import Look, SlotTable, TimeCourse
from feed.experiments.judgement.wording import NONE, percent

_COLOURS = {
    "ink": "#010203",
    "muted": "#020304",
    "grid": "#030405",
    "accent": "#040506",
    "good": "#050607",
    "bad": "#060708",
    "series-0": "#070809",
    "series-1": "#08090a",
    "series-2": "#090a0b",
    "series-3": "#0a0b0c",
}
"""Stand-ins that matplotlib writes; each becomes a CSS variable of the page."""

_WIDE, _NARROW = 880, 350
_FONT_PX = {_WIDE: 12.5, _NARROW: 11.5}
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _COLOURS["grid"],
    "axes.labelcolor": _COLOURS["muted"],
    "text.color": _COLOURS["ink"],
    "xtick.color": _COLOURS["grid"],
    "ytick.color": _COLOURS["grid"],
    "xtick.labelcolor": _COLOURS["muted"],
    "ytick.labelcolor": _COLOURS["muted"],
    "grid.color": _COLOURS["grid"],
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "text.parse_math": False,
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of an interval plot; bounds are relative effects.

    Attributes:
        label: What it is.
        value: Point estimate; None draws the label alone.
        low: Lower bound, or None.
        high: Upper bound, or None.
        strong: Whether it is the one that decides.
        heading: Whether it is a heading without a line.
        sign: -1 where lower is better, which decides the colour.
    """

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    strong: bool = False
    heading: bool = False
    sign: float = 1.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure in both widths, as inline SVG."""

    wide: str
    narrow: str


def draw_intervals(
    bars: Sequence[Bar], *, target: float | None = None, target_name: str = ""
) -> Drawing:
    """Draw relative effects with their intervals around zero; `target` is a dashed line."""
    return _both(lambda width: _intervals(bars, target, target_name, width), "intervals")


def draw_course(course: TimeCourse, target: float) -> Drawing:
    """Draw the cumulative effect by day with its always-valid and its single-look interval."""
    return _both(lambda width: _course(course, target, width), f"course-{course.treatment}")


def draw_days(looks: Sequence[Look], *, axis: str, first: int) -> Drawing:
    """Draw the effect of single days, counted from `first`."""
    return _both(lambda width: _days(looks, axis, first, width), f"days-{axis}")


def draw_positions(table: SlotTable, variants: Sequence[str]) -> Drawing:
    """Draw click-through by position, one line a variant."""
    return _both(lambda width: _positions(table, variants, width), "positions")


def _both(draw: Callable[[int], Figure], key: str) -> Drawing:
    def render(width: int) -> str:
        settings: Any = {**_SETTINGS, "svg.hashsalt": f"{key}-{width}"}
        with mpl.rc_context(settings):
            return _to_svg(draw(width))

    return Drawing(render(_WIDE), render(_NARROW))


def _to_svg(figure: Figure) -> str:
    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg[^>]*viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text
    )
    text = re.sub(r"font: ?([\d.]+)px [^;\"]+", r"font-size: \1px", text)
    for name, stand_in in _COLOURS.items():
        text = text.replace(stand_in, f"var(--{name})")
    return re.sub(r"\n\s*", "\n", text)


def _figure(width: int, height: float) -> tuple[Figure, float]:
    """Return a figure whose unit is one CSS pixel, and the size of its text."""
    return Figure(figsize=(width / 72, height / 72), dpi=72), _FONT_PX[width]


def _intervals(bars: Sequence[Bar], target: float | None, target_name: str, width: int) -> Figure:
    narrow = width == _NARROW
    step = 38.0 if narrow else 27.0
    foot, head = 34.0, 20.0
    height = foot + head + step * len(bars)
    figure, size = _figure(width, height)
    left, right = (8.0, 8.0) if narrow else (255.0, 185.0)
    axes = figure.add_axes(
        (left / width, foot / height, (width - left - right) / width, step * len(bars) / height)
    )
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(*_limits(bars, target))
    rows = [row for row, bar in enumerate(bars) if not bar.heading]
    _upright(axes, 0.0, rows, "muted", "-", narrow=narrow)
    if target is not None:
        _upright(axes, target, rows, "accent", (0, (3, 3)), narrow=narrow)
        axes.annotate(
            target_name,
            (target, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=size - 1.5,
            color=_COLOURS["accent"],
        )
    for row, bar in enumerate(bars):
        _interval(axes, bar, row, size, narrow=narrow)
    _style(axes, size)
    axes.spines["left"].set_visible(False)
    axes.yaxis.set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5 if narrow else 7))
    axes.xaxis.set_major_formatter(FuncFormatter(_percent_tick))
    return figure


def _upright(
    axes: Axes, x: float, rows: Sequence[int], colour: str, dashes: Any, *, narrow: bool
) -> None:
    """Draw a vertical line, on a narrow page only beside the intervals, clear of the labels."""
    pieces = [(row - 0.02, row + 0.42) for row in rows] if narrow else [(-0.5, rows[-1] + 0.5)]
    for piece in pieces:
        axes.plot([x, x], piece, color=_COLOURS[colour], linewidth=1, linestyle=dashes)


def _interval(axes: Axes, bar: Bar, row: int, size: float, *, narrow: bool) -> None:
    weight = "bold" if bar.heading or bar.strong else "normal"
    low, high = axes.get_xlim()
    label_y = row - 0.22 if narrow else row
    transform = axes.get_yaxis_transform()
    offset = 0.0 if narrow else -0.02
    axes.text(
        offset,
        label_y,
        bar.label,
        transform=transform,
        ha="left" if narrow else "right",
        va="center",
        fontsize=size,
        fontweight=weight,
        color=_COLOURS["muted"] if bar.heading else _COLOURS["ink"],
        clip_on=False,
    )
    if bar.heading:
        return
    y = row + 0.2 if narrow else row
    colour = _bar_colour(bar)
    if bar.low is not None and bar.high is not None:
        ends = max(bar.low, low), min(bar.high, high)
        axes.plot(ends, (y, y), color=colour, linewidth=4.5 if bar.strong else 2.2,
                  solid_capstyle="butt")  # fmt: skip
    if bar.value is not None and low <= bar.value <= high:
        axes.plot([bar.value], [y], marker="o", markersize=8 if bar.strong else 5.5, color=colour)
    text = _bar_text(bar)
    axes.text(
        1.0 if narrow else 1.03,
        label_y if narrow else row,
        text.split(" (", maxsplit=1)[0] if narrow else text,
        transform=transform,
        ha="right" if narrow else "left",
        va="center",
        fontsize=size,
        fontweight=weight,
        clip_on=False,
    )


def _bar_colour(bar: Bar) -> str:
    if bar.low is not None and bar.high is not None and (bar.low > 0 or bar.high < 0):
        return _COLOURS["good" if bar.sign * bar.low > 0 else "bad"]
    return _COLOURS["ink"] if bar.strong else _COLOURS["muted"]


def _bar_text(bar: Bar) -> str:
    if bar.value is None:
        return NONE
    text = percent(bar.value, signed=True)
    if bar.low is None or bar.high is None:
        return text
    bounds = [percent(bound, signed=True)[:-2] for bound in (bar.low, bar.high)]
    return f"{text} ({bounds[0]} to {bounds[1]})"


def _course(course: TimeCourse, target: float, width: int) -> Figure:
    narrow = width == _NARROW
    height = 250.0 if narrow else 300.0
    figure, size = _figure(width, height)
    axes = _plot_area(figure, width, height, left=46 if narrow else 60, right=12, foot=40, head=14)
    looks = course.cumulative
    steps = [look.step + 1 for look in looks]
    for low, high, alpha in (
        (*_sequence_bounds(looks), 0.16),
        (*_single_bounds(looks), 0.3),
    ):
        axes.fill_between(steps, low, high, color=_COLOURS["series-1"], alpha=alpha, linewidth=0)
    values = [_or_nan(look.effect.relative) for look in looks]
    axes.plot(steps, values, color=_COLOURS["series-1"], linewidth=2, marker="o", markersize=4)
    axes.axhline(0, color=_COLOURS["muted"], linewidth=1)
    axes.axhline(target, color=_COLOURS["accent"], linewidth=1, linestyle=(0, (3, 3)))
    bounds = [(look.sequence and look.sequence.relative_interval) for look in looks]
    known = [bound for bound in bounds if bound] or [
        look.effect.relative_interval for look in looks if look.effect.relative_interval
    ]
    if known:
        widest = known[len(known) // 3]
        bottom, top = min(widest.low, -0.02), max(widest.high, target, 0.02)
        axes.set_ylim(bottom - 0.1 * (top - bottom), top + 0.1 * (top - bottom))
    axes.set_xlim(0.5, max(len(steps), 2) + 0.5)
    _style(axes, size)
    axes.set_xlabel("days since the start", fontsize=size)
    axes.xaxis.set_major_locator(MaxNLocator(7 if narrow else 14, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))
    axes.grid(visible=True, axis="y")
    return figure


def _days(looks: Sequence[Look], axis: str, first: int, width: int) -> Figure:
    narrow = width == _NARROW
    height = 200.0 if narrow else 220.0
    figure, size = _figure(width, height)
    axes = _plot_area(figure, width, height, left=46 if narrow else 60, right=12, foot=40, head=10)
    axes.axhline(0, color=_COLOURS["muted"], linewidth=1)
    colour = _COLOURS["series-1"]
    for look in looks:
        interval, x = look.effect.relative_interval, look.step + first
        if interval is None or look.effect.relative is None:
            continue
        axes.plot([x, x], interval, color=colour, linewidth=1.8, alpha=0.55)
        axes.plot([x], [look.effect.relative], "o", color=colour, markersize=5)
    _style(axes, size)
    axes.set_xlabel(axis, fontsize=size)
    axes.set_xlim(first - 0.5, first + max(len(looks), 2) - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(7 if narrow else 14, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))
    axes.grid(visible=True, axis="y")
    return figure


def _positions(table: SlotTable, variants: Sequence[str], width: int) -> Figure:
    narrow = width == _NARROW
    height = 220.0 if narrow else 250.0
    figure, size = _figure(width, height)
    axes = _plot_area(figure, width, height, left=46 if narrow else 60, right=12, foot=40, head=10)
    for place, variant in enumerate(variants):
        cells = [cell for cell in table.cells if cell.variant == variant and cell.label.isdigit()]
        colour = _COLOURS[f"series-{min(place, 3)}"]
        shift = (place - (len(variants) - 1) / 2) * 0.12
        at = [int(cell.label) + shift for cell in cells]
        for x, cell in zip(at, cells, strict=True):
            if cell.interval is not None:
                axes.plot([x, x], cell.interval, color=colour, linewidth=1.5, alpha=0.45)
        axes.plot(
            at,
            [_or_nan(cell.click_through) for cell in cells],
            color=colour,
            linewidth=2,
            marker="os^D"[min(place, 3)],
            markersize=4.5,
        )
    axes.set_ylim(bottom=0)
    _style(axes, size)
    axes.set_xlabel("position in the feed", fontsize=size)
    axes.xaxis.set_major_locator(MaxNLocator(7 if narrow else 14, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    axes.grid(visible=True, axis="y")
    return figure


def _plot_area(
    figure: Figure, width: float, height: float, *, left: float, right: float, foot: float,
    head: float,
) -> Axes:  # fmt: skip
    return figure.add_axes(
        (
            left / width,
            foot / height,
            (width - left - right) / width,
            (height - foot - head) / height,
        )
    )


def _style(axes: Axes, size: float) -> None:
    axes.tick_params(labelsize=size, length=0, pad=5)
    axes.patch.set_visible(False)


def _limits(bars: Sequence[Bar], target: float | None) -> tuple[float, float]:
    """Return limits that fit the usual interval; of much wider ones the nearer part shows."""
    ends = sorted(abs(bound) for bar in bars for bound in (bar.low, bar.high) if bound is not None)
    values = [bar.value for bar in bars if bar.value is not None]
    usual = 1.6 * ends[(3 * len(ends)) // 4] if ends else max(map(abs, values), default=0.02)
    reach = max(usual, abs(target or 0.0), 0.02)
    shown = [bound for bar in bars for bound in (bar.low, bar.high) if bound is not None]
    low = max(-reach, min([-0.02, target or 0.0, *shown, *values]))
    high = min(reach, max([0.02, target or 0.0, *shown, *values]))
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def _sequence_bounds(looks: Sequence[Look]) -> tuple[list[float], list[float]]:
    intervals = [look.sequence.relative_interval if look.sequence else None for look in looks]
    return [_or_nan(i and i.low) for i in intervals], [_or_nan(i and i.high) for i in intervals]


def _single_bounds(looks: Sequence[Look]) -> tuple[list[float], list[float]]:
    intervals = [look.effect.relative_interval for look in looks]
    return [_or_nan(i and i.low) for i in intervals], [_or_nan(i and i.high) for i in intervals]


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _percent_tick(value: float, _: object) -> str:
    if abs(value) < 1e-12:
        return "0"
    digits = 0 if abs(value * 100 - round(value * 100)) < 1e-6 else 1
    return percent(value, digits=digits, signed=True)
