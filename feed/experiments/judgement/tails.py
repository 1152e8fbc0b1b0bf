"""Trust check: whether a few heavy readers make an interval err on one side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import duckdb

from feed.experiments.design.definitions import Experiment
from feed.experiments.judgement.results import CheckState, Comparison, MetricResult, TrustCheck
from feed.experiments.judgement.wording import number, percent
from feed.experiments.log.summaries import columns_of
from feed.experiments.statistics.effects import Effect

TOLERATED = 0.0125
"""Error of one side of a 95 % interval, beyond its 2.5 %, that is worth a warning."""

_SIDE = 1.959964


def one_sided_error(skewness: float, n_control: int, n_treatment: int) -> float:
    """Return by how much one side of a 95 % interval errs more than its 2.5 %.

    The first term of the Edgeworth expansion of Student's statistic, with the skewness of a
    difference of two means: it vanishes between variants of one size, however heavy the tail,
    and not between a small one and a large one.

    Source: Johnson (1978), Modified t tests and confidence intervals for asymmetrical
    populations; Hall (1992), The bootstrap and Edgeworth expansion, section 2.6.

    Args:
        skewness: Of the metric over readers.
        n_control: Readers in control.
        n_treatment: Readers in treatment.

    Returns:
        The error, 0 or more, as a probability; an approximation, above .1 too large.
    """
    spread = 1.0 / n_control + 1.0 / n_treatment
    of_difference = skewness * (1.0 / n_treatment**2 - 1.0 / n_control**2) / spread**1.5
    density = math.exp(-(_SIDE**2) / 2.0) / math.sqrt(2.0 * math.pi)
    return float(abs(of_difference) * (2.0 * _SIDE**2 + 1.0) / 6.0 * density)


def check_tails(
    connection: duckdb.DuckDBPyConnection,
    experiment: Experiment,
    primaries: Sequence[MetricResult],
) -> list[TrustCheck]:
    """Warn where a variant is too small for how unequal its readers are.

    Args:
        connection: With `readers`.
        experiment: As registered.
        primaries: Their estimates; the deciding ones are checked.

    Returns:
        One check; none where there is no estimate.
    """
    errors = {
        (result.metric.title, found.treatment): _error(connection, experiment, result, found)
        for result in primaries
        for found in result.comparisons
        if found.deciding.standard_error is not None
    }
    if not errors:
        return []
    (title, treatment), (error, skewness) = max(errors.items(), key=lambda item: item[1][0])
    finding = f"{title} has a skewness of {number(skewness, 1)} over readers"
    if error <= TOLERATED:
        return [
            TrustCheck(
                "Heavy readers",
                CheckState.PASSED,
                f"{finding}: with this many readers, one side of a 95 % interval is wrong at"
                f" most {percent(error)} more often than the intended 2.5 %.",
            )
        ]
    return [
        TrustCheck(
            "Heavy readers",
            CheckState.WARNING,
            f"{finding}: too much for the few readers in {treatment}. One side of its intervals is"
            " wrong more often than stated. Wait for more readers, or use a winsorised metric.",
        )
    ]


def _error(
    connection: duckdb.DuckDBPyConnection,
    experiment: Experiment,
    result: MetricResult,
    found: Comparison,
) -> tuple[float, float]:
    """Return the error and the skewness of what a reader adds to the deciding estimate."""
    columns = columns_of(connection, result.metric)
    value = _residual(connection, columns.numerator, columns.denominator)
    if found.adjusted is not None:
        before = _residual(connection, columns.covariate, columns.covariate_denominator)
        value = f"({value}) - {found.adjusted.slope!r} * ({before})"
    names = [experiment.control.name, found.treatment]
    row = connection.execute(
        f"SELECT skewness({value}) FROM readers"  # noqa: S608 - from declarations and numbers
        " WHERE analysed AND list_contains(?, variant)",
        [names],
    ).fetchone()
    skewness = float(row[0]) if row and row[0] is not None and math.isfinite(row[0]) else 0.0
    return one_sided_error(skewness, *_sizes(found.deciding)), skewness


def _residual(connection: duckdb.DuckDBPyConnection, above: str, below: str) -> str:
    """Return the SQL of a reader's part in a ratio of means, linearised."""
    row = connection.execute(
        f"SELECT avg({above}), avg({below}) FROM readers WHERE analysed"  # noqa: S608
    ).fetchone()
    mean_above, mean_below = (float(value or 0.0) for value in row or (0.0, 0.0))
    if mean_below == 0:
        return "0.0"
    return f"({above} - {mean_above / mean_below!r} * {below}) / {mean_below!r}"


def _sizes(effect: Effect) -> tuple[int, int]:
    return effect.control.n, effect.treatment.n
