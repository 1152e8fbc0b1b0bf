"""Moments of any metric by variant, segment, day and age of exposure, summed in SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from feed.experiments.design.measures import Measure
from feed.experiments.design.metrics import Metric, MetricKind
from feed.experiments.log.acts import WITHIN
from feed.experiments.log.exposure import Window
from feed.experiments.statistics.aggregates import GROUPS, NO_READERS, PAIRS, Moments

_LEAST_IN_GROUP = 20

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """A metric as four SQL expressions over `readers`: itself and its covariate."""

    numerator: str
    denominator: str
    covariate: str
    covariate_denominator: str

    @property
    def all(self) -> tuple[str, str, str, str]:
        """The four in the order of `aggregates.VARIABLES`."""
        return self.numerator, self.denominator, self.covariate, self.covariate_denominator


def columns_of(connection: duckdb.DuckDBPyConnection, metric: Metric) -> Columns:
    """Return the SQL of a metric that every reader has, its winsorisation included."""
    above, before = metric.numerator, f"pre_{metric.numerator}"
    if metric.winsorise:
        above = f"least({above}, {_cap(connection, above, metric.winsorise)!r})"
        before = f"least({before}, {_cap(connection, before, metric.winsorise)!r})"
    if not metric.denominator:
        return Columns(above, "1.0", before, "1.0")
    return Columns(above, metric.denominator, before, f"pre_{metric.denominator}")


def read_moments(
    connection: duckdb.DuckDBPyConnection, metric: Metric, by: Sequence[str] = ()
) -> dict[Key, Moments]:
    """Return the moments of a metric by variant and any further columns of `readers`.

    Args:
        connection: With `readers`.
        metric: One that every reader has.
        by: Columns beside the variant.

    Returns:
        Moments by (variant, *by); groups without an analysed reader are missing.
    """
    variables = columns_of(connection, metric).all
    return _read_sums(connection, variables, by)


def read_covariate_moments(
    connection: duckdb.DuckDBPyConnection, metric: Metric
) -> dict[Key, Moments]:
    """Return the moments of a metric as it was before the start, by variant."""
    columns = columns_of(connection, metric)
    variables = (columns.covariate, columns.covariate_denominator, "0.0", "1.0")
    return _read_sums(connection, variables, ())


def read_share_moments(
    connection: duckdb.DuckDBPyConnection, numerator: str, denominator: str, *, where: str = "sound"
) -> dict[Key, Moments]:
    """Return the moments of a ratio of two columns of `readers`, by variant."""
    return _read_sums(connection, (numerator, denominator, "0.0", "1.0"), (), where)


def read_cumulative_moments(
    connection: duckdb.DuckDBPyConnection, metric: Metric, window: Window
) -> dict[str, list[Moments]]:
    """Return by variant the moments as they stood at the end of each day of the window.

    A reader's totals stay what they are from one day with activity until the next one: they are
    added on the first of the two days and taken away on the second. The sum of these changes up to
    a day is what all readers had at its end.
    """
    columns = columns_of(connection, metric)
    above, below = f"sum(d.{metric.numerator}) OVER so_far", "1.0"
    if metric.winsorise:
        above = f"least({above}, {_cap(connection, metric.numerator, metric.winsorise)!r})"
    if metric.denominator:
        below = f"sum(d.{metric.denominator}) OVER so_far"
    rows = connection.execute(
        f"""
WITH totals AS (
    SELECT r.variant, d.day, lead(d.day) OVER so_far AS next_day,
        CAST({above} AS DOUBLE) AS v0,
        CAST({below} AS DOUBLE) AS v1,
        CAST({columns.covariate} AS DOUBLE) AS v2,
        CAST({columns.covariate_denominator} AS DOUBLE) AS v3
    FROM reader_days AS d JOIN readers AS r USING (reader)
    WHERE d.after AND r.analysed
    WINDOW so_far AS (PARTITION BY reader ORDER BY d.day)
), changes AS (
    SELECT variant, CASE WHEN sign > 0 THEN day ELSE next_day END AS day, sign, v0, v1, v2, v3
    FROM totals, (VALUES (1), (-1)) AS signs(sign)
    WHERE sign > 0 OR next_day IS NOT NULL
)
SELECT variant, day, sum(sign), {_moment_sums("sign * ")} FROM changes GROUP BY ALL
"""  # noqa: S608
    ).fetchall()
    length = window.last_day - window.first_day + 1
    tables: dict[str, np.ndarray] = {}
    for variant, day, *sums in rows:
        table = tables.setdefault(variant, np.zeros((length, 15)))
        table[min(max(day - window.first_day, 0), length - 1)] += np.asarray(sums, dtype=float)
    return {
        name: [_from_row(row) for row in table.cumsum(axis=0)] for name, table in tables.items()
    }


def read_daily_moments(
    connection: duckdb.DuckDBPyConnection, metric: Metric, window: Window, *, since_exposure: bool
) -> dict[str, list[Moments]]:
    """Return by variant the moments of single days, by calendar or by days since exposure.

    A reader without activity on a day counts with zeros: everyone exposed by then (by calendar),
    or exposed long enough ago to have had that day in full (since exposure). The last day is left
    out when the window does not hold it whole.
    """
    above = f"d.{metric.numerator}"
    below = f"d.{metric.denominator}" if metric.denominator else "1.0"
    step = "d.day - r.first_day" if since_exposure else "d.day"
    rows = connection.execute(
        f"""
