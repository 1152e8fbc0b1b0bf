"""Who was exposed to which variant since when, from the log of served feeds."""

from __future__ import annotations

import json
from dataclasses import dataclass

import duckdb

from feed.config import DAY_S
from feed.domain import Mode, Rung
from feed.experiments.design.assignment import HELD_OUT, NOT_JOINED
from feed.experiments.design.definitions import Experiment
from feed.experiments.log.local_days import create_day_macro, day_of

BOT_ACTS_A_MINUTE = 20
"""A reader with this many clicks, or reads, or likes ... in one minute is taken for a program,
not a person. Impressions do not count, because scrolling makes many, and neither do custom events,
which a page or a backend may send by itself."""


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
    """Give the queries below the experiment and the window as variables of the session."""
    values = {
        "experiment": f"$.{json.dumps(experiment.name)}",
        "arms": [*(arm.name for arm in experiment.arms), HELD_OUT],
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
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])


def create_requests(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `requests`: one row per served feed of the window, pages of one feed together."""
    connection.execute(_REQUESTS)


def create_exposed(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `exposed`: one row per reader whose feed a variant could have changed.

    A served feed exposes its reader when it carries the experiment, was asked for as
    personalized and was made on a rung where the variants' settings apply. Readers who ever had
    a test override are left out, and so are requests that could not be served as assigned
    (`NOT_JOINED`). The first exposure dates the reader; readers seen in several
    variants, or in one that the definition does not know, are kept here for the trust checks and
    marked as not `sound`. Readers of the holdout are a group of their own, `HELD_OUT`.
    """
    connection.execute(_EXPOSED)
    connection.execute(_BOTS)


def find_planned_look(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> float | None:
    """Return when the planned days are over and the planned readers have come, epoch seconds.

    Depends on who came when, not on what they did; None while readers are missing. Needs
    `exposed`.
    """
    row = connection.execute(
        "SELECT x.first_at FROM exposed AS x LEFT JOIN bots AS b USING (reader)"
        " WHERE x.sound AND x.variant <> ? AND b.reader IS NULL"
        " ORDER BY x.first_at LIMIT 1 OFFSET ?",
        [HELD_OUT, experiment.planned_readers - 1],
    ).fetchone()
    if row is None:
        return None
    return max(experiment.started_at + experiment.planned_days * DAY_S, float(row[0]) + 1.0)


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
        user_id, logged_user_id, moment, platform, language,
        CASE WHEN json_valid(experiments)
             THEN json_extract_string(experiments, getvariable('experiment')) END AS variant
    FROM requests
    WHERE moment >= getvariable('from_at')
      AND mode = getvariable('mode')
      AND list_contains(getvariable('rungs'), rung)
)
SELECT
    CAST(row_number() OVER (ORDER BY user_id) AS INTEGER) AS reader,
    user_id,
    arg_min(variant, moment) AS variant,
    count(DISTINCT variant) AS variants_seen,
    count(DISTINCT variant) = 1
        AND list_contains(getvariable('arms'), arg_min(variant, moment)) AS sound,
    min(moment) AS first_at,
    day_of(min(moment)) AS first_day,
    coalesce(arg_min(platform, moment), '') AS platform,
    coalesce(arg_min(language, moment), '') AS language
FROM dealt
WHERE variant IS NOT NULL AND variant <> getvariable('not_joined')
  AND NOT list_contains(getvariable('excluded'), user_id)
GROUP BY user_id
HAVING NOT bool_or(list_contains(getvariable('excluded'), logged_user_id))
"""

_BOTS = """
CREATE TABLE bots AS
SELECT DISTINCT reader
FROM (
    SELECT
        x.reader, e.kind, floor(epoch(e.occurred_at) / 60) AS minute,
        count(DISTINCT e.event_id) AS acts
    FROM events AS e JOIN exposed AS x USING (user_id)
    WHERE e.kind NOT IN ('impression', 'custom')
    GROUP BY ALL
)
WHERE acts >= getvariable('bot_acts')
"""
