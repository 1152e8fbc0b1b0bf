"""Who was exposed to which variant since when, from the log of served feeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from feed.config import DAY_S
from feed.domain import Mode, Rung
from feed.experiments.design.assignment import HELD_OUT, NOT_JOINED
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.traffic import count_buckets
from feed.experiments.log.local_days import create_day_macro, day_of

BOT_ACTS_A_MINUTE = 20
"""A reader with this many clicks, or reads, or likes ... in one minute is taken for a program,
not a person. Impressions do not count, because scrolling makes many, and neither do custom events,
which a page or a backend may send by itself."""

MOST_VALUES = 20
"""Values of one attribute by which readers are split; the rest are `OTHER`."""
NOT_KNOWN, OTHER = "not known", "other"


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time under analysis, epoch seconds; `to_at` is not included.

    Attributes:
        pre_from: Begin of the period before the start, where the covariate comes from.
        from_at: Begin of the analysis.
        to_at: End of the analysis.
        started_at: Begin of the experiment, if the analysis begins later; 0: both begin at once.
        zone: IANA name of the newsroom's time zone, whose days are counted.
    """

    pre_from: float
    from_at: float
    to_at: float
    started_at: float = 0.0
    zone: str = "UTC"

    @property
    def pre_to(self) -> float:
        """End of the period before the start: nobody had been treated by then."""
        return self.started_at or self.from_at

    @property
    def first_day(self) -> int:
        """The first day, counted from the epoch."""
        return day_of(self.from_at, self.zone)

    @property
    def full_day(self) -> int:
        """The first day that the window does not hold to its end."""
        return day_of(self.to_at, self.zone)

    @property
    def last_day(self) -> int:
        """The day that holds the last moment."""
        return day_of(self.to_at - 1e-6, self.zone)


def set_variables(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, window: Window
) -> None:
    """Give the queries below the experiment and the window, as variables of the session.

    From now on they see no event of after the window, so that nothing of it changes a report on
    the window.
    """
    values = {
        "experiment": f"$.{json.dumps(experiment.name)}",
        "arms": [*(arm.name for arm in experiment.arms), HELD_OUT],
        "held_out": HELD_OUT,
        "not_joined": NOT_JOINED,
        "excluded": sorted({*experiment.excluded, *experiment.overrides}),
        "pre_from": window.pre_from,
        "pre_to": window.pre_to,
        "from_at": window.from_at,
        "to_at": window.to_at,
        "rungs": [Rung.PERSONALIZED.value, Rung.WITHOUT_MODEL.value],
        "mode": Mode.PERSONALIZED.value,
        "bot_acts": BOT_ACTS_A_MINUTE,
    }
    create_day_macro(connection, window.zone)
    _create_opening_macro(connection, experiment, window)
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])
    connection.execute(_EVENTS)


def _create_opening_macro(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, window: Window
) -> None:
    """Let queries call `opening_of(user_id)`: when a held-out reader could have joined.

    If the traffic grew, most readers joined late. Readers of the holdout must not count from the
    start on then, so they are dealt over the steps in the same proportions.
    """
    steps = experiment.opened_until(window.to_at)
    last = count_buckets(steps[-1].traffic)
    cases = " ".join(
        f"WHEN hash('opening', user_id) % {last} < {count_buckets(step.traffic)} THEN {step.at!r}"
        for step in steps
    )
    connection.execute(f"CREATE OR REPLACE TEMP MACRO opening_of(user_id) AS CASE {cases} END")


