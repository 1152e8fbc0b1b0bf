"""Trials of the watch: a look every hour of two weeks that may stop the experiment by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from feed.arrays import Floats
from feed.experiments.design.definitions import (
    DEFAULT_GUARDRAILS,
    Experiment,
    GuardrailSpec,
    StoppingRule,
    Variant,
)
from feed.experiments.design.metrics import metric_named
from feed.experiments.judgement.estimates import judge_guardrail
from feed.experiments.judgement.results import Comparison
from feed.experiments.judgement.safety import LEAST_READERS, count_guardrails, is_breach
from feed.experiments.statistics.aggregates import NO_READERS, Moments
from feed.experiments.statistics.effects import Effect, estimate_effect
from feed.experiments.statistics.noninferiority import Guardrail
from feed.experiments.statistics.sample_ratio import ALARM_BELOW, always_valid_p_value
from lab.simulation.tally import Counter, Tally

HOURS = 14 * 24
NEW_AN_HOUR = 20
"""Readers who come for the first time in an hour, in each variant."""
GROUPS, FEEDS = 20, 3
PART = 10
"""One run of so many is made: each has 336 looks at three guardrails."""

DESIGN = Experiment(
    name="watched",
    hypothesis="h",
    owner="o",
    variants=(Variant(name="control", share=0.5), Variant(name="treatment", share=0.5)),
    planned_readers=2 * HOURS * NEW_AN_HOUR,
    equal_arms=True,
)
FIXED = replace(DESIGN, stopping_rule=StoppingRule.FIXED)
LATENCY, FALLBACKS, ENTROPY = DEFAULT_GUARDRAILS
FALLBACK_SHARE = 0.02
MEAN_ENTROPY, SPREAD_ENTROPY = 1.6, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """What the treatment does: factors on latency and entropy, and more fallback feeds."""

    latency: float = 1.0
    fallbacks: float = 0.0
    entropy: float = 1.0


NO_HARM = Harm()
AT_THE_MARGIN = Harm(
    latency=1.0 + LATENCY.margin, fallbacks=FALLBACKS.margin, entropy=1.0 - ENTROPY.margin
)
"""The largest loss that every default guardrail tolerates: the worst case for false stops."""
SLOW = Harm(latency=1.5)
UNVARIED = Harm(entropy=0.8)


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant's readers in the order of their coming; the arrays hold one row a reader."""

    latency: Floats
    fallbacks: Floats
    entropy: Floats


def try_watch(seed: int, runs: int, harm: Harm) -> dict[str, Tally]:
    """Look every hour at the default guardrails and the sample ratio, and stop as the watch does.

    Args:
        seed: Of the chance.
        runs: Experiments, of which a tenth is made.
        harm: True effects of the treatment.

    Returns:
        How often the experiment is stopped, by the watch and by tests that hold for one look,
        and the share of the two weeks that pass until the watch stops it.
    """
    rng = np.random.default_rng(seed)
    counter = Counter()
    for _ in range(max(1, runs // PART)):
        arms = _draw(rng, NO_HARM), _draw(rng, harm)
        dealt = rng.binomial(2 * NEW_AN_HOUR, 0.5, HOURS).cumsum()
        stopped_at, naive = 0, False
        for hour, outcomes in enumerate(_looks(arms), 1):
            watched, single = zip(*outcomes, strict=True)
            naive = naive or any(one.verdict == "breached" for one in single)
            if not stopped_at and _stops(watched, hour, int(dealt[hour - 1])):
                stopped_at = hour
            if stopped_at and naive:
                break
        counter.note("stopped by the watch", stopped_at > 0)
        counter.note("stopped by tests for one look", naive)
        if stopped_at:
            counter.note("share of two weeks until the stop", stopped_at / HOURS)
    return counter.tallies()


def _draw(rng: np.random.Generator, harm: Harm) -> Arm:
    readers = HOURS * NEW_AN_HOUR
    slowness = rng.normal(0.0, 0.3, (readers, 1))
    latency = harm.latency * rng.lognormal(3.0 + slowness, 0.6, (readers, FEEDS))
    prone = rng.beta(0.5, 0.5 / FALLBACK_SHARE - 0.5, readers)
    chance = np.minimum(prone * (FALLBACK_SHARE + harm.fallbacks) / FALLBACK_SHARE, 1.0)
    fallbacks = rng.binomial(FEEDS, chance).astype(np.float64)
    entropy = harm.entropy * rng.normal(MEAN_ENTROPY, SPREAD_ENTROPY, readers)
    return Arm(latency, fallbacks, entropy)


def _looks(arms: tuple[Arm, Arm]) -> Iterator[list[tuple[Guardrail, Guardrail]]]:
    """Give at every hour each guardrail as the watch judges it, and as a single look would."""
    fallbacks, entropies = [NO_READERS] * 2, [NO_READERS] * 2
    for hour in range(1, HOURS + 1):
        fresh, size = slice((hour - 1) * NEW_AN_HOUR, hour * NEW_AN_HOUR), hour * NEW_AN_HOUR
        feeds = np.full(NEW_AN_HOUR, float(FEEDS))
        for side, arm in enumerate(arms):
            fallbacks[side] += Moments.from_arrays(arm.fallbacks[fresh], feeds)
            entropies[side] += Moments.from_arrays(arm.entropy[fresh])
        effects = (
            (LATENCY, estimate_effect(*(_quantiles(arm.latency[:size]) for arm in arms))),
            (FALLBACKS, estimate_effect(*fallbacks)),
            (ENTROPY, estimate_effect(*entropies)),
        )
        yield [_judge(spec, effect, size) for spec, effect in effects]


def _quantiles(latency: Floats) -> Moments:
    groups = latency.reshape(-1, GROUPS, FEEDS).swapaxes(0, 1).reshape(GROUPS, -1)
    place = int(0.95 * groups.shape[1])
    return Moments.from_arrays(np.partition(groups, place, axis=1)[:, place])


def _judge(spec: GuardrailSpec, effect: Effect, size: int) -> tuple[Guardrail, Guardrail]:
    found, metric = Comparison("treatment", effect), metric_named(spec.metric)
    watched, single = (
        judge_guardrail(design, spec, metric, found, (size, size)) for design in (DESIGN, FIXED)
    )
    return watched, single


def _stops(outcomes: tuple[Guardrail, ...], hour: int, treated: int) -> bool:
    if _followed(treated, 2 * NEW_AN_HOUR * hour) < ALARM_BELOW:
        return True
    enough = hour * NEW_AN_HOUR >= LEAST_READERS
    count = count_guardrails(DESIGN)
    return enough and any(is_breach(one, DESIGN.alpha, count) for one in outcomes)


@cache
def _followed(treated: int, readers: int) -> float:
    return always_valid_p_value((readers - treated, treated), (1, 1)) or 0.0
