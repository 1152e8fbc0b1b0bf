"""Trials of looking every day: at the effect and at the sample ratio."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np

from feed.arrays import Floats
from feed.experiments.statistics.aggregates import NO_READERS, Moments
from feed.experiments.statistics.early_stop import shrink_early_effect
from feed.experiments.statistics.effects import Effect, estimate_effect
from feed.experiments.statistics.sample_ratio import (
    ALARM_BELOW,
    always_valid_p_value,
    check_sample_ratio,
)
from feed.experiments.statistics.sequential import (
    critical_value,
    estimate_group_sequence,
    estimate_sequence,
)
from lab.simulation.fixed import ALPHA, PLANNED_LIFT, plan
from lab.simulation.tally import Counter, Tally
from lab.simulation.worlds import (
    MEAN_VIEWS,
    READ_SHARE,
    TRUE_READS,
    draw_readers,
)

DAYS = 28
MINIMUM_DAYS = 7
NEW_A_DAY = 60
"""Readers who come for the first time on a day, in each variant."""

GROUPS, FEEDS = 20, 3
"""Groups of readers that a quantile is taken in, and feeds of a reader."""

RATIO_READERS = 4_000
BROKEN_READERS = 10_000


def try_arriving_readers(seed: int, runs: int, lift: float) -> dict[str, Tally]:
    """Look every day while new readers arrive, and count errors over all looks.

    Args:
        seed: Of the chance.
        runs: Experiments.
        lift: True relative effect.

    Returns:
        Rejections at any look by the sequence and by the fixed test, and whether the sequence
        covered the truth at every look.
    """
    rng = np.random.default_rng(seed)
    counter = Counter()
    for _ in range(runs):
        control, treatment = NO_READERS, NO_READERS
        looks = []
        reads = [draw_readers(rng, DAYS * NEW_A_DAY, side).reads for side in (0.0, lift)]
        for day in range(DAYS):
            today = slice(day * NEW_A_DAY, (day + 1) * NEW_A_DAY)
            control += Moments.from_arrays(reads[0][today])
            treatment += Moments.from_arrays(reads[1][today])
            looks.append(estimate_effect(control, treatment))
        _note_looks(counter, "a look every day", looks, 2 * DAYS * NEW_A_DAY, lift)
    return counter.tallies()


def try_returning_readers(seed: int, runs: int) -> dict[str, Tally]:
    """Look every day at the same readers, whose reads grow from day to day; no true effect."""
    rng = np.random.default_rng(seed)
    counter = Counter()
    readers = 500
    for _ in range(runs):
        taste = rng.beta(2.0, 18.0, (2, readers)) * READ_SHARE * MEAN_VIEWS / 7.0
        daily = rng.poisson(taste[:, :, None], (2, readers, DAYS)).cumsum(axis=2)
        looks = [
            estimate_effect(*(Moments.from_arrays(arm) for arm in daily[:, :, day]))
            for day in range(DAYS)
        ]
        _note_looks(counter, "the same readers every day", looks, 2 * readers, 0.0)
    return counter.tallies()


def try_planned_sequence(seed: int, runs: int) -> dict[str, Tally]:
    """Count how often the planned effect is found, and how early, with a look every day."""
    rng = np.random.default_rng(seed)
    counter = Counter()
    planned = plan(sequential=True).control or 0
    days = list(pairwise(np.linspace(0, planned, DAYS + 1).astype(int).tolist()))
    for _ in range(runs):
        control = draw_readers(rng, planned).reads
        treatment = draw_readers(rng, planned, PLANNED_LIFT).reads
        end = _first_finding(control, treatment, days)
        counter.note("power at the planned size, a look every day", end is not None)
        counter.note("share of the planned readers used", (end or planned) / planned)
    return counter.tallies()


def try_early_stops(seed: int, runs: int, share: float) -> dict[str, Tally]:
    """Stop at the first look with a proven gain, and hold what is reported against the truth.

    Args:
        seed: Of the chance.
        runs: Experiments.
        share: True effect as a share of the planned one.

    Returns:
        How often a gain is found before the planned end, and of those gains how many are over the
        truth, and how many over the truth by half, as they look and corrected.
    """
    rng = np.random.default_rng(seed)
    counter = Counter()
    for factors in _early_gains(rng, runs, share * PLANNED_LIFT):
        counter.note("gain found before the end", factors is not None)
        for name, factor in zip(("as it looks", "corrected"), factors or (), strict=False):
            counter.note(f"{name}: over the truth", factor > 1.0)
            counter.note(f"{name}: over 1.5 times the truth", factor > 1.5)
    return counter.tallies()


def _early_gains(
    rng: np.random.Generator, runs: int, lift: float
) -> Iterator[tuple[float, float] | None]:
    """Give each run's early gain over the true one, as it looks and corrected; None without."""
    planned = plan(sequential=True).control or 0
    days = range(MINIMUM_DAYS, DAYS + 1)
    looks = [day / DAYS for day in days]
    critical = [critical_value(round(2 * planned * x), 2 * planned, ALPHA) for x in looks]
    for _ in range(runs):
        reads = [draw_readers(rng, planned, side).reads for side in (0.0, lift)]
        found = None
        for look, bound in list(zip(looks, critical, strict=True))[:-1]:
            size = round(planned * look)
            effect = estimate_effect(*(Moments.from_arrays(arm[:size]) for arm in reads))
            score = (effect.difference or 0.0) / (effect.standard_error or 1.0)
            if score > bound:
                naive = (effect.relative or 0.0) / lift
                found = naive, naive * shrink_early_effect(score, look, looks, critical)
                break
        yield found


