"""An archive of simulated readers whose true effect is known, to test the reports by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from feed.config import DAY_S
from feed.domain import format_time
from feed.experiments.design.assignment import HELD_OUT

SLOTS = 20
"""Slots of one simulated feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is true in a simulated archive.

    Attributes:
        experiment: Name that served feeds carry.
        variants: Control first; readers are dealt evenly.
        readers: Readers in all variants together.
        start_at: When the experiment starts, epoch seconds, at a midnight.
        days: Days of the experiment.
        pre_days: Days before it.
        lift: Relative change of clicks, and with them of everything read, outside control.
        lifted_days: Days of the experiment after which the change is gone; all of them if 0.
        steps: Days of the experiment and the share of the readers who are in it from then on; all
            of them from the start on if empty.
        held_out: Share of all readers kept out of the experiment.
        visits: Chance that a reader comes on a day.
        lost_exposures: Share of treatment's readers whose served feeds were never logged.
        lost_keys: Share of treatment's events that lost their request id.
        repeated: Share of treatment's events that were filed twice.
        fallbacks: Share of treatment's feeds made on a lower rung.
        seed: Of everything drawn.
    """

    experiment: str
    variants: tuple[str, ...] = ("control", "treatment")
    readers: int = 2000
    start_at: float = 20_000 * DAY_S
    days: int = 14
    pre_days: int = 14
    lift: float = 0.0
    lifted_days: int = 0
    steps: tuple[tuple[int, float], ...] = ()
    held_out: float = 0.0
    visits: float = 0.5
    lost_exposures: float = 0.0
    lost_keys: float = 0.0
    repeated: float = 0.0
    fallbacks: float = 0.0
    seed: int = 1


def write_simulated_log(data_dir: Path, world: World) -> None:
    """Write `archive/` of a data directory as the worker would, with readers of a known kind.

    A reader has a fixed taste for clicking and for coming; a feed of 20 slots is examined from
    the top, at a geometric depth; a clicked article is read, log-normally long.
    """
    connection = duckdb.connect(config={"preserve_insertion_order": False})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    for name in _SHARES:
        connection.execute(f"SET VARIABLE {name} = ?", [getattr(world, name)])
    connection.execute("SET VARIABLE kept_out = ?", [HELD_OUT])
    connection.execute("SET VARIABLE variants = ?", [list(world.variants)])
    connection.execute("SET VARIABLE experiment = ?", [world.experiment])
    connection.execute(_MACROS)
    connection.execute(_READERS, [world.readers])
    archive = data_dir / "archive"
    _copy(connection, _ARTICLES, archive / "articles", world.start_at)
    first_day = int(world.start_at // DAY_S)
    for day in range(first_day - world.pre_days, first_day + world.days):
        connection.execute("SET VARIABLE day = ?", [day])
        connection.execute("SET VARIABLE running = ?", [day >= first_day])
        opened = [share for at, share in world.steps if at <= day - first_day]
        connection.execute("SET VARIABLE opened = ?", [opened[-1] if opened else 1.0])
        lifted = not world.lifted_days or day < first_day + world.lifted_days
        connection.execute("SET VARIABLE lift = ?", [world.lift if lifted else 0.0])
        connection.execute(_SLOTS)
        _copy(connection, _SERVED, archive / "served", day * DAY_S)
        _copy(connection, _EVENTS, archive / "events", day * DAY_S)
    connection.close()


def _copy(connection: duckdb.DuckDBPyConnection, query: str, table: Path, at: float) -> None:
    folder = table / f"day={format_time(at)[:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    target = str(folder / "simulated.parquet")
    connection.sql(query).write_parquet(target, compression="zstd")


_SHARES = (
    "seed", "lift", "held_out", "visits", "lost_exposures", "lost_keys", "repeated", "fallbacks",
)  # fmt: skip

_MACROS = """
CREATE MACRO draw(what, a, b, c) AS
    hash(what, getvariable('seed'), a, b, c) / 18446744073709551616.0;
CREATE MACRO bell(what, a, b) AS sqrt(-2 * ln(1 - draw(what, a, b, 0) * 0.999999))
    * cos(2 * pi() * draw(what, a, b, 1));
"""

_READERS = """
CREATE TABLE people AS
SELECT
    i AS person,
    'reader-' || i AS user_id,
    1 + CAST(floor(draw('variant', i, 0, 0) * len(getvariable('variants'))) AS INTEGER) AS arm,
    draw('holdout', i, 0, 0) < getvariable('held_out') AS held,
    draw('bucket', i, 0, 0) AS bucket,
    exp(0.6 * bell('taste', i, 0)) AS taste,
    least(0.95, getvariable('visits') * exp(0.5 * bell('habit', i, 0))) AS habit,
    ['web', 'app', 'web', 'tablet'][1 + CAST(floor(draw('platform', i, 0, 0) * 4) AS INTEGER)]
        AS platform,
    ['en', 'en', 'da', 'de'][1 + CAST(floor(draw('language', i, 0, 0) * 4) AS INTEGER)]
        AS language
