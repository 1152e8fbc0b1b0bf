"""From the log to one row per reader and day, and from there to one row per reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb

from feed.experiments.design.measures import (
    ACTIVITY_COLUMNS,
    RETURN_COLUMNS,
    SESSION_GAP_S,
    SHOWN_COLUMNS,
    Measure,
)
from feed.experiments.design.metrics import Metric
from feed.experiments.log.acts import WITHIN, create_acts, create_custom_days
from feed.features.sections import section_key

TRUST_COLUMNS: dict[str, str] = {
    "repeats": "count(*) FILTER (kind = 'repeat')",
    "events": "count(*) FILTER (kind <> 'view')",
    "keyed": "count(*) FILTER (kind IN ('impression', 'click'))",
    "keyless": "count(*) FILTER (kind IN ('impression', 'click') AND NOT matched)",
    "skewed": "count(*) FILTER (skewed)",
}
"""Columns of a reader's day that only the trust checks read."""

HISTORY = ("no click before", "1 to 9 clicks before", "10 or more clicks before")
"""How much is known of a reader from before the start."""


def create_reader_days(
    connection: duckdb.DuckDBPyConnection,
    metrics: Iterable[Metric],
    section_aliases: Mapping[str, str] | None = None,
) -> None:
    """Create `reader_days`: one row per reader, day and side of the first exposure (`after`).

    Rows before count only from before the start of the experiment, rows after only from the first
    exposure on. An event counts at its moment in `acts`, a repeated one once. Custom events are
    not activity: a page or a backend may send them at any time, and sessions, returns, active days
    and the trust checks must not change with what is tracked. Slots count at the time of their
    feed, even those of a page that was loaded after midnight. A session that was open at the first
    exposure counts on both sides. All spellings of a section count as the one that most articles
    have; `section_aliases` are further names by key. The site's own `metrics` get columns of their
    own. Needs `requests` and `exposed`; creates `acts` as well.
    """
    metrics = list(metrics)
    connection.execute(_latest_articles())
    unite_sections(connection, section_aliases or {})
    create_acts(connection)
    measures = [measure for metric in metrics for measure in metric.measures]
    connection.execute(_activity_days(measures))
    create_custom_days(connection, measures)
    connection.execute(_shown_days())
    connection.execute(_reader_days(metrics))
    connection.execute(
        "DROP TABLE activity_days; DROP TABLE custom_days; DROP TABLE shown_days_table"
    )


