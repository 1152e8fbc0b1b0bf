"""Whether an effect wears off or grows with the days since first exposure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from feed.experiments.design.definitions import Experiment, StoppingRule
from feed.experiments.judgement.estimates import planned_pair
from feed.experiments.judgement.results import Drift, Look, TimeCourse
from feed.experiments.judgement.wording import p_value, percent
from feed.experiments.log.exposure import Window
from feed.experiments.log.summaries import read_drift_moments
from feed.experiments.statistics.aggregates import NO_READERS
from feed.experiments.statistics.multiplicity import adjust_holm_of_all
from feed.experiments.statistics.novelty import estimate_drift
from feed.experiments.statistics.sequential import estimate_sequence

_LEAST_DAYS = 3
"""Fewest whole days since first exposure that have a first and a last third."""


def add_drifts(
    connection: duckdb.DuckDBPyConnection,
    experiment: Experiment,
    window: Window,
    courses: Sequence[TimeCourse],
) -> tuple[TimeCourse, ...]:
    """Test every course for a change of its effect, corrected by Holm over all courses.

    A share of readers is not tested. A reader counts on the first day only, and the more readers
    of a variant have done it, the fewer are left who can: even an effect that is the same on all
    days comes early.
    """
    sequential = experiment.stopping_rule is StoppingRule.SEQUENTIAL
    drifts = []
    for course in courses:
        moments = read_drift_moments(connection, course.metric, window)
        control = moments.get(experiment.control.name, NO_READERS)
        treatment = moments.get(course.treatment, NO_READERS)
        effect = estimate_drift(control, treatment, level=1.0 - experiment.alpha)
        planned = planned_pair(experiment, course.treatment)
        p = estimate_sequence(effect, planned).p_value if sequential else effect.p_value
        third = len(course.since_exposure) // _LEAST_DAYS
        early = _pool(course.since_exposure[:third])
        late = _pool(course.since_exposure[len(course.since_exposure) - third :])
        drifts.append(Drift(effect, p, early, late))
    tested = [place for place, course in enumerate(courses) if not course.metric.once]
    p_values = adjust_holm_of_all([drifts[place].p_value for place in tested])
    corrected = dict(zip(tested, p_values, strict=True))
    return tuple(
        replace(course, drift=replace(drift, p_value=corrected.get(place)))
        for place, (course, drift) in enumerate(zip(courses, drifts, strict=True))
    )


def describe_drift(course: TimeCourse, alpha: float) -> str:
    """Say how the effect changes if that is proven; otherwise return an empty text."""
    drift = course.drift
    if drift is None or drift.p_value is None or drift.p_value >= alpha:
        return ""
    if drift.early is None or drift.late is None:
        return ""
    what = _name_change(drift.early, drift.late)
    title = course.metric.title[0].lower() + course.metric.title[1:]
    return (
        f"{course.treatment}: the effect on {title} {what} with the days since first exposure"
        f" ({p_value(drift.p_value)}): {percent(drift.early, signed=True)} in the first third of"
        f" these days, {percent(drift.late, signed=True)} in the last."
    )


def _name_change(early: float, late: float) -> str:
    """Name the way from the first effect to the last.

    A last effect on the other side of 0 that is less than half as large has worn off: so small, its
    side may be chance. So may that of a first effect of less than a tenth of the last one.
    """
    if early * late < 0 and abs(late) >= abs(early) / 2 and abs(early) >= abs(late) / 10:
        return "turns round"
    return "wears off" if abs(late) < abs(early) else "grows"


def _pool(looks: Sequence[Look]) -> float | None:
    """Return the relative effect of several days together."""
    pairs = [(look.effect.control.mean, look.effect.treatment.mean) for look in looks]
    control = sum(mean or 0.0 for mean, _ in pairs)
    return sum(mean or 0.0 for _, mean in pairs) / control - 1.0 if control > 0 else None