FROM range(?) AS t(i)
"""

_ARTICLES = """
SELECT
    'article-' || i AS article_id, 'Article ' || i AS title,
    'section-' || (i % 9) AS section, 'source-' || (i % 5) AS source, 'en' AS language,
    to_timestamp(0) AS published_at, to_timestamp(0) AS added_at,
    CAST(NULL AS TIMESTAMPTZ) AS expires_at,
    CASE WHEN i % 10 = 0 THEN 'generated' WHEN i % 10 = 1 THEN 'assisted' ELSE 'none' END
        AS ai_generated,
    false AS sponsored, false AS retracted, false AS deleted,
    CAST([] AS FLOAT[]) AS embedding, '' AS encoder, to_timestamp(0) AS logged_at,
    1 AS schema_version
FROM range(400) AS t(i)
"""

_SLOTS = f"""
CREATE OR REPLACE TABLE slots AS
WITH views AS (
    SELECT p.*, v.view,
        to_timestamp(getvariable('day') * 86400
            + 21600 + 60000 * draw('hour', p.person, getvariable('day'), v.view)) AS served_at,
        CAST(floor(ln(1 - draw('depth', p.person, getvariable('day'), v.view)) / ln(0.88))
            AS INTEGER) AS depth,
        getvariable('running') AND p.bucket < getvariable('opened') AS inside,
        inside AND p.arm > 1 AND NOT p.held AS treated
    FROM people AS p, range(2) AS v(view)
    WHERE draw('comes', p.person, getvariable('day'), v.view) < p.habit * (1 - 0.6 * v.view)
)
SELECT *,
    person || '-' || getvariable('day') || '-' || view AS request_id,
    'article-' || (CAST(floor(400 * draw('article', person, getvariable('day'), view)) AS INTEGER)
        + 7 * position) % 400 AS article_id,
    draw('click', person, hash(getvariable('day'), view), position)
        < least(0.9, 0.055 * taste * (1 + CASE WHEN treated THEN getvariable('lift') ELSE 0 END)
        * exp(-position / 12.0)) AS clicked,
    treated AND draw('lost', person, 0, 0) < getvariable('lost_exposures') AS lost,
    treated AND draw('fallback', person, hash(getvariable('day'), view), 0)
        < getvariable('fallbacks') AS fallback
FROM views, range({SLOTS}) AS s(position)
"""  # noqa: S608

_SERVED = f"""
SELECT
    request_id, user_id, served_at, 'personalized' AS mode,
    CASE WHEN fallback THEN 'trending' ELSE 'personalized' END AS rung,
    NOT fallback AS personalized, 'model-1' AS model_version,
    CASE WHEN getvariable('running') AND held
         THEN json_object(getvariable('experiment'), getvariable('kept_out'))
         WHEN inside THEN json_object(getvariable('experiment'), getvariable('variants')[arm])
         ELSE '{{}}' END AS experiments,
    CAST(position AS INTEGER) AS position, article_id, 1.0 / (1 + position) AS score,
    CASE WHEN position % 3 = 0 THEN 'collaborative,popular' ELSE 'content_long' END AS sources,
    ['because_you_read', 'trending', 'popular', 'new'][1 + CAST(position % 4 AS INTEGER)] AS reason,
    position % 4 = 1 AS trending, position = 7 AS explored, false AS pinned,
    1.0 AS propensity, {SLOTS} AS page_size, '' AS section, language, platform,
    4 + 4 * draw('latency', person, hash(getvariable('day'), view), 0) AS latency_ms,
    '0-0' AS counters_at, '{{}}' AS context, request_id AS stream_id,
    0 AS partition, 1 AS schema_version
FROM slots WHERE NOT lost
"""  # noqa: S608

_EVENTS = """
WITH made AS (
    SELECT *, 'impression' AS kind, served_at + INTERVAL 1 SECOND * (1 + position) AS occurred_at,
        CAST(NULL AS DOUBLE) AS dwell_s
    FROM slots WHERE position <= depth
    UNION ALL
    SELECT *, 'click', served_at + INTERVAL 1 SECOND * (3 + 2 * position), NULL
    FROM slots WHERE position <= depth AND clicked
    UNION ALL
    SELECT *, 'read', served_at + INTERVAL 1 SECOND * (90 + 2 * position),
        least(1200, 25 * exp(1.1 * bell('dwell', hash(request_id), position)))
    FROM slots WHERE position <= depth AND clicked
    UNION ALL
    SELECT *, 'like', served_at + INTERVAL 1 SECOND * (95 + 2 * position), NULL
    FROM slots WHERE position <= depth AND clicked
      AND draw('like', hash(request_id), position, 0) < 0.08
    UNION ALL
    SELECT *, 'hide', served_at + INTERVAL 1 SECOND * (5 + 2 * position), NULL
    FROM slots WHERE position <= depth AND draw('hide', hash(request_id), position, 0) < 0.004
)
SELECT
    kind || '-' || request_id || '-' || position AS event_id,
    user_id, article_id, kind, occurred_at, occurred_at + INTERVAL 2 SECOND AS received_at,
    dwell_s,
    CASE WHEN treated AND draw('key', hash(request_id), position, hash(kind))
              < getvariable('lost_keys') THEN NULL ELSE request_id END AS request_id,
    CAST(position AS INTEGER) AS position,
    '{}' AS context, '' AS device, platform, false AS first,
    kind || request_id || position AS stream_id, 0 AS partition, 1 AS schema_version
FROM made, range(2) AS r(again)
WHERE again = 0
   OR (treated AND draw('again', hash(request_id), position, hash(kind)) < getvariable('repeated'))
"""
