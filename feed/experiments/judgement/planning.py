"""How many readers and days a design needs, from the archive's own readers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from feed.config import DAY_S
from feed.experiments.design.definitions import Experiment, StoppingRule, Variant
from feed.experiments.design.metrics import metric_named
from feed.experiments.design.traffic import cumulate_joined
from feed.experiments.log.exposure import Window, create_exposed, create_requests, set_variables
from feed.experiments.log.reader_days import create_reader_days, create_readers
from feed.experiments.log.source import open_log
from feed.experiments.log.summaries import read_moments
from feed.experiments.statistics.power import plan_days, plan_readers

EVERYONE = "everyone"
"""The one group of readers that a plan is made from."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a design needs; None where the archive cannot tell.

    Attributes:
        readers: Every variant together.
        days: In whole weeks.
        reason: Why there is no number; empty otherwise.
    """

    readers: int | None = None
    days: int | None = None
    reason: str = ""


def estimate_need(
    data_dir: Path, design: Experiment, *, now: float, time_zone: str = "UTC"
) -> Need:
    """Estimate from the archive what it takes to find the smallest effect worth finding.

    Readers of the last `planned_days` days stand for those to come, with the days before them as
    covariate; the largest need among the primary metrics counts.

    Args:
        data_dir: The installation's data directory.
        design: Hypothesis, variants, metrics and minimum effect.
        now: Epoch seconds.
        time_zone: IANA name; whose days are counted.

    Raises:
        ArchiveError: a file of the archive is damaged.
    """
    length = design.planned_days * DAY_S
    window = Window(now - length - design.pre_days * DAY_S, now - length, now, zone=time_zone)
    with open_log(data_dir, window.pre_from) as log:
        connection = log.connection
        set_variables(connection, _baseline(design), window)
        create_requests(connection)
        create_exposed(connection, everyone=EVERYONE)
        create_reader_days(connection)
        create_readers(connection)
        moments = [
            read_moments(connection, metric_named(name)).get((EVERYONE,))
            for name in design.primary_metrics
        ]
        arrivals = connection.execute(
            "SELECT first_day, count(*) FROM readers WHERE analysed GROUP BY 1 ORDER BY 1"
        ).fetchall()
    if not arrivals or None in moments:
        return Need(reason="the archive holds no personalized feeds to plan from")
    readers = 0
    for found in moments:
        for arm in design.treatments:
            pair = design.control.share + arm.share
            plan = plan_readers(
                found,  # type: ignore[arg-type]
                design.minimum_effect,
                alpha=design.alpha,
                power=design.power,
                treatment_share=arm.share / pair,
                sequential=design.stopping_rule is StoppingRule.SEQUENTIAL,
            )
            if plan.control is None or plan.treatment is None:
                return Need(reason=plan.reason)
            readers = max(readers, math.ceil((plan.control + plan.treatment) / pair))
    came = dict(arrivals)
    dealt = 1.0 - design.holdout_share
    each_day = [dealt * came.get(day, 0) for day in range(min(came), window.last_day + 1)]
    cumulative = cumulate_joined(each_day, design.traffic, design.ramp)
    days = plan_days(readers, cumulative)
    reason = "" if days else "the archive's readers do not grow towards that number"
    return Need(readers, days, reason)


def _baseline(design: Experiment) -> Experiment:
    variants = (Variant(name=EVERYONE, share=0.5), Variant(name="nobody", share=0.5))
    return replace(design, variants=variants, overrides={}, secondary_metrics=())
