"""Trust checks: whether an experiment's numbers can be believed at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, StoppingRule
from feed.experiments.judgement.erasures import check_erasures
from feed.experiments.judgement.estimates import planned_pair
from feed.experiments.judgement.login_check import check_logins
from feed.experiments.judgement.model_check import check_models
from feed.experiments.judgement.ratio_checks import check_ratios
from feed.experiments.judgement.results import CheckState, TrustCheck
from feed.experiments.judgement.wording import number, p_value, percent, points
from feed.experiments.log.exposure import Window
from feed.experiments.log.local_days import day_name
from feed.experiments.log.source import TABLES, Log
from feed.experiments.log.summaries import read_covariate_moments, read_share_moments
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import Effect, estimate_effect
from feed.experiments.statistics.sample_ratio import ALARM_BELOW
from feed.experiments.statistics.sequential import estimate_sequence

REPEATS_TOLERATED = 0.001
"""Share of events recorded twice beyond which the log is not to be trusted."""
STRAYS_TOLERATED = 0.001
"""Share of readers in several variants beyond which assignment is not to be trusted."""
KEYLESS_TOLERATED = 0.2
"""Share of impressions and clicks without a served feed that is worth a warning: clicks outside
the feed have none, so only a difference between variants is a fault."""
KEYLESS_GAP = 0.005
"""Difference of that share between variants that matters when it is proven."""
FALLBACK_GAP = 0.005
"""Difference of the share of fallback feeds that matters when it is proven."""
LOST_TOLERATED = 0.01
"""Share of the archive's commits without a file beyond which files are taken for lost."""
SKEW_TOLERATED = 0.01
"""Share of events whose clock is a day off that is worth a warning."""


def run_checks(
    log: Log, experiment: Experiment, window: Window, *, generated_at: float
) -> tuple[TrustCheck, ...]:
    """Run every trust check.

    Args:
        log: With `exposed` and `readers`.
        experiment: As registered.
        window: Under analysis.
        generated_at: Epoch seconds; today is not expected to be complete.

    Returns:
        The checks, in the order of the report.
    """
    connection = log.connection
    checks = [check_exposures(connection, experiment)]
    checks += check_ratios(connection, experiment, window)
    checks.append(check_erasures(log, experiment, window))
    checks.append(check_strays(connection))
    checks += check_models(connection, experiment)
    checks.append(
        _check_share(
            connection,
            experiment,
            "Join keys",
            ("keyless", "keyed"),
            "impressions and clicks without the served feed they belong to",
            fault="events have lost the feed they belong to",
            tolerated=KEYLESS_TOLERATED,
            gap=KEYLESS_GAP,
            beyond=CheckState.WARNING,
        )
    )
    checks.append(
        _check_share(
            connection,
            experiment,
            "Duplicate events",
            ("repeats", "events"),
            "events recorded twice",
            fault="events were recorded twice",
            tolerated=REPEATS_TOLERATED,
            gap=0.0001,
        )
    )
    checks.append(
        _check_share(
            connection,
            experiment,
            "Bots",
            ("CAST(bot AS DOUBLE)", "1.0"),
            "readers who act faster than a person can (left out of the estimates)",
            fault="programs read in one variant more than in another",
            tolerated=0.2,
            gap=0.0,
        )
    )
    checks += check_before(connection, experiment)
    checks.append(
        _check_share(
            connection,
            experiment,
            "Fallback feeds",
            ("fallback_views", "views"),
            "feeds served from a fallback",
            fault="one variant fell back to a simpler feed more often",
            tolerated=0.5,
            gap=FALLBACK_GAP,
        )
    )
    checks.append(
        _check_share(
            connection,
            experiment,
            "Clocks",
            ("skewed", "events"),
            "events whose clock is more than a day off",
            fault="the variants' clocks differ",
            tolerated=SKEW_TOLERATED,
            gap=0.01,
            beyond=CheckState.WARNING,
        )
    )
    checks.append(check_days(log, window, generated_at=generated_at))
    checks += check_logins(connection)
    return tuple(checks)


