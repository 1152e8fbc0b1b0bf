"""The effect over time and in segments, and the preference of readers shown two rankings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import duckdb

from feed.experiments.design.definitions import Experiment, StoppingRule
from feed.experiments.judgement.estimates import (
    compare_moments,
    effects_by_key,
    least_effect,
    planned_pair,
)
from feed.experiments.judgement.results import (
    Look,
    MetricResult,
    SegmentFamily,
    TeamResult,
    TimeCourse,
)
from feed.experiments.log.exposure import MOST_VALUES, Window, segment_column
from feed.experiments.log.local_days import day_name
from feed.experiments.log.reader_days import HISTORY
from feed.experiments.log.summaries import (
    read_cumulative_moments,
    read_daily_moments,
    read_moments,
)
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import Effect
from feed.experiments.statistics.interaction import check_heterogeneity, check_simpson
from feed.experiments.statistics.interleaving import estimate_preference, follow_preference
from feed.experiments.statistics.multiplicity import adjust_holm_of_all
from feed.experiments.statistics.sequential import estimate_sequence, running_p_values

SEGMENTS = {
    "seniority": "New and returning readers",
    "history": "Clicks before the start",
    "favourite_section": "Section most read before",
    "platform": "Platform",
    "language": "Language",
}
"""Columns of `readers` that split them, and their titles."""

ORDERED = ("new", "returning", *HISTORY)
"""Values that have an order of their own; others come by size."""

LARGEST_SEGMENTS = 10
"""Values of a built-in property that are shown; smaller ones are left out."""

LEAST_READERS = 50
"""Readers a segment needs in both variants to be shown."""


def trace_time(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, window: Window
) -> tuple[TimeCourse, ...]:
    """Follow every primary metric over the days of the experiment, in every treatment."""
    courses = []
    for name in experiment.primary_metrics:
        metric = experiment.metric(name)
        cumulative = read_cumulative_moments(connection, metric, window)
        daily, since = (
            read_daily_moments(connection, metric, window, since_exposure=flag)
            for flag in (False, True)
        )
        control = experiment.control.name
        for arm in experiment.treatments:
            planned = planned_pair(experiment, arm.name)
            compared = control, arm.name, 1.0 - experiment.alpha, least_effect(metric)
            courses.append(
                TimeCourse(
                    metric,
                    arm.name,
                    _cumulative_looks(cumulative, *compared, window, planned),
                    _single_looks(daily, *compared, window.first_day),
                    _single_looks(since, *compared, None),
                )
            )
    return tuple(courses)


def split_segments(
    connection: duckdb.DuckDBPyConnection,
    experiment: Experiment,
    primaries: Sequence[MetricResult],
) -> tuple[SegmentFamily, ...]:
    """Estimate the first primary metric within segments, with a test of their difference."""
    if not primaries:
        return ()
    metric = primaries[0].metric
    families = []
    own = {segment_column(name): f"Attribute “{name}”" for name in experiment.segments}
    for column, title in (SEGMENTS | own).items():
        most = MOST_VALUES + 2 if column in own else LARGEST_SEGMENTS
        moments = {
            key: value
            for key, value in read_moments(connection, metric, [column]).items()
            if key[1]
        }
        for comparison in primaries[0].comparisons:
            effects = effects_by_key(
                moments,
                experiment.control.name,
                comparison.treatment,
                1.0 - experiment.alpha,
                least_effect(metric),
            )
            largest = [
                name
                for name, effect in effects.items()
                if min(effect.control.n, effect.treatment.n) >= LEAST_READERS
            ][:most]
            largest.sort(key=lambda name: ORDERED.index(name) if name in ORDERED else -1)
            shown = {name: effects[name] for name in largest}
            if len(shown) < 2:
                continue
            families.append(
                SegmentFamily(
                    title,
                    metric,
                    comparison.treatment,
                    shown,
                    check_heterogeneity([_on_log_scale(effect) for effect in shown.values()]),
                    check_simpson(comparison.deciding, shown),
                )
            )
    return tuple(families)


def compare_teams(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> tuple[TeamResult, ...]:
    """Compare the two rankings of every interleaving variant by the clicks of the same readers.

    A slot is credited to the ranking that drafted it, which its sources name (`team:<variant>`).
    """
    results = []
    for arm in experiment.arms:
        if not arm.interleaves:
            continue
        a, b = arm.interleaves
        rows = connection.execute(_TEAM_CLICKS, [f"team:{a}", f"team:{b}", arm.name]).fetchall()
        clicks_a, clicks_b = [row[0] for row in rows], [row[1] for row in rows]
        level = 1.0 - experiment.alpha
        preference = estimate_preference(clicks_a, clicks_b, level=level)
        sequence = None
        if experiment.stopping_rule is StoppingRule.SEQUENTIAL:
            planned = max(1, round(experiment.planned_readers * arm.share))
            sequence = follow_preference(preference, planned, level=level)
        p = preference.sign_p_value if sequence is None else sequence.p_value
        results.append(TeamResult(arm.name, a, b, preference, sequence, p))
    corrected = adjust_holm_of_all([result.p_value for result in results])
    return tuple(replace(r, p_value=p) for r, p in zip(results, corrected, strict=True))


def _cumulative_looks(
    moments: dict[str, list[Moments]],
    control: str,
    treatment: str,
    level: float,
    least: float | None,
    window: Window,
    planned: int,
) -> tuple[Look, ...]:
    if control not in moments or treatment not in moments:
        return ()
    effects = [
        compare_moments(before, after, level, least).deciding
        for before, after in zip(moments[control], moments[treatment], strict=True)
    ]
    sequences = [estimate_sequence(effect, planned) for effect in effects]
    smallest = running_p_values([sequence.p_value for sequence in sequences])
    return tuple(
        Look(step, day_name(window.first_day + step), effect, sequence, p_value)
        for step, (effect, sequence, p_value) in enumerate(
            zip(effects, sequences, smallest, strict=True)
        )
    )


def _single_looks(
    moments: dict[str, list[Moments]],
    control: str,
    treatment: str,
    level: float,
    least: float | None,
    first_day: int | None,
) -> tuple[Look, ...]:
    if control not in moments or treatment not in moments:
        return ()
    return tuple(
        Look(
            step,
            str(step) if first_day is None else day_name(first_day + step),
            compare_moments(before, after, level, least).raw,
        )
        for step, (before, after) in enumerate(
            zip(moments[control], moments[treatment], strict=True)
        )
    )


def _on_log_scale(effect: Effect) -> Effect:
    """Return the logarithm of treatment over control, by the delta method.

    Segments differ in how active they are; one relative effect is then many absolute ones.
    """
    control, treatment = effect.control, effect.treatment
    means = (control.mean or 0.0, treatment.mean or 0.0)
    if min(means) <= 0 or effect.standard_error is None:
        return replace(effect, difference=None)
    error = math.hypot(
        math.sqrt(control.variance) / means[0], math.sqrt(treatment.variance) / means[1]
    )
    return replace(effect, difference=math.log(means[1] / means[0]), standard_error=error)


_TEAM_CLICKS = """
WITH clicked AS (
    SELECT DISTINCT user_id, request_id, article_id FROM events WHERE kind = 'click'
)
SELECT
    count(*) FILTER (list_contains(string_split(s.sources, ','), ?)),
    count(*) FILTER (list_contains(string_split(s.sources, ','), ?))
FROM clicked AS c
JOIN readers AS r USING (user_id)
JOIN served AS s USING (request_id, article_id)
WHERE r.analysed AND r.variant = ? AND epoch(s.served_at) >= r.first_at
  AND s.served_at < to_timestamp(getvariable('to_at'))
GROUP BY r.user_id
"""
