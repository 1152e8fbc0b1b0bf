"""Whether an effect changes with the days since a reader first saw the variant."""

from __future__ import annotations

from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import ArmMean, Effect, compare_means

_METRIC, _BELOW = 0, 2


def estimate_drift(control: Moments, treatment: Moments, *, level: float = 0.95) -> Effect:
    """Compare when the metric occurred, in days since first exposure, between two variants.

    Each reader counts once, with sums over the days since first exposure that the window holds in
    full: of what the metric counts, weighted by the day less the middle of the reader's days, and
    unweighted. The ratio of the two is the mean day on which the metric occurs. A relative effect
    that is the same on all days leaves this day where it is; a novelty that wears off makes it
    earlier. Readers are independent, but the days of one reader need not be, so the variance is
    that of a ratio over readers. For a ratio metric, the mean day of its denominator is subtracted.

    Source: a reader's trend as one number, Matthews, Altman, Campbell and Royston (1990), Analysis
    of serial measurements in medical research; trends since first exposure, Hohnhold, O'Brien and
    Tang (2015), Focusing on the long-term: it's good for users and business.

    Args:
        control: Moments of (weighted sum, sum) of the metric, and of its denominator as covariate.
        treatment: The same of the treatment.
        level: Confidence level.

    Returns:
        The difference of the mean days; negative where an effect that raises the metric wears off.
    """
    return compare_means(_mean_day(control), _mean_day(treatment), level)


def _mean_day(moments: Moments) -> ArmMean:
    above, below = moments.ratio, moments.covariate_ratio
    if above is None or below is None:
        return ArmMean(moments.n, None, 0.0)
    variance = (
        moments.linear_covariance(_METRIC, _METRIC)
        + moments.linear_covariance(_BELOW, _BELOW)
        - 2.0 * moments.linear_covariance(_METRIC, _BELOW)
    )
    return ArmMean(moments.n, above - below, max(variance, 0.0) / moments.n)