SELECT r.variant, {step} AS step, sum({above}), sum({below}),
    sum({above} * {above}), sum({above} * {below}), sum({below} * {below})
FROM reader_days AS d JOIN readers AS r USING (reader)
WHERE d.after AND r.analysed AND d.day < $full GROUP BY ALL
""",  # noqa: S608
        {"full": window.full_day},
    ).fetchall()
    arrivals = connection.execute(
        "SELECT variant, first_day, count(*) FROM readers WHERE analysed GROUP BY ALL"
    ).fetchall()
    full_days = window.full_day - window.first_day
    offset = 0 if since_exposure else window.first_day
    found: dict[str, list[Moments]] = {}
    for variant in {row[0] for row in arrivals}:
        sums = {step - offset: values for name, step, *values in rows if name == variant}
        came = {day - window.first_day: n for name, day, n in arrivals if name == variant}
        found[variant] = [
            _from_day(
                _present(came, day, full_days, since_exposure=since_exposure),
                sums.get(day, [0.0] * 5),
                plain=not metric.denominator,
            )
            for day in range(full_days)
        ]
    return found


def read_drift_moments(
    connection: duckdb.DuckDBPyConnection, metric: Metric, window: Window
) -> dict[str, Moments]:
    """Return by variant the moments of when the metric came, in days since first exposure.

    Each reader has two sums over the days since first exposure that the window holds in full: of
    the metric's numerator, weighted by the day less the middle of the reader's days, and not
    weighted; likewise of its denominator. Readers with fewer than two such days are left out.
    """
    day = "(d.day - r.first_day - ($full - r.first_day - 1) / 2.0)"
    sums = [f"sum({day} * d.{metric.numerator})", f"sum(d.{metric.numerator})"]
    if metric.denominator:
        sums += [f"sum({day} * d.{metric.denominator})", f"sum(d.{metric.denominator})"]
    else:
        sums += ["0.0", "1.0"]
    named = ", ".join(f"CAST(coalesce({sql}, 0) AS DOUBLE) AS v{i}" for i, sql in enumerate(sums))
    rows = connection.execute(
        f"WITH chosen AS (SELECT r.reader, any_value(r.variant) AS variant, {named}"  # noqa: S608
        " FROM readers AS r LEFT JOIN reader_days AS d"
        " ON d.reader = r.reader AND d.after AND d.day < $full"
        " WHERE r.analysed AND r.first_day <= $full - 2 GROUP BY r.reader)"
        f" SELECT variant, count(*), {_moment_sums()} FROM chosen GROUP BY variant",
        {"full": window.full_day},
    ).fetchall()
    return {str(name): _from_row(np.asarray(row, dtype=float)) for name, *row in rows}


def count_analysed(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return the readers in the estimates, by variant."""
    rows = connection.execute(
        "SELECT variant, count(*) FROM readers WHERE analysed GROUP BY 1"
    ).fetchall()
    return {str(variant): int(count) for variant, count in rows}