def create_requests(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `requests`: one row per served feed of the window, pages of one feed together."""
    connection.execute(_REQUESTS)


def create_exposed(connection: duckdb.DuckDBPyConnection, segments: Sequence[str] = ()) -> None:
    """Create `exposed`: one row per reader whose feed a variant could have changed.

    A served feed exposes its reader when it carries the experiment, was asked for as
    personalized and was made on a rung where the variants' settings apply. Readers who ever had
    a test override are left out, and so are requests that could not be served as assigned
    (`NOT_JOINED`). The first exposure dates the reader. It also says which attributes the reader
    has: for each of `segments` there is a column (see `segment_column`) with the value,
    `NOT_KNOWN`, or `OTHER` for all values but the `MOST_VALUES` that most readers have. Readers
    seen in several
    variants, or in one that the definition does not know, are kept here for the trust checks and
    marked as not `sound`. Readers of the holdout are a group of their own, `HELD_OUT`. If the
    traffic grew by steps, held-out readers enter by the same steps.
    """
    connection.execute(_EXPOSED)
    for name in segments:
        connection.execute(_add_segment(name))
    connection.execute("ALTER TABLE exposed DROP attributes")
    connection.execute(_BOTS)


def segment_column(name: str) -> str:
    """Return the column of `exposed`, and so of `readers`, that holds an attribute."""
    return f"attribute_{name}"


def _add_segment(name: str) -> str:
    column, value = segment_column(name), f"json_extract_string(attributes, '$.{name}')"
    return f"""
ALTER TABLE exposed ADD COLUMN {column} VARCHAR;
WITH largest AS (
    SELECT {value} AS value FROM exposed
    WHERE value IS NOT NULL GROUP BY value ORDER BY count(*) DESC, value LIMIT {MOST_VALUES}
)
UPDATE exposed SET {column} = CASE
    WHEN {value} IS NULL THEN '{NOT_KNOWN}'
    WHEN {value} IN (SELECT value FROM largest) THEN {value}
    ELSE '{OTHER}' END
"""  # noqa: S608 - the name was checked, the rest are constants


def find_planned_look(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> float | None:
    """Return when the planned days are over and the planned readers have come, epoch seconds.

    A reader who is taken for a program, or is shown a second variant, counts until then, and not
    any more from then on, so nothing that happens after the look moves it. None while readers are
    missing. Needs `exposed`.
    """
    row = connection.execute(
        _PLANNED_LOOK,
        {
            "days_over": experiment.started_at + experiment.planned_days * DAY_S,
            "planned": experiment.planned_readers,
        },
    ).fetchone()
    return None if row is None or row[0] is None else float(row[0])


_EVENTS = """
CREATE OR REPLACE TEMP VIEW events AS
SELECT * FROM (
    SELECT *,
        abs(epoch(received_at) - epoch(occurred_at)) > 86400 AS skewed,
        CASE WHEN abs(epoch(received_at) - epoch(occurred_at)) > 86400 THEN epoch(received_at)
             ELSE least(epoch(occurred_at), epoch(received_at)) END AS told_at
    FROM memory.main.events
)
WHERE told_at < getvariable('to_at')
"""
"""An event was `told_at` when it happened, unless the clock that told so is more than a day off:
then when it came."""

_REQUESTS = """
CREATE TABLE requests AS
SELECT
    hash(request_id) AS request,
    user_id,
    any_value(logged_user_id) AS logged_user_id,
    min(epoch(served_at)) AS moment,
    any_value(experiments) AS experiments,
    any_value(mode) AS mode,
    any_value(rung) AS rung,
    any_value(model_version) AS model_version,
    any_value(platform) AS platform,
    any_value(language) AS language,
    any_value(section) AS section,
    any_value(attributes) AS attributes,
    arg_min(latency_ms, served_at) AS latency_ms
FROM served
WHERE served_at >= to_timestamp(getvariable('pre_from'))
  AND served_at < to_timestamp(getvariable('to_at'))
GROUP BY ALL
"""

_EXPOSED = """
CREATE TABLE exposed AS
WITH dealt AS (
    SELECT
        user_id, logged_user_id, moment, platform, language, attributes,
        CASE WHEN json_valid(experiments)
             THEN json_extract_string(experiments, getvariable('experiment')) END AS variant
    FROM requests
    WHERE moment >= getvariable('from_at')
      AND mode = getvariable('mode')
      AND list_contains(getvariable('rungs'), rung)
), joined AS (
    SELECT *, arg_min(variant, moment) OVER (PARTITION BY user_id) AS first_variant
    FROM dealt
    WHERE variant IS NOT NULL AND variant <> getvariable('not_joined')
      AND (variant <> getvariable('held_out') OR moment >= opening_of(user_id))
      AND NOT list_contains(getvariable('excluded'), user_id)
)
SELECT
    CAST(row_number() OVER (ORDER BY user_id) AS INTEGER) AS reader,
    user_id,
    arg_min(variant, moment) AS variant,
    count(DISTINCT variant) AS variants_seen,
    min(moment) FILTER (WHERE variant <> first_variant) AS strayed_at,
    strayed_at IS NULL AND list_contains(getvariable('arms'), any_value(first_variant)) AS sound,
    min(moment) AS first_at,
    day_of(min(moment)) AS first_day,
    coalesce(arg_min(platform, moment), '') AS platform,
    coalesce(arg_min(language, moment), '') AS language,
    arg_min(attributes, moment) AS attributes
FROM joined
GROUP BY user_id
HAVING NOT bool_or(list_contains(getvariable('excluded'), logged_user_id))
"""

_BOTS = """
CREATE TABLE bots AS
WITH acts AS (
    SELECT x.reader, e.kind, floor(epoch(e.occurred_at) / 60) AS minute, min(e.told_at) AS told_at
    FROM events AS e JOIN exposed AS x USING (user_id)
    WHERE e.kind NOT IN ('impression', 'custom')
    GROUP BY x.reader, e.kind, minute, e.event_id
), minutes AS (
    SELECT reader, min(told_at, getvariable('bot_acts'))[getvariable('bot_acts')] AS found_at
    FROM acts GROUP BY reader, kind, minute
)
SELECT reader, min(found_at) AS found_at FROM minutes WHERE found_at IS NOT NULL GROUP BY reader
"""

_PLANNED_LOOK = """
WITH members AS (
    SELECT x.first_at + 1 AS came_at, least(b.found_at, x.strayed_at) AS went_at
    FROM exposed AS x LEFT JOIN bots AS b USING (reader)
    WHERE list_contains(getvariable('arms'), x.variant) AND x.variant <> getvariable('held_out')
      AND coalesce(went_at >= came_at, true)
), changes AS (
    SELECT $days_over AS moment, 0 AS change
    UNION ALL SELECT came_at, 1 FROM members
    UNION ALL SELECT went_at, -1 FROM members WHERE went_at IS NOT NULL
), counted AS (
    SELECT moment,
        sum(change) OVER (ORDER BY moment, change DESC ROWS UNBOUNDED PRECEDING) AS readers
    FROM changes
)
SELECT min(moment) FROM counted WHERE moment >= $days_over AND readers >= $planned
"""
"""A look at a moment sees what happened before it: who goes at that moment still counts."""