def check_exposures(connection: duckdb.DuckDBPyConnection, experiment: Experiment) -> TrustCheck:
    """Every variant has readers."""
    counts = _counts(connection, experiment)
    if not sum(counts.values()):
        finding = "No served feed of the window carries this experiment: nobody was exposed."
        fault = "nobody was exposed"
        return TrustCheck("Exposures", CheckState.FAILED, finding, fault=fault)
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        finding = f"No reader was exposed to {', '.join(empty)}."
        fault = f"nobody was exposed to {', '.join(empty)}"
        return TrustCheck("Exposures", CheckState.FAILED, finding, fault=fault)
    finding = ", ".join(f"{number(count)} in {name}" for name, count in counts.items())
    return TrustCheck("Exposures", CheckState.PASSED, f"Readers exposed: {finding}.")


def check_strays(connection: duckdb.DuckDBPyConnection) -> TrustCheck:
    """No reader was in several variants, or in one that the definition does not know."""
    row = connection.execute("SELECT count(*), count(*) FILTER (NOT sound) FROM exposed").fetchone()
    total, strays = row if row is not None else (0, 0)
    share = strays / total if total else 0.0
    finding = (
        f"{number(strays)} readers ({percent(share)}) were in several variants or an unknown one;"
        " they are left out of the estimates."
        if strays
        else "Every reader was in one variant throughout."
    )
    state = CheckState.PASSED
    if strays:
        state = CheckState.FAILED if share > STRAYS_TOLERATED else CheckState.WARNING
    fault = "readers were in more than one variant"
    return TrustCheck("One variant per reader", state, finding, fault=fault)


def check_before(connection: duckdb.DuckDBPyConnection, experiment: Experiment) -> list[TrustCheck]:
    """The variants' readers were alike before the start."""
    checks = []
    for name in experiment.primary_metrics:
        metric = experiment.metric(name)
        title = "Before the start" if len(experiment.primary_metrics) == 1 else f"Before: {name}"
        effects = _against_control(read_covariate_moments(connection, metric), experiment)
        worst = _most_extreme(effects)
        if worst is None:
            finding = "There is no activity before the start to compare or to adjust by."
            if any(effect.standard_error is not None for effect in effects.values()):
                finding = "There are too few readers yet to compare the time before the start."
            checks.append(TrustCheck(title, CheckState.WARNING, finding))
            continue
        treatment, effect = worst
        failed = effect.p_value is not None and effect.p_value < ALARM_BELOW
        gap = percent(effect.relative) if effect.relative is not None else "not measurable"
        finding = (
            f"{metric.title} in {treatment} differed from control by {gap} before the start"
            f" ({p_value(effect.p_value)})."
        )
        state = CheckState.FAILED if failed else CheckState.PASSED
        fault = "the variants' readers differed before the start"
        checks.append(TrustCheck(title, state, finding, effect.p_value, fault))
    return checks