def create_readers(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `readers`: one row per exposed reader with sums after and (`pre_...`) before.

    `analysed` marks those who enter the estimates: in one known variant, and no bot. Segments:
    `platform`, `language`, `history`, `seniority`, `favourite_section`.
    """
    found = connection.execute("SELECT * EXCLUDE (reader, day, after) FROM reader_days LIMIT 0")
    summed = [column[0] for column in found.description or ()]
    after = ",\n    ".join(
        f"coalesce(sum({name}) FILTER (d.after), 0) AS {name}" for name in summed
    )
    before = ",\n    ".join(
        f"coalesce(sum({name}) FILTER (NOT d.after), 0) AS pre_{name}" for name in summed
    )
    connection.execute(_FAVOURITES)
    connection.execute(f"""
CREATE TABLE readers AS
WITH totals AS (
    SELECT x.reader, {after}, {before}
    FROM exposed AS x LEFT JOIN reader_days AS d USING (reader)
    GROUP BY x.reader
)
SELECT
    x.* EXCLUDE (reader), t.*,
    b.reader IS NOT NULL AS bot,
    x.sound AND b.reader IS NULL AS analysed,
    coalesce(f.section, '') AS favourite_section,
    CASE WHEN t.pre_events + t.pre_views = 0 THEN 'new' ELSE 'returning' END AS seniority,
    CASE WHEN t.pre_clicks = 0 THEN '{HISTORY[0]}'
         WHEN t.pre_clicks < 10 THEN '{HISTORY[1]}'
         ELSE '{HISTORY[2]}' END AS history
FROM exposed AS x
JOIN totals AS t USING (reader)
LEFT JOIN bots AS b USING (reader)
LEFT JOIN favourites AS f USING (reader)
""")  # noqa: S608 - built from the declarations of this package alone


def _latest_articles() -> str:
    return """
CREATE TABLE latest_articles AS
SELECT
    article_id,
    coalesce(arg_max(section, logged_at), '') AS section,
    coalesce(arg_max(ai_generated, logged_at), 'none') AS ai_generated
FROM articles WHERE NOT deleted GROUP BY article_id
"""


def unite_sections(
    connection: duckdb.DuckDBPyConnection, section_aliases: Mapping[str, str]
) -> None:
    """Give all articles of a section in `latest_articles` the spelling that most of them have."""
    spellings = connection.execute(
        "SELECT section FROM latest_articles GROUP BY 1 ORDER BY count(*) DESC, section"
    ).fetchall()
    chosen: dict[str, str] = {}
    for (spelling,) in spellings:
        section = section_aliases.get(section_key(spelling), spelling)
        name = chosen.setdefault(section_key(section), section)
        if name != spelling:
            connection.execute(
                "UPDATE latest_articles SET section = ? WHERE section = ?", [name, spelling]
            )


def _activity_days(measures: Iterable[Measure]) -> str:
    own = {measure.column: measure.sql for measure in measures if measure.sql and not measure.event}
    columns = ",\n    ".join(
        f"{sql} AS {name}" for name, sql in (ACTIVITY_COLUMNS | TRUST_COLUMNS | own).items()
    )
    return f"""
CREATE TABLE activity_days AS
WITH ordered AS (
    SELECT * EXCLUDE (kind, event),
        CASE WHEN lag(event) OVER neighbours = event AND kind <> 'view' THEN 'repeat'
             ELSE kind END AS kind,
        coalesce(moment - lag(moment) OVER neighbours > {SESSION_GAP_S}
            OR (moment >= first_at AND lag(moment) OVER neighbours < first_at), true)
            AS opens_session
    FROM acts
    WHERE kind <> 'custom' AND {WITHIN}
    WINDOW neighbours AS (PARTITION BY reader ORDER BY moment, event)
)
SELECT reader, day_of(moment) AS day, moment >= first_at AS after,
    {columns}
FROM ordered GROUP BY ALL
"""  # noqa: S608


def _shown_days() -> str:
    columns = ",\n    ".join(
        f"{expression} AS {name}" for name, expression in SHOWN_COLUMNS.items()
    )
    return f"""
CREATE TABLE shown_days_table AS
WITH by_section AS (
    SELECT
        x.reader, day_of(q.moment) AS day,
        q.moment >= x.first_at AS after,
        a.section,
        count(*) AS slots,
        count(*) FILTER (s.trending) AS trending_slots,
        count(*) FILTER (a.ai_generated = 'generated') AS ai_slots,
        count(*) FILTER (s.explored) AS explored_slots
    FROM served AS s JOIN exposed AS x USING (user_id)
    JOIN requests AS q ON q.request = hash(s.request_id) AND q.user_id = s.user_id
    LEFT JOIN latest_articles AS a USING (article_id)
    WHERE s.served_at >= to_timestamp(getvariable('pre_from'))
      AND s.served_at < to_timestamp(getvariable('to_at'))
      AND (q.moment >= x.first_at OR epoch(s.served_at) < getvariable('pre_to'))
    GROUP BY ALL
)
SELECT reader, day, after,
    {columns}
FROM by_section GROUP BY ALL
"""  # noqa: S608


def _reader_days(metrics: Iterable[Metric]) -> str:
    occurred = {metric.numerator: metric.occurred for metric in metrics if metric.occurred}
    own = "".join(f", {sql} AS {name}" for name, sql in occurred.items())
    shown = ",\n    ".join(f"coalesce(s.{name}, 0) AS {name}" for name in SHOWN_COLUMNS)
    returned, returnable = RETURN_COLUMNS
    return f"""
CREATE TABLE reader_days AS
WITH active AS (
    SELECT a.*,
        {shown},
        CAST(coalesce(lead(a.day) OVER following = a.day + 1, false) AND {_NEXT_DAY} AS INTEGER)
            AS {returned},
        CAST({_NEXT_DAY} AS INTEGER) AS {returnable}
    FROM activity_days AS a LEFT JOIN shown_days_table AS s USING (reader, day, after)
    WINDOW following AS (PARTITION BY a.reader, a.after ORDER BY a.day)
), days AS (
    SELECT reader, day, after, coalesce(COLUMNS(* EXCLUDE (reader, day, after)), 0)
    FROM active FULL JOIN custom_days USING (reader, day, after)
)
SELECT *{own} FROM days
WINDOW before AS (PARTITION BY reader, after ORDER BY day
                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
"""  # noqa: S608


_NEXT_DAY = (
    "(a.day + 2 <= day_of("
    "CASE WHEN a.after THEN getvariable('to_at') ELSE getvariable('pre_to') END))"
)

_FAVOURITES = """
CREATE TABLE favourites AS
WITH counted AS (
    SELECT x.reader, a.section, count(*) AS clicks
    FROM events AS e
    JOIN exposed AS x USING (user_id)
    JOIN latest_articles AS a USING (article_id)
    WHERE e.kind = 'click' AND a.section <> ''
      AND e.told_at < getvariable('pre_to')
    GROUP BY ALL
)
SELECT reader, arg_max(section, (clicks, section)) AS section FROM counted GROUP BY reader
"""
