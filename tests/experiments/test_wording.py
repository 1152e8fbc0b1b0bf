from __future__ import annotations

import pytest

from feed.experiments.judgement.wording import (
    metric_difference,
    metric_value,
    number,
    p_value,
    percent,
    percent_interval,
    points,
)
from feed.experiments.statistics.effects import Interval


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(1234567), "1,234,567"),
        (number(-0.0001, 1), "0.0"),
        (percent(0.1234), "12.3\u202f%"),
        (percent(-0.1234, signed=True), "\u221212.3\u202f%"),
        (percent(0.00001, signed=True), "0.0\u202f%"),
        (percent(None), "\u2013"),
        (points(0.0123), "+1.23 points"),
        (p_value(0.0004), "p\u00a0<\u00a00.001"),
        (p_value(0.0412), "p\u00a0=\u00a00.041"),
        (p_value(None), "no p-value"),
        (metric_value(0.0512, "share"), "5.12\u202f%"),
        (metric_value(400.0, "count"), "400"),
        (metric_value(12.25, "milliseconds"), "12.2\u202fms"),
        (metric_difference(-3.25, "seconds"), "\u22123.2\u202fs"),
        (metric_difference(-0.04, "milliseconds"), "0.0\u202fms"),
        (metric_difference(0.0001, "number"), "0.000"),
        (metric_difference(0.04, "count"), "0.0"),
        (percent_interval(Interval(-0.01, 0.02)), "\u22121.0\u202f% to +2.0\u202f%"),
        (percent_interval(None), "\u2013"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected
