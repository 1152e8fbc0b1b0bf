"""Sample ratio: did the variants get the share of readers they were promised?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import gammaln
from scipy.stats import binomtest, chisquare

from feed.experiments.multiplicity import adjust_holm

ALARM_BELOW = 0.001
"""Below this p-value an experiment is broken and gets no verdict."""

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


def check_strata(
    counts: Mapping[str, Sequence[int]], shares: Sequence[float]
) -> dict[str, SampleRatio]:
    """Compare readers per variant with their shares in every day, platform or other stratum.

    Args:
        counts: Readers in each variant, by stratum.
        shares: Registered shares.

    Returns:
        One comparison a stratum, its p-value adjusted for their number by Holm.
    """
    single = {name: check_sample_ratio(row, shares) for name, row in counts.items()}
    adjusted = adjust_holm([found.p_value for found in single.values()])
    return {
        name: SampleRatio(
            found.counts,
            found.expected,
            p_value,
            alarm=p_value is not None and p_value < ALARM_BELOW,
        )
        for (name, found), p_value in zip(single.items(), adjusted, strict=True)
    }


def always_valid_p_value(
    counts: Sequence[int], shares: Sequence[float], concentration: float = 1_000.0
) -> float | None:
    """P-value of the registered shares that may be looked at every day.

    The inverse of the Bayes factor of a Dirichlet prior around the shares against the shares
    themselves; under the shares it is a martingale.

    Source: Lindon and Malek (2022), Anytime-valid inference for multinomial count data, eq. 5.

    Args:
        counts: Readers in each variant so far.
        shares: Registered shares.
        concentration: Readers' worth of prior belief in shares close to the registered ones; a
            thousand finds a tenth of an arm lost about as soon as any.

    Returns:
        The p-value; the smallest over all looks is valid too. None without readers.

    Raises:
        ValueError: Not one positive share for each of at least two counts.
    """
    normal = _normalise(counts, shares)
    total = sum(counts)
    if total == 0:
        return None
    log_factor = float(gammaln(concentration) - gammaln(concentration + total))
    for count, share in zip(counts, normal, strict=True):
        prior = concentration * share
        log_factor += float(gammaln(prior + count) - gammaln(prior)) - count * math.log(share)
    return math.exp(min(0.0, -log_factor))


def _normalise(counts: Sequence[int], shares: Sequence[float]) -> tuple[float, ...]:
    if len(counts) != len(shares) or len(counts) < 2 or min(shares, default=0.0) <= 0:
        raise ValueError("one positive share is needed for each of at least two variants")
    total = math.fsum(shares)
    return tuple(share / total for share in shares)
