"""Trust checks for sample ratio mismatch: over all readers, by day, and by platform."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from feed.experiments.design.definitions import Experiment, StoppingRule
from feed.experiments.judgement.results import CheckState, TrustCheck
from feed.experiments.judgement.wording import number, p_value
from feed.experiments.log.exposure import Window
from feed.experiments.log.local_days import day_name
from feed.experiments.statistics.sample_ratio import (
    SampleRatio,
    check_sample_ratio,
    check_strata,
    correct_strata,
    follow_sample_ratio,
)

_UNEVEN = "the variants did not get their shares of the readers"

Arrivals = dict[int, list[int]]
"""New readers in each variant by day since the epoch."""


def check_ratios(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, window: Window
) -> list[TrustCheck]:
    """The variants got their shares of the exposed readers: overall, by day, by platform.

    Under a sequential rule the report is read every day, so all that is alarmed about is valid
    at every look: overall and by platform by the always-valid test, day by day by the exact test
    of whole days, each of which is tested once, corrected for all planned days.

    Returns:
        Three checks; none without readers.
    """
    shares = [arm.share for arm in experiment.arms]
    platforms = _read_arrivals(connection, experiment)
    days = _add_up(platforms)
    if not any(map(sum, days.values())):
        return []
    if experiment.stopping_rule is StoppingRule.SEQUENTIAL:
        overall = follow_sample_ratio(_in_order(days), shares)
        whole = {day: row for day, row in days.items() if day + 1 <= window.full_day}
        by_day = check_strata(_named(whole), shares, tests=experiment.planned_days)
        by_platform = correct_strata(
            {name: follow_sample_ratio(_in_order(rows), shares) for name, rows in platforms.items()}
        )
    else:
        totals = {name: _total(rows, len(shares)) for name, rows in platforms.items()}
        overall = check_sample_ratio(_total(days, len(shares)), shares)
        by_day = check_strata(_named(days), shares)
        by_platform = check_strata(totals, shares)
    return [
        _describe(overall),
        _describe_strata("by day", by_day),
        _describe_strata("by platform", by_platform),
    ]


def _read_arrivals(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> dict[str, Arrivals]:
    rows = connection.execute(
        "SELECT platform, first_day, variant, count(*) FROM exposed GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    places = {arm.name: place for place, arm in enumerate(experiment.arms)}
    found: dict[str, Arrivals] = {}
    for platform, day, variant, count in rows:
        if variant in places:
            days = found.setdefault(str(platform or "unknown"), {})
            days.setdefault(int(day), [0] * len(places))[places[variant]] += int(count)
    return found


def _add_up(platforms: Mapping[str, Arrivals]) -> Arrivals:
    days: Arrivals = {}
    for rows in platforms.values():
        for day, row in rows.items():
            before = days.get(day, [0] * len(row))
            days[day] = [a + b for a, b in zip(before, row, strict=True)]
    return days


def _in_order(days: Arrivals) -> list[list[int]]:
    return [days[day] for day in sorted(days)]


def _total(days: Arrivals, width: int) -> list[int]:
    return [sum(row[place] for row in days.values()) for place in range(width)]


def _named(days: Arrivals) -> dict[str, list[int]]:
    return {day_name(day): days[day] for day in sorted(days)}


def _describe(overall: SampleRatio) -> TrustCheck:
    seen = " : ".join(number(count) for count in overall.counts)
    due = " : ".join(number(round(count)) for count in overall.expected)
    return TrustCheck(
        "Sample ratio",
        CheckState.FAILED if overall.alarm else CheckState.PASSED,
        f"{seen} readers against {due} expected ({p_value(overall.p_value)}).",
        overall.p_value,
        _UNEVEN,
    )


def _describe_strata(title: str, found: Mapping[str, SampleRatio]) -> TrustCheck:
    alarms = [name for name, result in found.items() if result.alarm]
    lowest = min((r.p_value for r in found.values() if r.p_value is not None), default=None)
    if alarms:
        finding = f"Uneven: {', '.join(alarms[:5])}{' …' if len(alarms) > 5 else ''}."
    elif found:
        finding = (
            f"{len(found)} strata, none of them uneven (smallest corrected {p_value(lowest)})."
        )
    else:
        finding = "No whole day yet."
    state = CheckState.FAILED if alarms else CheckState.PASSED
    return TrustCheck(f"Sample ratio {title}", state, finding, lowest, _UNEVEN)
