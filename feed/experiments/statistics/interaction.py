"""Segments: whether their effects differ, and whether the total hides that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import chi2, chi2_contingency

from feed.experiments.statistics.effects import Effect


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """How far the segments' effects differ by more than chance; None without two estimates.

    Attributes:
        segments: Segments with an estimate.
        q: Cochran's Q.
        p_value: Of one effect common to all segments.
        i_squared: Share of the variation between segments that is not sampling noise.
        common: The common effect, weighted by precision.
    """

    segments: int
    q: float | None = None
    p_value: float | None = None
    i_squared: float | None = None
    common: float | None = None


@dataclass(frozen=True, slots=True)
class SimpsonCheck:
    """Whether the total and the segments tell the same story.

    Attributes:
        reversed: The total's sign is opposite to that of every segment.
        total: The difference over all readers.
        stratified: The segments' differences, weighted by their share of all readers.
        mix_p_value: Of the variants having the same mix of segments; a low one says the segment
            was changed by the treatment or the assignment is broken.
    """

    reversed: bool
    total: float | None
    stratified: float | None
    mix_p_value: float | None


def check_heterogeneity(effects: Sequence[Effect]) -> Heterogeneity:
    """Test one effect common to all segments.

    Source: Cochran (1954), The combination of estimates from different experiments; Higgins and
    Thompson (2002) for I squared.

    Args:
        effects: One a segment; the segments hold different readers.

    Returns:
        The test; empty when fewer than two segments have an estimate.
    """
    known = [
        (effect.difference, effect.standard_error**-2)
        for effect in effects
        if effect.difference is not None and effect.standard_error is not None
    ]
    if len(known) < 2:
        return Heterogeneity(len(known))
    weights = math.fsum(weight for _, weight in known)
    common = math.fsum(weight * value for value, weight in known) / weights
    q = math.fsum(weight * (value - common) ** 2 for value, weight in known)
    freedom = len(known) - 1
    return Heterogeneity(
        segments=len(known),
        q=q,
        p_value=float(chi2.sf(q, freedom)),
        i_squared=max(0.0, 1.0 - freedom / q) if q > 0 else 0.0,
        common=common,
    )


def check_simpson(total: Effect, segments: Mapping[str, Effect]) -> SimpsonCheck:
    """Look for a total that contradicts its segments.

    Source: Simpson (1951); Crook, Frasca, Kohavi and Longbotham (2009), Seven pitfalls, section 5.

    Args:
        total: The effect over all readers.
        segments: The effect by segment; every reader is in one of them.

    Returns:
        The check.
    """
    counted = [
        (effect.difference, effect.control.n + effect.treatment.n)
        for effect in segments.values()
        if effect.difference is not None
    ]
    readers = sum(n for _, n in counted)
    stratified = (
        math.fsum(difference * n for difference, n in counted) / readers if readers else None
    )
    overall = total.difference
    opposite = (
        overall is not None
        and len(counted) > 1
        and all(difference * overall < 0 for difference, _ in counted)
    )
    table = [
        (effect.control.n, effect.treatment.n)
        for effect in segments.values()
        if effect.control.n + effect.treatment.n
    ]
    return SimpsonCheck(opposite, overall, stratified, _mix_p_value(table))


def _mix_p_value(table: list[tuple[int, int]]) -> float | None:
    if len(table) < 2 or 0 in (sum(row[0] for row in table), sum(row[1] for row in table)):
        return None
    return float(chi2_contingency(table, correction=False).pvalue)
