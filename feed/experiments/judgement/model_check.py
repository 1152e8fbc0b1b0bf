"""Trust checks on models: whether each variant was served with the model that it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from feed.experiments.design.assignment import NOT_JOINED
from feed.experiments.design.definitions import Experiment
from feed.experiments.judgement.results import CheckState, TrustCheck
from feed.experiments.judgement.wording import number, percent
from feed.experiments.log.local_days import day_name

WRONG_TOLERATED = 0.001
"""Share of a variant's feeds made by another model beyond which the numbers are not trusted."""
MISSED_TOLERATED = 0.01
"""Share of feeds that could not be served as assigned beyond which the numbers are not trusted."""
MOST_NAMED = 6
"""Largest number of versions that a finding names."""

_SERVED = """
SELECT json_extract_string(experiments, getvariable('experiment')) AS variant,
       coalesce(model_version, ''), count(*), day_of(min(moment)), day_of(max(moment))
FROM requests
WHERE moment >= getvariable('from_at') AND mode = getvariable('mode')
  AND list_contains(getvariable('rungs'), rung)
  AND json_valid(experiments) AND variant IS NOT NULL
GROUP BY ALL ORDER BY 4, 1, 2
"""


class _Served(NamedTuple):
    """The feeds of one variant that one model (or two, joined by `+`) made."""

    variant: str
    version: str
    feeds: int
    first_day: int
    last_day: int


def check_models(connection: duckdb.DuckDBPyConnection, experiment: Experiment) -> list[TrustCheck]:
    """Say which models served the variants, where they name one or where the model changed.

    Args:
        connection: With `requests`, and the variables of the window.
        experiment: As registered.

    Returns:
        No check where no variant names a model, one model served throughout, and every feed was
        served as assigned.
    """
    rows = [_Served(*row) for row in connection.execute(_SERVED).fetchall()]
    return [
        *_check_named(rows, experiment),
        *_check_joins(rows),
        *_check_changes(rows, experiment),
    ]


def _check_named(rows: Sequence[_Served], experiment: Experiment) -> list[TrustCheck]:
    wrong: dict[str, float] = {}
    for arm in experiment.arms:
        named = experiment.models_of(arm)
        mine = [row for row in rows if row.variant == arm.name]
        if named and mine:
            other = sum(row.feeds for row in mine if not named <= {*row.version.split("+")})
            wrong[arm.name] = other / sum(row.feeds for row in mine)
    if not wrong:
        return []
    worst = max(wrong.values())
    finding = (
        "Share of feeds that were made by another model than the one named: "
        + ", ".join(f"{percent(share, digits=2)} in {name}" for name, share in wrong.items())
        + "."
    )
    state = CheckState.FAILED if worst > WRONG_TOLERATED else CheckState.PASSED
    fault = "a variant was not served with the model that it names"
    return [TrustCheck("Models named", state, finding, fault=fault)]


def _check_joins(rows: Sequence[_Served]) -> list[TrustCheck]:
    missed = sum(row.feeds for row in rows if row.variant == NOT_JOINED)
    if not missed:
        return []
    share = missed / sum(row.feeds for row in rows)
    finding = (
        f"{number(missed)} feeds ({percent(share, digits=2)}) could not be served as assigned,"
        " because a web process did not have the variant's model; they are left out."
    )
    state = CheckState.FAILED if share > MISSED_TOLERATED else CheckState.WARNING
    fault = "readers could not be served as they were assigned"
    return [TrustCheck("Failed joins", state, finding, fault=fault)]


def _check_changes(rows: Sequence[_Served], experiment: Experiment) -> list[TrustCheck]:
    """Warn if the live model changed during the run for some of the variants only."""
    free = {arm.name for arm in experiment.arms if not experiment.models_of(arm)}
    spans: dict[str, tuple[int, int]] = {}
    for row in rows:
        if row.variant in free:
            first, last = spans.get(row.version, (row.first_day, row.last_day))
            spans[row.version] = min(first, row.first_day), max(last, row.last_day)
    if len(spans) < 2:
        return []
    shown = [
        f"{version or 'none'} ({day_name(first)} to {day_name(last)})"
        for version, (first, last) in list(spans.items())[:MOST_NAMED]
    ]
    more = f" and {len(spans) - MOST_NAMED} more" if len(spans) > MOST_NAMED else ""
    finding = f"The live model changed during the run: {', '.join(shown)}{more}."
    if len(free) == len(experiment.arms):
        return [TrustCheck("Model changes", CheckState.PASSED, finding)]
    finding += (
        " Only variants that name no model changed with it, so the variants differ in more than"
        " planned. pin_model keeps one model for the whole run."
    )
    return [TrustCheck("Model changes", CheckState.WARNING, finding)]
