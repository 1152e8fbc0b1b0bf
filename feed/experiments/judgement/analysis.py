"""From the archive to a report: exposure, trust checks, estimates, verdict. Read this first."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import duckdb

from feed.config import DAY_S, RankingConfig
from feed.domain import ConflictError, InvalidInputError
from feed.experiments.design.assignment import HELD_OUT
from feed.experiments.design.definitions import WEEK_DAYS, Experiment, StoppingRule
from feed.experiments.judgement.breakdowns import compare_teams, split_segments, trace_time
from feed.experiments.judgement.drifts import add_drifts, describe_drift
from feed.experiments.judgement.early_gains import correct_early_gains
from feed.experiments.judgement.estimates import (
    estimate_guardrails,
    estimate_primaries,
    estimate_secondaries,
    summarise_power,
)
from feed.experiments.judgement.holdout import compare_holdout
from feed.experiments.judgement.results import ArmSummary, Report
from feed.experiments.judgement.slot_clicks import compare_boost, count_slots, tabulate_slots
from feed.experiments.judgement.tails import check_tails
from feed.experiments.judgement.trust import run_checks
from feed.experiments.judgement.verdict import decide
from feed.experiments.log.exposure import (
    Window,
    create_exposed,
    create_requests,
    find_planned_look,
    set_variables,
)
from feed.experiments.log.reader_days import create_reader_days, create_readers
from feed.experiments.log.source import Log, open_log

_PACKAGES = ("feed", "numpy", "scipy", "duckdb")


def analyse(
    data_dir: Path,
    experiment: Experiment,
    *,
    now: float,
    ranking: RankingConfig | None = None,
    section_aliases: Mapping[str, str] | None = None,
    time_zone: str = "UTC",
    from_at: float | None = None,
    to_at: float | None = None,
    command: str = "",
    memory_mb: int = 1500,
    threads: int = 2,
) -> Report:
    """Analyse one experiment from the archive.

    Args:
        data_dir: The installation's data directory.
        experiment: As registered; it must have started.
        now: Epoch seconds.
        ranking: The installation's parameters, which hold where a variant changes nothing; by
            default the documented ones.
        section_aliases: Further names of sections, key -> name.
        time_zone: IANA name of the newsroom's time zone, whose days are counted.
        from_at: Begin of the window; by default, and at the earliest, the start.
        to_at: End of the window, not included; by default the stop or `now`.
        command: How to make the report again, for its last section.
        memory_mb: Memory of the query engine before it goes to disk, megabytes.
        threads: Threads of the query engine.

    Returns:
        The report. Under the fixed rule it is that of the one look which the plan allows, as soon
        as its days are over and its readers have come: made later it says the same.

    Raises:
        ConflictError: the experiment has not started.
        InvalidInputError: the window is empty, or the memory does not suffice.
        ArchiveError: a file of the archive is damaged.
    """
    window = choose_window(experiment, now=now, from_at=from_at, to_at=to_at, time_zone=time_zone)
    boost = (ranking or RankingConfig()).trending_boost
    with open_tables(
        data_dir, experiment, window, section_aliases, memory_mb=memory_mb, threads=threads
    ) as (log, window):
        return _compose(log, experiment, window, now=now, default_boost=boost, command=command)


@contextmanager
def open_tables(
    data_dir: Path,
    experiment: Experiment,
    window: Window,
    section_aliases: Mapping[str, str] | None,
    *,
    memory_mb: int,
    threads: int,
) -> Iterator[tuple[Log, Window]]:
    """Open the archive with every table that an analysis reads, `readers` above all.

    Gives the log, and the window, cut to the one look that a fixed rule allows.

    Raises:
        InvalidInputError: the memory does not suffice.
        ArchiveError: a file of the archive is damaged.
    """
    try:
        with open_log(data_dir, window.pre_from, memory_mb=memory_mb, threads=threads) as log:
            yield log, _prepare(log.connection, experiment, window, section_aliases)
    except duckdb.OutOfMemoryException as error:
        rule = f"must be more than {memory_mb}: that is too little for this archive"
        raise InvalidInputError("memory_mb", rule) from error


def choose_window(
    experiment: Experiment,
    *,
    now: float,
    from_at: float | None,
    to_at: float | None,
    time_zone: str = "UTC",
) -> Window:
    """Return the window of an analysis, within the life of the experiment.

    Raises:
        ConflictError: the experiment has not started.
        InvalidInputError: nothing is left of the window.
    """
    started = experiment.started_at
    if not started:
        raise ConflictError(f"experiment {experiment.name} has not started: nothing to report")
    begin = max(started, from_at if from_at is not None else started)
    end = min(now, experiment.stopped_at or now, to_at if to_at is not None else now)
    if end <= begin:
        raise InvalidInputError("window", "must end after it begins, within the experiment")
    return Window(started - experiment.pre_days * DAY_S, begin, end, started, time_zone)


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    experiment: Experiment,
    window: Window,
    section_aliases: Mapping[str, str] | None,
) -> Window:
    """Create every table; return the window, cut to the one look that a fixed rule allows."""
    _expose(connection, experiment, window)
    if experiment.stopping_rule is StoppingRule.FIXED:
        end = find_planned_look(connection, experiment)
        if end is not None and end < window.to_at:
            window = replace(window, to_at=end)
            connection.execute("DROP TABLE requests; DROP TABLE exposed; DROP TABLE bots")
            _expose(connection, experiment, window)
    create_reader_days(connection, experiment.metrics.values(), section_aliases)
    create_readers(connection)
    count_slots(connection)
    return window


def _expose(connection: duckdb.DuckDBPyConnection, experiment: Experiment, window: Window) -> None:
    set_variables(connection, experiment, window)
    create_requests(connection)
    create_exposed(connection, experiment.segments)


def _compose(
    log: Log,
    experiment: Experiment,
    window: Window,
    *,
    now: float,
    default_boost: float,
    command: str,
) -> Report:
    connection = log.connection
    arms = _summarise_arms(connection, experiment)
    primaries = estimate_primaries(connection, experiment)
    checks = (
        *run_checks(log, experiment, window, generated_at=now),
        *check_tails(connection, experiment, primaries),
    )
    guardrails = estimate_guardrails(connection, experiment)
    days_run = (window.to_at - experiment.started_at) / DAY_S
    courses = add_drifts(connection, experiment, window, trace_time(connection, experiment, window))
    readers = sum(arm.analysed for arm in arms)
    complete = readers >= experiment.planned_readers and days_run >= experiment.planned_days
    primaries = correct_early_gains(experiment, primaries, complete=complete)
    power = summarise_power(experiment, primaries)
    verdict = decide(
        experiment,
        checks,
        arms,
        primaries,
        guardrails,
        days_run=days_run,
        whole=window.from_at <= experiment.started_at,
        power=power,
        arrivals=_count_arrivals(connection, experiment, window),
        remarks=[
            (course.treatment, text)
            for course in courses
            if (text := describe_drift(course, experiment.alpha))
        ],
    )
    return Report(
        experiment=experiment,
        window=window,
        generated_at=now,
        days_run=days_run,
        command=command,
        versions=_read_versions(connection),
        verdict=verdict,
        arms=arms,
        checks=checks,
        primaries=primaries,
        guardrails=guardrails,
        secondaries=estimate_secondaries(connection, experiment),
        courses=courses,
        segments=split_segments(connection, experiment, primaries),
        slot_tables=tabulate_slots(connection, experiment),
        boost=compare_boost(connection, experiment, default_boost),
        holdout=compare_holdout(connection, experiment, window),
        teams=compare_teams(connection, experiment),
        power=power,
    )


def _summarise_arms(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment
) -> tuple[ArmSummary, ...]:
    rows = connection.execute(
        "SELECT variant, count(*), count(*) FILTER (analysed),"
        " sum(views)::BIGINT, sum(events)::BIGINT FROM readers GROUP BY 1"
    ).fetchall()
    found = {row[0]: row[1:] for row in rows}
    return tuple(
        ArmSummary(arm.name, arm.share, *found.get(arm.name, (0, 0, 0, 0)))
        for arm in experiment.arms
    )


def _count_arrivals(
    connection: duckdb.DuckDBPyConnection, experiment: Experiment, window: Window
) -> float:
    """Return the new readers a day in the last week of the window.

    Before the traffic last grew, fewer came: that time is left out, unless it grew within the
    last day.
    """
    since = max(window.from_at, window.to_at - WEEK_DAYS * DAY_S)
    grown_at = experiment.opened_until(window.to_at)[-1].at
    since = max(since, min(grown_at, window.to_at - DAY_S))
    row = connection.execute(
        "SELECT count(*) FROM readers WHERE analysed AND variant <> ? AND first_at >= ?",
        [HELD_OUT, since],
    ).fetchone()
    return float(row[0]) * DAY_S / (window.to_at - since) if row else 0.0


def _read_versions(connection: duckdb.DuckDBPyConnection) -> Mapping[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    rows = connection.execute(
        "SELECT DISTINCT model_version FROM requests"
        " WHERE moment >= getvariable('from_at') AND model_version <> '' ORDER BY 1"
    ).fetchall()
    versions["models served"] = ", ".join(row[0] for row in rows) or "none"
    return versions
