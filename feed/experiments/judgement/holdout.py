"""Compares the readers of an experiment with the holdout, who are in no experiment."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from feed.experiments.design.assignment import HELD_OUT
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.metrics import Metric
from feed.experiments.judgement.estimates import compare_moments, least_effect
from feed.experiments.judgement.results import HoldoutResult, MetricResult
from feed.experiments.log.exposure import Window
from feed.experiments.log.summaries import read_moments
from feed.experiments.statistics.aggregates import NO_READERS, Moments
from feed.experiments.statistics.sample_ratio import check_sample_ratio

EVERYONE = "everyone in it"
"""Every variant together, weighted by its readers."""


def compare_holdout(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, window: Window
) -> HoldoutResult | None:
    """Compare the experiment's readers with those held out of every experiment.

    Both are random parts of the same readers, chosen by hashes of their own; a held-out reader
    enters, like any other, with the first feed that the experiment could have changed: if the
    traffic grew by steps, after the step that is dealt to the reader (see `create_exposed`).

    Args:
        connection: With `exposed` and `readers`.
        experiment: As registered.
        window: Under analysis.

    Returns:
        The comparison; None when nobody is held out.
    """
    if not experiment.holdout_share:
        return None
    rows = connection.execute(
        "SELECT variant = ?, count(*) FROM exposed WHERE sound GROUP BY 1", [HELD_OUT]
    ).fetchall()
    counts = {bool(held): int(count) for held, count in rows}
    held, inside = counts.get(True, 0), counts.get(False, 0)
    traffic = experiment.opened_until(window.to_at)[-1].traffic
    shares = experiment.holdout_share, (1.0 - experiment.holdout_share) * traffic
    ratio = check_sample_ratio((held, inside), shares)
    names = dict.fromkeys(
        [*experiment.primary_metrics, *(spec.metric for spec in experiment.guardrails)]
    )
    metrics = [metric for metric in map(experiment.metric, names) if not metric.grouped]
    return HoldoutResult(
        held,
        ratio.expected[0],
        ratio.p_value,
        tuple(_compare(connection, experiment, metric) for metric in metrics) if held else (),
    )


def _compare(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, metric: Metric
) -> MetricResult:
    moments = read_moments(connection, metric)
    arms = {arm.name: moments.get((arm.name,), NO_READERS) for arm in experiment.arms}
    together: Moments = sum(arms.values(), NO_READERS)
    outside = moments.get((HELD_OUT,), NO_READERS)
    level, least = 1.0 - experiment.alpha, least_effect(metric)
    return MetricResult(
        metric,
        tuple(
            replace(compare_moments(outside, found, level, least), treatment=name)
            for name, found in {**arms, EVERYONE: together}.items()
        ),
    )
