"""Reads the baseline of a plan from the archive: the slow half of planning.

As a module that is run, it answers one question from standard input.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import orjson

from feed.config import DAY_S
from feed.experiments.design.audience import Audience
from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.design.definitions import Experiment, Variant
from feed.experiments.design.metrics import METRICS, Metric, MetricKind
from feed.experiments.judgement.baseline import Baseline, baseline_to_json
from feed.experiments.judgement.planning import Need, compute_need
from feed.experiments.log.exposure import Window, create_exposed, create_requests, set_variables
from feed.experiments.log.local_days import day_name, day_of
from feed.experiments.log.reader_days import create_reader_days, create_readers
from feed.experiments.log.source import open_log
from feed.experiments.log.summaries import count_analysed, read_group_values, read_moments
from feed.experiments.statistics.aggregates import GROUPS, Moments
from feed.features.sections import read_aliases

EVERYONE = "everyone"
"""The one group of readers that a plan is made from."""

MOST_GROUPS = 200
"""Groups of readers that show the spread of a metric which only groups have."""
_READERS_A_GROUP = 100
_MEMORY_MB = 500


def estimate_need(
    data_dir: Path,
    design: Experiment,
    *,
    now: float,
    time_zone: str = "UTC",
    section_aliases: Mapping[str, str] | None = None,
) -> Need:
    """Read the baseline of a design and compute its need.

    Args:
        data_dir: The installation's data directory.
        design: Hypothesis, variants, metrics and minimum effect.
        now: Epoch seconds.
        time_zone: IANA name; whose days are counted.
        section_aliases: Further names of sections, key -> name.

    Raises:
        ArchiveError: a file of the archive is damaged.
    """
    baseline = read_baseline(
        data_dir, design, now=now, time_zone=time_zone, section_aliases=section_aliases
    )
    return compute_need(design, baseline)


def read_baseline(
    data_dir: Path,
    design: Experiment,
    *,
    now: float,
    time_zone: str = "UTC",
    section_aliases: Mapping[str, str] | None = None,
    memory_mb: int = 1500,
    threads: int = 2,
) -> Baseline:
    """Read how the readers of the last `planned_days` days behaved, with the days before them.

    Readers count from their first feed that the design's audience admits, as in the experiment.
    The covariate is taken from the `pre_days` days before the window, for every reader alike.

    Args:
        data_dir: The installation's data directory.
        design: Audience, days and excluded readers are taken from it.
        now: Epoch seconds.
        time_zone: IANA name; whose days are counted.
        section_aliases: Further names of sections, key -> name.
        memory_mb: Memory of the query engine before it goes to disk, megabytes.
        threads: Threads of the query engine.

    Returns:
        The baseline; without readers for an empty archive.

    Raises:
        ArchiveError: a file of the archive is damaged.
    """
    length = design.planned_days * DAY_S
    window = Window(now - length - design.pre_days * DAY_S, now - length, now, zone=time_zone)
    with open_log(data_dir, window.pre_from, memory_mb=memory_mb, threads=threads) as log:
        connection = log.connection
        set_variables(connection, _one_group(design), window)
        create_requests(connection)
        _offer(connection, design)
        create_exposed(connection)
        create_reader_days(connection, design.metrics.values(), section_aliases)
        create_readers(connection)
        known = METRICS | design.metrics
        moments = {
            name: found for name in known if (found := _read_metric(connection, known[name]))
        }
        before = (day_name(day_of(window.pre_from, time_zone)), day_name(window.first_day))
        return Baseline(
            moments,
            _read_arrivals(connection, window),
            sum(before[0] <= day < before[1] for day in log.days["served"]),
        )


def _one_group(design: Experiment) -> Experiment:
    variants = (Variant(name=EVERYONE, share=0.5), Variant(name="nobody", share=0.5))
    return replace(design, variants=variants, overrides={}, secondary_metrics=())


def _offer(connection: duckdb.DuckDBPyConnection, design: Experiment) -> None:
    """Let each request that the audience admits carry the one variant, and no other request."""
    admitted = "true"
    if design.audience != Audience():
        columns = ("platform", "language", "section", "attributes")
        found = connection.table("requests").project(", ".join(columns)).distinct()
        rows = [row for row in found.fetchall() if _admits(design.audience, *row)]
        lists = ", ".join(f"unnest(${name}::VARCHAR[]) AS {name}" for name in columns)
        connection.execute(
            f"CREATE TEMP TABLE admitted AS SELECT {lists}",
            {name: [row[place] for row in rows] for place, name in enumerate(columns)},
        )
        same = " AND ".join(f"a.{name} IS NOT DISTINCT FROM r.{name}" for name in columns)
        admitted = f"EXISTS (SELECT 1 FROM admitted AS a WHERE {same})"  # noqa: S608
    connection.execute(
        "CREATE OR REPLACE TABLE requests AS SELECT r.* REPLACE"  # noqa: S608
        f" (CASE WHEN {admitted} THEN $carried END AS experiments) FROM requests AS r",
        {"carried": orjson.dumps({design.name: EVERYONE}).decode()},
    )


def _admits(
    audience: Audience,
    platform: str | None,
    language: str | None,
    section: str | None,
    attributes: str | None,
) -> bool:
    return audience.admits(
        platform=platform or "",
        language=language or "",
        section=section or "",
        attributes=orjson.loads(attributes or "{}"),
    )


def _read_metric(connection: duckdb.DuckDBPyConnection, metric: Metric) -> Moments | None:
    if not metric.grouped:
        return read_moments(connection, metric).get((EVERYONE,))
    if metric.kind is MetricKind.DISTINCT:
        return None  # a count of different things: it grows with the group, by no known law
    readers = count_analysed(connection).get(EVERYONE, 0)
    most = max(GROUPS, min(MOST_GROUPS, readers // _READERS_A_GROUP))
    values = read_group_values(connection, metric, {EVERYONE: 1.0}, most=most).get(EVERYONE)
    return _per_reader(Moments.from_arrays(values), readers) if values else None


def _per_reader(groups: Moments, readers: int) -> Moments:
    """Return the moments of single readers whose group means would spread as the groups do."""
    factor = (readers - 1) * readers / max(groups.n * (groups.n - 1), 1)
    return Moments(readers, groups.means, tuple(factor * product for product in groups.products))


def _read_arrivals(connection: duckdb.DuckDBPyConnection, window: Window) -> tuple[int, ...]:
    came = dict(
        connection.execute(
            "SELECT first_day, count(*) FROM readers WHERE analysed GROUP BY 1"
        ).fetchall()
    )
    if not came:
        return ()
    return tuple(came.get(day, 0) for day in range(min(came), window.last_day + 1))


def main() -> None:
    """Answer the question on standard input with a baseline as JSON.

    The question is a JSON object with `data_dir`, `definition`, `now` (epoch seconds),
    `time_zone` and `section_aliases` (as in the settings).
    """
    question = orjson.loads(sys.stdin.buffer.read())
    baseline = read_baseline(
        Path(question["data_dir"]),
        experiment_from_json(question["definition"]),
        now=question["now"],
        time_zone=question["time_zone"],
        section_aliases=read_aliases(question["section_aliases"]),
        memory_mb=_MEMORY_MB,
        threads=1,
    )
    sys.stdout.buffer.write(orjson.dumps(baseline_to_json(baseline)))


if __name__ == "__main__":
    main()
