"""How numbers are written in a report."""

from __future__ import annotations

from collections.abc import Sequence

from feed.experiments.design.metrics import Form
from feed.experiments.statistics.effects import Interval

MINUS = "\u2212"
THIN = "\u202f"
SPACE = "\u00a0"
NONE = "\u2013"


def number(value: float | None, digits: int = 0) -> str:
    """Write a number with commas between thousands, as the other pages do."""
    if value is None:
        return NONE
    return f"{value:z,.{digits}f}".replace("-", MINUS)


def percent(value: float | None, *, digits: int = 1, signed: bool = False) -> str:
    """Write a share as a percentage."""
    if value is None:
        return NONE
    return f"{_signed(100 * value, digits) if signed else number(100 * value, digits)}{THIN}%"


def points(value: float | None) -> str:
    """Write a difference of two shares in percentage points."""
    if value is None:
        return NONE
    return f"{_signed(100 * value, 2)} points"


def p_value(value: float | None) -> str:
    """Write a p-value."""
    if value is None:
        return "no p-value"
    if value < 0.001:
        return f"p{SPACE}<{SPACE}0.001"
    return f"p{SPACE}={SPACE}{value:.{3 if value < 0.1 else 2}f}"


def metric_value(value: float | None, form: Form) -> str:
    """Write a metric's value in its form."""
    if value is None:
        return NONE
    if form == "share":
        return percent(value, digits=2)
    if form == "seconds":
        return f"{number(value, 1)}{THIN}s"
    if form == "milliseconds":
        return f"{number(value, 1)}{THIN}ms"
    if form == "count":
        return number(value, 1 if value < 100 and value != round(value) else 0)
    return number(value, _digits(value))


def metric_difference(value: float | None, form: Form) -> str:
    """Write a difference of a metric with its sign, unless it is written as zero."""
    if value is None:
        return NONE
    if form == "share":
        return points(value)
    size = metric_value(abs(value), form)
    if not set("123456789") & set(size):
        return size
    return f"{'+' if value > 0 else MINUS}{size}"


def share_range(interval: Interval | None) -> str:
    """Write an interval of a share."""
    if interval is None:
        return NONE
    low, high = (number(100 * bound, 2) for bound in interval)
    return f"{low} to {high}{THIN}%"


def percent_interval(interval: Interval | None, between: str = "to") -> str:
    """Write an interval of relative effects."""
    if interval is None:
        return NONE
    low, high = (percent(bound, signed=True) for bound in interval)
    return f"{low} {between} {high}"


def effect_change(relative: float | None, difference: float | None, form: Form) -> str:
    """Write an effect: in percent or, where control is not above 0, in the metric's unit."""
    if relative is None:
        return metric_difference(difference, form)
    return percent(relative, signed=True)


def effect_interval(
    relative: Interval | None, difference: Interval | None, form: Form, between: str = "to"
) -> str:
    """Write the interval of an effect: in percent or, where there is none, in the metric's unit."""
    if relative is not None or difference is None:
        return percent_interval(relative, between)
    low, high = (metric_difference(bound, form) for bound in difference)
    return f"{low} {between} {high}"


def join_words(words: Sequence[str]) -> str:
    """Join words or clauses by commas and a last "and"."""
    *most, last = words or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _signed(value: float, digits: int) -> str:
    text = number(value, digits)
    return f"+{text}" if value > 0 and text != number(0.0, digits) else text


def _digits(value: float) -> int:
    size = abs(value)
    if size >= 1000:
        return 0
    if size >= 10:
        return 2
    return 3