def try_sample_ratio(seed: int, runs: int) -> dict[str, Tally]:
    """Count sample-ratio alarms when the split is right, and when a tenth of an arm is lost."""
    rng = np.random.default_rng(seed)
    counter = Counter()
    for treated in rng.binomial(RATIO_READERS, 0.5, 50 * runs).tolist():
        counter.note("alarm, split right", _ratio_alarm(treated, RATIO_READERS))
    for three in rng.multinomial(RATIO_READERS, [0.5, 0.3, 0.2], runs).tolist():
        p_value = check_sample_ratio(three, (0.5, 0.3, 0.2)).p_value or 0.0
        counter.note("p < .05, three variants", p_value < ALPHA)
    for treated in rng.binomial(BROKEN_READERS, 0.5, runs).tolist():
        left = int(rng.binomial(treated, 0.9))
        found = check_sample_ratio((BROKEN_READERS - treated, left), (1, 1))
        counter.note("alarm, a tenth of an arm lost", found.alarm)
    for seen in rng.binomial(2 * NEW_A_DAY, 0.5, (10 * runs, DAYS)).cumsum(axis=1).tolist():
        looks = [_followed(treated, 2 * NEW_A_DAY * day) for day, treated in enumerate(seen, 1)]
        fixed = [_ratio_alarm(treated, 2 * NEW_A_DAY * day) for day, treated in enumerate(seen, 1)]
        counter.note("sequence p < .05, a look every day", min(looks) < ALPHA)
        counter.note("sequence alarm, a look every day", min(looks) < ALARM_BELOW)
        counter.note("fixed alarm, a look every day", any(fixed))
    arriving = rng.binomial(BROKEN_READERS // DAYS, 0.95, (runs, DAYS)).cumsum(axis=1)
    kept = rng.binomial(np.diff(arriving, axis=1, prepend=0), 0.45 / 0.95).cumsum(axis=1)
    for totals, seen in zip(arriving.tolist(), kept.tolist(), strict=True):
        looks = [_followed(treated, total) for treated, total in zip(seen, totals, strict=True)]
        counter.note("sequence alarm, a tenth of an arm lost", min(looks) < ALARM_BELOW)
    return counter.tallies()


def try_group_metric(seed: int, runs: int) -> dict[str, Tally]:
    """Look every day at a quantile that only groups of readers have; no true effect."""
    rng = np.random.default_rng(seed)
    counter = Counter()
    readers = DAYS * NEW_A_DAY
    for _ in range(runs):
        slowness = rng.normal(0.0, 0.3, (2, readers, 1))
        latency = rng.lognormal(3.0 + slowness, 0.6, (2, readers, FEEDS))
        found, fixed = [], []
        for day in range(1, DAYS + 1):
            seen = latency[:, : day * NEW_A_DAY].reshape(2, -1, GROUPS, FEEDS)
            values = np.quantile(seen, 0.95, axis=(1, 3))
            effect = estimate_effect(*(Moments.from_arrays(arm) for arm in values))
            size = day * NEW_A_DAY
            found.append(estimate_group_sequence(effect, (size, size), 2 * readers).p_value)
            fixed.append(effect.p_value)
        counter.note("sequence: rejected", any(p is not None and p < ALPHA for p in found))
        counter.note("fixed test: rejected", any(p is not None and p < ALPHA for p in fixed))
    return counter.tallies()


def _first_finding(control: Floats, treatment: Floats, days: list[tuple[int, int]]) -> int | None:
    before, after = NO_READERS, NO_READERS
    for start, end in days:
        before += Moments.from_arrays(control[start:end])
        after += Moments.from_arrays(treatment[start:end])
        p_value = estimate_sequence(estimate_effect(before, after), 2 * control.size).p_value
        if p_value is not None and p_value < ALPHA:
            return end
    return None


@cache
def _followed(treated: int, readers: int) -> float:
    return always_valid_p_value((treated, readers - treated), (1, 1)) or 0.0


@cache
def _ratio_alarm(treated: int, readers: int) -> bool:
    return check_sample_ratio((treated, readers - treated), (0.5, 0.5)).alarm


def _note_looks(
    counter: Counter, name: str, looks: list[Effect], n_planned: int, lift: float
) -> None:
    found = [estimate_sequence(effect, n_planned) for effect in looks]
    counter.note(
        f"{name}, sequence: rejected",
        any(estimate.p_value is not None and estimate.p_value < ALPHA for estimate in found),
    )
    counter.note(
        f"{name}, fixed test: rejected",
        any(effect.p_value is not None and effect.p_value < ALPHA for effect in looks),
    )
    truth = TRUE_READS * lift
    counter.note(
        f"{name}, sequence: covered at every look",
        all(estimate.interval is None or estimate.interval.covers(truth) for estimate in found),
    )
    counter.note(
        f"{name}, sequence: relative covered at every look",
        all(
            estimate.relative_interval is None or estimate.relative_interval.covers(lift)
            for estimate in found
        ),
    )
