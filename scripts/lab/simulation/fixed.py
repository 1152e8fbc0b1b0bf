"""Trials of every test that looks once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feed.experiments.judgement.tails import TOLERATED, one_sided_error
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import Effect, estimate_adjusted_effect, estimate_effect
from feed.experiments.statistics.interaction import check_heterogeneity
from feed.experiments.statistics.multiplicity import adjust_benjamini_hochberg, adjust_holm
from feed.experiments.statistics.noninferiority import check_guardrail
from feed.experiments.statistics.power import Plan, plan_readers
from feed.experiments.statistics.shares import ShareSums, share_interval
from lab.simulation.tally import Counter, Tally
from lab.simulation.worlds import (
    CLICK_RATE,
    TRUE_READS,
    Readers,
    draw_readers,
)

ALPHA = 0.05
READERS = 1_000
HEAVY_READERS = 4_000
MARGIN = 0.05
SEGMENTS = 4
PLANNED_LIFT = 0.15


def try_effects(seed: int, runs: int, lift: float) -> dict[str, Tally]:
    """Run experiments with a known lift and count rejections and covered truths.

    Args:
        seed: Of the chance.
        runs: Experiments.
        lift: True relative effect; 0 for A/A.

    Returns:
        ``NAME: rejected``, ``NAME: covered`` and ``NAME: relative covered``.
    """
    rng = np.random.default_rng(seed)
    counter = Counter()
    for _ in range(runs):
        control, treatment = draw_readers(rng, READERS), draw_readers(rng, READERS, lift)
        reads = control.reads_moments(), treatment.reads_moments()
        clicks = control.click_through_moments(), treatment.click_through_moments()
        _note(counter, "mean", estimate_effect(*reads), TRUE_READS, lift)
        _note(counter, "mean, CUPED", estimate_adjusted_effect(*reads).effect, TRUE_READS, lift)
        _note(counter, "ratio", estimate_effect(*clicks), CLICK_RATE, lift)
        _note(counter, "ratio, CUPED", estimate_adjusted_effect(*clicks).effect, CLICK_RATE, lift)
        counter.note("share of slots: covered", _share_covered(control))
        counter.note("share of slots, 60 readers: covered", _share_covered(control, 60))
        counter.note("winsorised dwell: rejected", _rejects(_dwell_effect(control, treatment)))
        counter.note("naive z per impression: rejected", naive_p_value(control, treatment) < ALPHA)
        counter.note("four segments: rejected", _segments_differ(control, treatment))
    return counter.tallies()


def naive_p_value(control: Readers, treatment: Readers) -> float:
    """The test that everybody starts with: two proportions, each impression independent.

    Wrong, because the impressions of one reader are alike; here as the contrast.

    Args:
        control: Readers of one variant.
        treatment: Readers of the other.

    Returns:
        Two-sided p-value of the pooled z-test.
    """
    views = control.views.sum(), treatment.views.sum()
    clicks = control.clicks.sum(), treatment.clicks.sum()
    pooled = (clicks[0] + clicks[1]) / (views[0] + views[1])
    error = math.sqrt(pooled * (1 - pooled) * (1 / views[0] + 1 / views[1]))
    score = abs(clicks[1] / views[1] - clicks[0] / views[0]) / error
    return math.erfc(score / math.sqrt(2.0))


def try_guardrails(seed: int, runs: int) -> dict[str, Tally]:
    """Count guardrails said to hold, or to be breached, when the loss is exactly the margin."""
    rng = np.random.default_rng(seed)
    counter = Counter()
    for _ in range(runs):
        control, treatment = draw_readers(rng, READERS), draw_readers(rng, READERS, -MARGIN)
        effect = estimate_effect(control.click_through_moments(), treatment.click_through_moments())
        verdict = check_guardrail(effect, MARGIN, alpha=ALPHA).verdict
        counter.note("guardrail at its margin: holds", verdict == "holds")
        counter.note("guardrail at its margin: breached", verdict == "breached")
    return counter.tallies()


def try_heavy_tails(seed: int, runs: int) -> dict[str, Tally]:
    """Let readers differ by a log-normal factor, in two halves and with a twentieth treated."""
    rng = np.random.default_rng(seed)
    counter = Counter()
    for _ in range(runs):
        taste = rng.lognormal(0.0, 2.0, HEAVY_READERS)
        reads, before = (rng.poisson(taste).astype(np.float64) for _ in range(2))
        for name, treated in (("halves", HEAVY_READERS // 2), ("a twentieth", HEAVY_READERS // 20)):
            arms = [
                Moments.from_arrays(reads[part], None, before[part])
                for part in (slice(treated, None), slice(treated))
            ]
            counter.note(f"{name}: rejected", _rejects(estimate_effect(*arms)))
            effect = estimate_adjusted_effect(*arms).effect
            counter.note(f"{name}, CUPED: rejected", _rejects(effect))
            spread = float(((reads - reads.mean()) ** 3).mean() / reads.std() ** 3)
            error = one_sided_error(spread, arms[0].n, arms[1].n)
            counter.note(f"{name}: warned", error > TOLERATED)
    return counter.tallies()


def try_multiplicity(seed: int, runs: int) -> dict[str, Tally]:
    """Count false claims among several metrics, none or half of which have an effect."""
    rng = np.random.default_rng(seed)
    counter = Counter()
    for _ in range(runs):
        nulls = rng.random(10).tolist()
        real = [math.erfc(abs(z) / math.sqrt(2.0)) for z in rng.normal(3.0, 1.0, 10)]
        three = adjust_holm(nulls[:3])
        counter.note("one false claim or more in 3, raw", min(nulls[:3]) < ALPHA)
        counter.note("one false claim or more in 3, Holm", _claims(three) > 0)
        mixed = adjust_benjamini_hochberg([*nulls, *real])
        false, all_claims = _claims(mixed[:10]), _claims(mixed)
        counter.note("false share of claims in 20, BH", false / max(all_claims, 1))
    return counter.tallies()


def plan(*, adjusted: bool = False, sequential: bool = False) -> Plan:
    """The size for ``PLANNED_LIFT`` in qualified reads, from a large sample of untreated readers.

    Args:
        adjusted: Plan with the covariate.
        sequential: Plan for a look every day.

    Returns:
        The plan.
    """
    baseline = draw_readers(np.random.default_rng(0), 200_000)
    moments = baseline.reads_moments() if adjusted else Moments.from_arrays(baseline.reads)
    return plan_readers(moments, PLANNED_LIFT, alpha=ALPHA, sequential=sequential)


def try_planned_size(seed: int, runs: int) -> dict[str, Tally]:
    """Count how often the planned effect is found at the planned size."""
    rng = np.random.default_rng(seed)
    counter = Counter()
    sizes = {name: plan(adjusted=adjusted).control or 0 for name, adjusted in _PLANS.items()}
    for _ in range(runs):
        for name, adjusted in _PLANS.items():
            control = draw_readers(rng, sizes[name]).reads_moments()
            treatment = draw_readers(rng, sizes[name], PLANNED_LIFT).reads_moments()
            effect = (
                estimate_adjusted_effect(control, treatment).effect
                if adjusted
                else estimate_effect(control, treatment)
            )
            counter.note(name, _rejects(effect))
    return counter.tallies()


_PLANS = {"power at the planned size": False, "power at the planned size, CUPED": True}


def _note(counter: Counter, name: str, effect: Effect, base: float, lift: float) -> None:
    counter.note(f"{name}: rejected", _rejects(effect))
    counter.note(f"{name}: covered", bool(effect.interval and effect.interval.covers(base * lift)))
    relative = effect.relative_interval
    counter.note(f"{name}: relative covered", bool(relative and relative.covers(lift)))


def _share_covered(readers: Readers, count: int = READERS) -> bool:
    clicks, views = readers.clicks[:count], readers.views[:count]
    sums = (clicks.sum(), views.sum(), clicks @ clicks, clicks @ views, views @ views)
    interval = share_interval(ShareSums(count, *map(float, sums)))
    return interval is not None and interval.covers(CLICK_RATE)


def _rejects(effect: Effect) -> bool:
    return effect.p_value is not None and effect.p_value < ALPHA


def _claims(p_values: list[float | None]) -> int:
    return sum(p is not None and p < ALPHA for p in p_values)


def _dwell_effect(control: Readers, treatment: Readers) -> Effect:
    cut = winsorise(np.concatenate([control.dwell_s, treatment.dwell_s]))
    return estimate_effect(Moments.from_arrays(cut[:READERS]), Moments.from_arrays(cut[READERS:]))


def _segments_differ(control: Readers, treatment: Readers) -> bool:
    effects = [
        estimate_effect(
            Moments.from_arrays(control.reads[start::SEGMENTS]),
            Moments.from_arrays(treatment.reads[start::SEGMENTS]),
        )
        for start in range(SEGMENTS)
    ]
    p_value = check_heterogeneity(effects).p_value
    return p_value is not None and p_value < ALPHA


def winsorise(values: ArrayLike, quantile: float = 0.99) -> NDArray[np.float64]:
    """Pull values above a quantile of all readers together down to it.

    The quantile must come from the variants joined, or the cut itself would differ between them.

    Args:
        values: Shape (readers,), every variant.
        quantile: Share of the positive values left untouched.

    Returns:
        Shape (readers,).
    """
    array = np.asarray(values, dtype=np.float64)
    positive = array[array > 0]
    return np.minimum(array, np.quantile(positive, quantile)) if positive.size else array
