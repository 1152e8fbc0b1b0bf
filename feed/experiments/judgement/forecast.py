"""How much longer an undecided experiment would need, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from feed.experiments.design.definitions import Experiment, Status
from feed.experiments.judgement.results import PowerSummary
from feed.experiments.judgement.wording import number, percent


def forecast_days(
    experiment: Experiment,
    power: Sequence[PowerSummary],
    *,
    readers: int,
    arrivals: float,
) -> tuple[str, ...]:
    """Say how many readers and days are still needed, and suggest what to do.

    The readers needed are those planned or, if they are more, those with whom the smallest effect
    worth finding would be found with the registered power: the width of an interval falls with the
    square root of their number. New readers are expected to go on coming as in the last week, or
    as since the traffic last grew.

    Args:
        experiment: As registered.
        power: What each primary metric could detect with the readers so far.
        readers: Readers in the estimates so far.
        arrivals: New readers a day, lately.

    Returns:
        Sentences: the forecast and the suggestion.
    """
    may_grow = experiment.status is Status.RUNNING and experiment.opened[-1].traffic < 1.0
    more_readers = _LET_IN if may_grow else _MORE_TRAFFIC
    needed = _readers_needed(experiment, power, readers)
    worth = percent(experiment.minimum_effect)
    if needed is None:
        return _UNKNOWN.format(worth=worth), more_readers
    if needed <= readers:
        return _ENOUGH.format(worth=worth), _SMALLER
    missing = (
        f"About {number(needed - readers)} more readers are needed to find an effect of {worth}"
    )
    if arrivals <= 0:
        return f"{missing}, and no new reader came lately.", more_readers
    days = math.ceil((needed - readers) / arrivals)
    more = f"{number(days)} more {'day' if days == 1 else 'days'}"
    rate = number(arrivals, 0 if arrivals >= 10 else 1)
    forecast = f"{missing}: {more} at the present rate of {rate} new readers a day."
    if days > experiment.planned_days:
        return forecast, f"That is longer than the whole plan. {more_readers}"
    if experiment.status is Status.STOPPED:
        return forecast, "Suggestion: run it again as a new version, planned for these readers."
    return forecast, f"Suggestion: let it run for {more}, then look again."


def _readers_needed(
    experiment: Experiment, power: Sequence[PowerSummary], readers: int
) -> int | None:
    """Return the readers needed; None where all planned ones came and a metric cannot tell."""
    planned = experiment.planned_readers
    ratios = [p.detectable / p.registered_effect for p in power if p.detectable is not None]
    if len(ratios) < max(1, len(power)):
        return planned if readers < planned else None
    return max(planned, math.ceil(readers * max(ratios) ** 2))


_UNKNOWN = (
    "The planned readers came, but their data do not show how many are needed to find an effect of"
    " {worth}."
)
_ENOUGH = (
    "The readers so far are enough to find an effect of {worth} with the planned power; more of"
    " them would only narrow the interval."
)
_SMALLER = "Suggestion: keep the control, or plan a new experiment for a smaller effect."
_LET_IN = (
    "Suggestion: let more readers in, or plan a new experiment with a wider audience, a metric that"
    " varies less or a larger minimum effect."
)
_MORE_TRAFFIC = (
    "Suggestion: plan a new experiment with more traffic, a wider audience, a metric that varies"
    " less or a larger minimum effect."
)