def check_days(log: Log, window: Window, *, generated_at: float) -> TrustCheck:
    """Every whole day of the window has served feeds and events in the archive, or had none."""
    first, last = math.ceil(window.from_at / DAY_S), int(min(window.to_at, generated_at) // DAY_S)
    wanted = [day_name(day) for day in range(first, last)]
    absent = {day: [table for table in TABLES if day not in log.days[table]] for day in wanted}
    quiet = [day for day in wanted if len(absent[day]) == len(TABLES) and log.was_quiet(day)]
    missing = [f"{day} ({t})" for day in wanted if day not in quiet for t in absent[day]]
    if missing:
        shown = ", ".join(missing[:6]) + (" …" if len(missing) > 6 else "")
        finding = f"The archive has no file for {len(missing)} of {2 * len(wanted)}: {shown}."
        fault = "days are missing from the archive"
        return TrustCheck("Archive complete", CheckState.FAILED, finding, fault=fault)
    lost, commits = log.lost_commits(wanted)
    if lost:
        finding = f"Of {number(commits)} commits to the archive, {number(lost)} left no file."
        if lost > LOST_TOLERATED * commits:
            fault = "files are missing from the archive"
            return TrustCheck("Archive complete", CheckState.FAILED, finding, fault=fault)
        return TrustCheck("Archive complete", CheckState.WARNING, finding)
    if quiet:
        shown = ", ".join(quiet[:6]) + (" …" if len(quiet) > 6 else "")
        finding = (
            f"Nobody came on {len(quiet)} of {len(wanted)} whole days ({shown}): the archive's"
            " commits have no gap, so nothing is lost."
        )
        return TrustCheck("Archive complete", CheckState.WARNING, finding)
    finding = f"All {len(wanted)} whole days of the window have served feeds and events."
    return TrustCheck("Archive complete", CheckState.PASSED, finding)


def _check_share(
    connection: duckdb.DuckDBPyConnection,
    experiment: Experiment,
    name: str,
    columns: tuple[str, str],
    what: str,
    *,
    fault: str,
    tolerated: float,
    gap: float,
    beyond: CheckState = CheckState.FAILED,
) -> TrustCheck:
    """Compare a share between the variants: fail when it is large, or proven to differ."""
    moments = read_share_moments(connection, *columns)
    effects = _against_control(moments, experiment)
    shares = {
        arm.name: moments[arm.name,].ratio or 0.0
        for arm in experiment.arms
        if (arm.name,) in moments
    }
    if not shares:
        return TrustCheck(name, CheckState.WARNING, "Nothing to check: there are no readers.")
    listed = ", ".join(f"{percent(share, digits=2)} in {arm}" for arm, share in shares.items())
    differing = [
        treatment
        for treatment, effect in effects.items()
        if effect.p_value is not None
        and effect.p_value < ALARM_BELOW
        and abs(effect.difference or 0.0) > gap
    ]
    worst = _most_extreme(effects)
    lowest = worst[1].p_value if worst else None
    finding = f"Share of {what}: {listed}."
    if differing:
        treatment = differing[0]
        difference = effects[treatment].difference or 0.0
        finding += (
            f" In {treatment} it differs from control by {points(difference)} ({p_value(lowest)})."
        )
        return TrustCheck(name, CheckState.FAILED, finding, lowest, fault)
    if max(shares.values()) > tolerated:
        return TrustCheck(
            name, beyond, f"{finding} Tolerated: {percent(tolerated)}.", lowest, fault
        )
    return TrustCheck(name, CheckState.PASSED, finding, lowest)


def _counts(connection: duckdb.DuckDBPyConnection, experiment: Experiment) -> dict[str, int]:
    rows = connection.execute("SELECT variant, count(*) FROM exposed GROUP BY 1").fetchall()
    found = {str(name): int(count) for name, count in rows}
    return {arm.name: found.get(arm.name, 0) for arm in experiment.arms}


def _against_control(
    moments: Mapping[tuple[str, ...], Moments], experiment: Experiment
) -> dict[str, Effect]:
    """Return each treatment's effect, with a p-value that holds at every look if there are many."""
    control = moments.get((experiment.control.name,))
    if control is None:
        return {}
    found = {
        arm.name: estimate_effect(control, moments[arm.name,], level=1.0 - ALARM_BELOW)
        for arm in experiment.treatments
        if (arm.name,) in moments
    }
    if experiment.stopping_rule is StoppingRule.FIXED:
        return found
    return {
        name: replace(
            effect, p_value=estimate_sequence(effect, planned_pair(experiment, name)).p_value
        )
        for name, effect in found.items()
    }


def _most_extreme(effects: Mapping[str, Effect]) -> tuple[str, Effect] | None:
    known: Sequence[tuple[float, str]] = sorted(
        (effect.p_value, name) for name, effect in effects.items() if effect.p_value is not None
    )
    return (known[0][1], effects[known[0][1]]) if known else None