def read_group_values(
    connection: duckdb.DuckDBPyConnection,
    metric: Metric,
    variants: Collection[str],
    *,
    most: int = GROUPS,
) -> dict[str, list[float]]:
    """Return the values of a grouped metric by variant, one for each group of readers.

    All groups are of one size, whatever the variants' shares: a group of more readers is shown
    more different articles. The variant with the fewest readers is cut into `most` groups, or fewer
    so that each has twenty readers, and the others into as many groups of that size as they fill.
    Readers are dealt by a hash of their ids; those who do not fill a group are left out. Without
    two groups in every variant there are none.
    """
    counts = count_analysed(connection)
    smallest = min(counts.get(name, 0) for name in variants)
    groups = min(most, smallest // _LEAST_IN_GROUP)
    if groups < 2:
        return {}
    size = smallest // groups
    number = "count(DISTINCT value)"
    if metric.kind is MetricKind.QUANTILE:
        number = f"quantile_cont(value, {metric.quantile!r})"
    rows = connection.execute(
        f"""
WITH members AS (
    SELECT reader, user_id, variant, first_at AS first_moment,
        (row_number() OVER (PARTITION BY variant ORDER BY hash(user_id)) - 1) // $size AS part,
        count(*) OVER (PARTITION BY variant) // $size AS parts
    FROM readers WHERE analysed AND list_contains($variants, variant)
    QUALIFY part < parts
)
SELECT variant, part, {number} FROM ({_single_values(metric.measure)}) GROUP BY variant, part
""",  # noqa: S608
        {"variants": list(variants), "size": size},
    ).fetchall()
    values: dict[str, list[float]] = {}
    for variant, _, value in sorted(rows):
        if value is not None and np.isfinite(value):
            values.setdefault(variant, []).append(float(value))
    return values


def _single_values(measure: Measure) -> str:
    """Return the SQL of the values, one row each, that every group of `members` has."""
    if measure.of == "articles":
        return (
            "SELECT DISTINCT m.variant, m.part, s.article_id AS value"
            " FROM served AS s JOIN members AS m USING (user_id)"
            " WHERE epoch(s.served_at) >= m.first_moment"
            " AND s.served_at < to_timestamp(getvariable('to_at'))"
        )
    if measure.of == "latency":
        return (
            "SELECT m.variant, m.part, q.latency_ms AS value"
            " FROM requests AS q JOIN members AS m USING (user_id)"
            " WHERE q.moment >= m.first_moment"
        )
    return (
        "SELECT variant, part, arg_min(amount, moment) AS value"  # noqa: S608 - checked names
        f" FROM acts JOIN members USING (reader) WHERE {measure.condition} AND {WITHIN}"
        " GROUP BY variant, part, reader, event, first_moment HAVING min(moment) >= first_moment"
    )


def _read_sums(
    connection: duckdb.DuckDBPyConnection,
    variables: Sequence[str],
    by: Sequence[str],
    where: str = "analysed",
) -> dict[Key, Moments]:
    keys = ["variant", *by]
    named = ", ".join(f"CAST({sql} AS DOUBLE) AS v{i}" for i, sql in enumerate(variables))
    rows = connection.execute(
        f"WITH chosen AS (SELECT {', '.join(keys)}, {named} FROM readers WHERE {where})"  # noqa: S608
        f" SELECT {', '.join(keys)}, count(*), {_moment_sums()} FROM chosen GROUP BY ALL"
    ).fetchall()
    width = len(keys)
    return {
        tuple(str(part) for part in row[:width]): _from_row(np.asarray(row[width:], dtype=float))
        for row in rows
    }


def _moment_sums(weight: str = "") -> str:
    """Return the SQL of the weighted sums of v0 to v3 and of their products."""
    factors = [f"v{i}" for i in range(4)] + [f"v{row} * v{column}" for row, column in PAIRS]
    return ", ".join(f"sum({weight}{factor})" for factor in factors)


def _from_row(row: np.ndarray) -> Moments:
    return Moments.from_sums(round(row[0]), row[1:5].tolist(), row[5:].tolist())


def _cap(connection: duckdb.DuckDBPyConnection, column: str, quantile: float) -> float:
    """Return the quantile of the positive values, all variants together."""
    found = connection.execute(
        f"SELECT quantile_cont({column}, {quantile!r}) FROM readers"  # noqa: S608
        f" WHERE analysed AND {column} > 0"
    ).fetchone()
    return float(found[0]) if found and found[0] is not None else 0.0


def _present(came: dict[int, int], day: int, full_days: int, *, since_exposure: bool) -> int:
    if since_exposure:
        return sum(n for first, n in came.items() if first + day < full_days)
    return sum(n for first, n in came.items() if first <= day)


def _from_day(n: int, values: Sequence[float], *, plain: bool) -> Moments:
    if n == 0:
        return NO_READERS
    above, below, squares, cross, below_squares = (float(value) for value in values)
    if plain:
        below, cross, below_squares = float(n), above, float(n)
    products = [squares, cross, 0.0, above, below_squares, 0.0, below, 0.0, 0.0, float(n)]
    return Moments.from_sums(n, [above, below, 0.0, float(n)], products)
