"""What readers did and when it counts: the stream that a reader's days are summed from."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from feed.experiments.design.measures import LONGEST_DWELL_S, Measure


def create_acts(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the view `acts`: events and feed views of exposed readers, repeated ones included.

    `amount` is the seconds of a read or the value of a custom event. An event counts at its
    `moment`: when it was told to have happened (see `exposure`), but never before the feed that it
    belongs to. Needs `requests` and `exposed`.
    """
    connection.execute(_ACTS)


def create_custom_days(connection: duckdb.DuckDBPyConnection, measures: Iterable[Measure]) -> None:
    """Create `custom_days`: what is measured of custom events, by reader, day and `after`.

    A repeated event counts once, when it first came. Needs `acts`.
    """
    custom = [measure for measure in measures if measure.event]
    columns = {measure.column: measure.sql for measure in custom}
    sums = "".join(f", {sql} AS {name}" for name, sql in columns.items())
    names = ", ".join(sorted({f"'{measure.event}'" for measure in custom}))
    which = f"kind = 'custom' AND name IN ({names})" if names else "false"
    connection.execute(f"""
CREATE TABLE custom_days AS
WITH once AS (
    SELECT reader, first_at, kind, name, min(moment) AS moment,
        arg_min(amount, moment) AS amount
    FROM acts
    WHERE {which} AND {WITHIN}
    GROUP BY reader, first_at, kind, name, event
)
SELECT reader, day_of(moment) AS day, moment >= first_at AS after{sums} FROM once GROUP BY ALL
""")  # noqa: S608 - the names of events are checked where measures are made


WITHIN = """moment >= getvariable('pre_from') AND moment < getvariable('to_at')
      AND (moment >= first_at OR moment < getvariable('pre_to'))"""
"""Whether an act counts: it lies in the window or in the time before the start, as SQL."""

_ACTS = f"""
CREATE VIEW acts AS
WITH told AS (
    SELECT
        x.reader, x.first_at, e.kind, e.name,
        hash(e.event_id) AS event,
        CASE WHEN e.request_id IS NULL OR e.request_id = '' THEN NULL
             ELSE hash(e.request_id) END AS request,
        e.skewed, e.told_at,
        CASE WHEN e.kind = 'custom' THEN e.value
             WHEN isfinite(e.dwell_s) AND e.dwell_s > 0
             THEN least(e.dwell_s, {LONGEST_DWELL_S}) ELSE 0 END AS amount
    FROM events AS e JOIN exposed AS x USING (user_id)
), asked AS (
    SELECT request, min(moment) AS moment FROM requests GROUP BY request
)
SELECT
    t.reader, t.first_at, t.kind, t.name, t.event, t.amount,
    t.skewed,
    q.request IS NOT NULL AS matched,
    greatest(t.told_at, q.moment) AS moment,
    false AS fallback
FROM told AS t LEFT JOIN asked AS q USING (request)
UNION ALL
SELECT x.reader, x.first_at, 'view', '', q.request, 0, false, true, q.moment,
    q.mode = getvariable('mode') AND NOT list_contains(getvariable('rungs'), q.rung)
FROM requests AS q JOIN exposed AS x USING (user_id)
"""  # noqa: S608 - a number of this package alone
