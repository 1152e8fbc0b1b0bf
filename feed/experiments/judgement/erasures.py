"""Trust check: whether the readers of one variant were erased more often than those of another."""

from __future__ import annotations

from feed.config import DAY_S
from feed.domain import parse_time
from feed.experiments.design.definitions import Experiment, StoppingRule
from feed.experiments.judgement.results import CheckState, TrustCheck
from feed.experiments.judgement.wording import number, p_value
from feed.experiments.log.exposure import Window
from feed.experiments.log.source import Log
from feed.experiments.statistics.sample_ratio import check_sample_ratio, follow_sample_ratio


def count_erased(log: Log, experiment: Experiment, window: Window) -> list[list[int]]:
    """Return erased readers by variant, one list for each day of the window that has some."""
    days = log.erased.get(experiment.name, {})
    found = []
    for day in sorted(days):
        at = parse_time("day", f"{day}T00:00:00Z")
        if window.from_at - DAY_S < at < window.to_at:
            found.append([days[day].get(arm.name, 0) for arm in experiment.arms])
    return found


def check_erasures(log: Log, experiment: Experiment, window: Window) -> TrustCheck:
    """Check that readers were erased from the variants in proportion to the planned shares."""
    days = count_erased(log, experiment, window)
    totals = [sum(day[place] for day in days) for place in range(len(experiment.arms))]
    if not any(totals):
        return TrustCheck("Erased readers", CheckState.PASSED, "No exposed reader was erased.")
    shares = [arm.share for arm in experiment.arms]
    sequential = experiment.stopping_rule is StoppingRule.SEQUENTIAL
    found = follow_sample_ratio(days, shares) if sequential else check_sample_ratio(totals, shares)
    named = zip(totals, experiment.arms, strict=True)
    listed = ", ".join(f"{number(count)} in {arm.name}" for count, arm in named)
    return TrustCheck(
        "Erased readers",
        CheckState.FAILED if found.alarm else CheckState.PASSED,
        f"Readers erased, who are missing from all numbers: {listed} ({p_value(found.p_value)}).",
        found.p_value,
        "readers of one variant were erased more often",
    )
