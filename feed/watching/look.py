"""One look at an experiment: makes its report, and lists what people should be told.

Only the process that looks imports this module: what makes reports takes a second to import, and
the memory of a whole web process.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from feed.config import Settings
from feed.domain import format_time
from feed.experiments.design.definitions import Experiment, Status, StoppingRule
from feed.experiments.judgement.analysis import analyse
from feed.experiments.judgement.results import Report, VerdictKind
from feed.experiments.judgement.safety import (
    STOPPING_CHECKS,
    describe_breach,
    find_breaches,
    find_faults,
    has_readers_to_stop,
)
from feed.experiments.report.files import REPORTS
from feed.experiments.report.writing import write_report
from feed.features.sections import read_aliases
from feed.watching.findings import FindingKind, WatchFinding, WatchLook

MEMORY_MB = 1000
"""Memory of the queries of one look, megabytes, beyond which they go to disk."""

_VERDICTS = (VerdictKind.SHIP, VerdictKind.DO_NOT_SHIP, VerdictKind.INCONCLUSIVE)


def look_at(settings: Settings, experiment: Experiment, now: float) -> WatchLook:
    """Make an experiment's report, write its files, and return what was found.

    The tests of the fixed rule err more often, the more often somebody looks. Therefore an
    experiment under that rule is analysed a second time as if its rule were sequential, for its
    guardrails and its trust checks; its verdict stays that of the fixed rule.

    Args:
        settings: Of the installation.
        experiment: One that has started.
        now: Epoch seconds.

    Raises:
        FeedError: the report cannot be made.
    """
    report = _analyse(settings, experiment, now)
    write_report(report, settings.data_dir / REPORTS)
    safety = report
    if experiment.stopping_rule is StoppingRule.FIXED:
        always = replace(experiment, stopping_rule=StoppingRule.SEQUENTIAL)
        safety = _analyse(settings, always, now)
    return WatchLook(
        at=now,
        day=report.days_run,
        verdict=report.verdict.kind.value,
        findings=(*_faults(safety), *_breaches(safety), *_conclusions(report)),
    )


def _analyse(settings: Settings, experiment: Experiment, now: float) -> Report:
    to_at = min(now, experiment.stopped_at or now)
    parts = ("feed", "report", experiment.name, "--version", str(experiment.version))
    return analyse(
        settings.data_dir,
        experiment,
        now=now,
        ranking=settings.ranking,
        section_aliases=read_aliases(settings.section_aliases),
        time_zone=settings.time_zone,
        command=shlex.join([*parts, "--to", format_time(to_at), "--out", "."]),
        memory_mb=MEMORY_MB,
        threads=1,
    )


def _breaches(report: Report) -> Iterator[WatchFinding]:
    for breach in find_breaches(report):
        yield WatchFinding(
            kind=FindingKind.GUARDRAIL,
            subject=f"{breach.metric.name} in {breach.comparison.treatment}",
            sentence=describe_breach(breach),
            may_stop=has_readers_to_stop(report, breach),
        )


def _faults(report: Report) -> Iterator[WatchFinding]:
    for check in find_faults(report):
        yield WatchFinding(
            kind=FindingKind.TRUST,
            subject=check.name,
            sentence=f"{check.name}: {check.finding}",
            may_stop=check.name in STOPPING_CHECKS,
        )


def _conclusions(report: Report) -> Iterator[WatchFinding]:
    verdict, experiment = report.verdict, report.experiment
    if verdict.kind in _VERDICTS:
        subject = f"{verdict.kind.value} {verdict.variant}".strip()
        yield WatchFinding(kind=FindingKind.VERDICT, subject=subject, sentence=verdict.sentence)
    ended = report.days_run >= experiment.planned_days and experiment.status is Status.RUNNING
    if ended and verdict.kind is not VerdictKind.INCONCLUSIVE:
        sentence = (
            f"The planned {experiment.planned_days} days are over, and the experiment still runs."
            f" {verdict.sentence}"
        )
        yield WatchFinding(kind=FindingKind.PLAN, subject="planned days", sentence=sentence)
