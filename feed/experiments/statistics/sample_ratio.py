"""Sample ratio mismatch: whether the variants have their planned shares of the readers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import gammaln, logsumexp
from scipy.stats import binomtest, chisquare

from feed.experiments.statistics.multiplicity import adjust_holm

ALARM_BELOW = 0.001
"""Below this p-value an experiment is broken and gets no verdict."""

CONCENTRATIONS = (10.0, 100.0, 1_000.0)
"""Readers' worth of prior belief in shares near the registered ones: from a platform that lost a
variant altogether to a tenth of a large arm that is missing."""

_LEAST_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Counts of readers against the registered shares.

    Attributes:
        counts: Readers seen in each variant.
        expected: Readers expected in each variant, given their sum.
        p_value: Of the registered shares being true; None without readers.
        alarm: Whether the p-value is below ``ALARM_BELOW``.
    """

    counts: tuple[int, ...]
    expected: tuple[float, ...]
    p_value: float | None
    alarm: bool


def check_sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> SampleRatio:
    """Compare readers per variant with their shares, at one look.

    Exact binomial for two variants; Pearson's chi-square for more, or, where an expected count is
    under 5, the smallest exact binomial of each variant against the rest, times their number.

    Source: Fabijan et al. (2019), Diagnosing sample ratio mismatch in online controlled
    experiments.

    Args:
        counts: Readers in each variant.
        shares: Registered shares, in any unit; all positive.

    Returns:
        The comparison.

    Raises:
        ValueError: Not one positive share for each of at least two counts.
    """
    normal = _normalise(counts, shares)
    total = sum(counts)
    expected = tuple(total * share for share in normal)
    if total == 0:
        return SampleRatio(tuple(counts), expected, None, alarm=False)
    if len(counts) == 2:
        p_value = float(binomtest(counts[0], total, normal[0]).pvalue)
    elif min(expected) >= _LEAST_EXPECTED:
        p_value = float(chisquare(counts, expected).pvalue)
    else:
        single = (
            binomtest(count, total, share).pvalue
            for count, share in zip(counts, normal, strict=True)
        )
        p_value = min(1.0, len(counts) * float(min(single)))
    return SampleRatio(tuple(counts), expected, p_value, alarm=p_value < ALARM_BELOW)


def follow_sample_ratio(arrivals: Sequence[Sequence[int]], shares: Sequence[float]) -> SampleRatio:
    """Compare readers per variant with their shares at every look so far.

    The looks are the ends of the days, so the answer is the same whoever looked when, and once
    there is an alarm it stays.

    Args:
        arrivals: New readers in each variant, by day, oldest first.
        shares: Registered shares.

    Returns:
        The counts of all days with the smallest always-valid p-value up to the last: an alarm
        errs in at most ``ALARM_BELOW`` of all experiments, however long they run.

    Raises:
        ValueError: as `check_sample_ratio`.
    """
    counts = [0] * len(shares)
    smallest: float | None = None
    for day in arrivals:
        counts = [before + new for before, new in zip(counts, day, strict=True)]
        p_value = always_valid_p_value(counts, shares)
        if p_value is not None:
            smallest = p_value if smallest is None else min(smallest, p_value)
    total = sum(counts)
    expected = tuple(total * share for share in _normalise(counts, shares))
    alarm = smallest is not None and smallest < ALARM_BELOW
    return SampleRatio(tuple(counts), expected, smallest, alarm)


def check_strata(
    counts: Mapping[str, Sequence[int]], shares: Sequence[float], *, tests: int = 0
) -> dict[str, SampleRatio]:
    """Compare readers per variant with their shares in every day or other stratum, at one look.

    Args:
        counts: Readers in each variant, by stratum.
        shares: Registered shares.
        tests: Number of comparisons to correct for, if more are to come than are here.

    Returns:
        One comparison a stratum, its p-value adjusted for their number by Holm.
    """
    found = {name: check_sample_ratio(row, shares) for name, row in counts.items()}
    return correct_strata(found, tests=tests)


def correct_strata(found: Mapping[str, SampleRatio], *, tests: int = 0) -> dict[str, SampleRatio]:
    """Adjust the p-values of several comparisons for their number, or for `tests` if more."""
    p_values = [one.p_value for one in found.values()]
    adjusted = adjust_holm([*p_values, *[1.0] * (tests - len(p_values))])
    return {
        name: SampleRatio(
            one.counts,
            one.expected,
            p_value,
            alarm=p_value is not None and p_value < ALARM_BELOW,
        )
        for (name, one), p_value in zip(found.items(), adjusted, strict=False)
    }


def always_valid_p_value(
    counts: Sequence[int],
    shares: Sequence[float],
    concentrations: Sequence[float] = CONCENTRATIONS,
) -> float | None:
    """P-value of the registered shares that may be looked at every day.

    The inverse of the Bayes factor of Dirichlet priors around the shares, in equal parts, against
    the shares themselves; under the shares it is a martingale, so by Ville's inequality it rises
    above 1 / alpha in at most alpha of all experiments.

    Source: Lindon and Malek (2022), Anytime-valid inference for multinomial count data, eq. 5; a
    mean of such martingales is one.

    Args:
        counts: Readers in each variant so far.
        shares: Registered shares.
        concentrations: Of the priors, in readers.

    Returns:
        The p-value; the smallest over all looks is valid too. None without readers.

    Raises:
        ValueError: Not one positive share for each of at least two counts.
    """
    normal = _normalise(counts, shares)
    if sum(counts) == 0:
        return None
    factors = [_log_bayes_factor(counts, normal, value) for value in concentrations]
    log_factor = float(logsumexp(factors)) - math.log(len(factors))
    return math.exp(min(0.0, -log_factor))


def _log_bayes_factor(
    counts: Sequence[int], shares: Sequence[float], concentration: float
) -> float:
    log_factor = float(gammaln(concentration) - gammaln(concentration + sum(counts)))
    for count, share in zip(counts, shares, strict=True):
        prior = concentration * share
        log_factor += float(gammaln(prior + count) - gammaln(prior)) - count * math.log(share)
    return log_factor


def _normalise(counts: Sequence[int], shares: Sequence[float]) -> tuple[float, ...]:
    if len(counts) != len(shares) or len(counts) < 2 or min(shares, default=0.0) <= 0:
        raise ValueError("one positive share is needed for each of at least two variants")
    total = math.fsum(shares)
    return tuple(share / total for share in shares)
