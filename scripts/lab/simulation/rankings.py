"""Trials of two rankings against each other: interleaved in one feed, and split over readers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from feed.arrays import Floats
from feed.experiments.statistics.aggregates import Moments
from feed.experiments.statistics.effects import estimate_effect
from feed.experiments.statistics.interleaving import estimate_preference, interleave
from feed.experiments.statistics.power import minimum_detectable_effect
from lab.simulation.tally import Counter, Tally

ALPHA = 0.05
ARTICLES, SLOTS, MEAN_FEEDS = 30, 10, 6.0
_EXAMINED = 1.0 / np.log2(np.arange(2, SLOTS + 2))
_SIGNAL = minimum_detectable_effect(1.0, alpha=ALPHA, power=0.8) or 0.0


@dataclass(frozen=True, slots=True)
class ReaderPool:
    """Readers who met both rankings alone and interleaved; shapes (readers,).

    Attributes:
        clicks_a: Clicks when only ranking a was shown.
        clicks_b: Clicks when only ranking b was shown; the mean over the pool is moved to its
            expectation, so that the pool's gain is the true one.
        credit_a: Clicks credited to a when both were interleaved.
        credit_b: The same for b.
    """

    clicks_a: Floats
    clicks_b: Floats
    credit_a: Floats
    credit_b: Floats


@dataclass(frozen=True, slots=True)
class ReadersNeeded:
    """Readers for the same decision, with 80 % power at 5 % two-sided, by design.

    Attributes:
        relative_gain: True relative gain in clicks of the better ranking.
        split: Readers of an A/B test, both variants together.
        sign_test: Readers of an interleaved feed, judged by the sign test.
        mean_credit: The same, judged by mean credit.
    """

    relative_gain: float
    split: int
    sign_test: int
    mean_credit: int


def draw_pool(
    rng: np.random.Generator, readers: int, *, noise_a: float, noise_b: float
) -> ReaderPool:
    """Draw readers and let them click; a ranking is the true interest seen through noise.

    Readers differ, with a long tail, in how many feeds they open and in how readily they click.

    Args:
        rng: Source of chance.
        readers: How many.
        noise_a: Standard deviation of the noise of ranking a.
        noise_b: The same for b; the smaller one ranks better.

    Returns:
        The pool.
    """
    clicks = np.zeros((4, readers))
    gain = 0.0
    feeds = 1 + rng.poisson(rng.gamma(0.7, (MEAN_FEEDS - 1.0) / 0.7, readers))
    eagerness = rng.lognormal(-0.32, 0.8, readers)
    for reader in range(readers):
        for _ in range(feeds[reader]):
            drawn, expected = _open_feed(rng, float(eagerness[reader]), (noise_a, noise_b))
            clicks[:, reader] += drawn
            gain += expected
    clicks[1] += gain / readers - float((clicks[1] - clicks[0]).mean())
    return ReaderPool(clicks[0], clicks[1], clicks[2], clicks[3])


def count_readers_needed(pool: ReaderPool) -> ReadersNeeded:
    """Work out what each design needs, from the variance that it has in the pool.

    Args:
        pool: Readers under rankings of which b is better.

    Returns:
        The readers.
    """
    gain = float(pool.clicks_b.mean() - pool.clicks_a.mean())
    spread = float(pool.clicks_a.var(ddof=1) + pool.clicks_b.var(ddof=1))
    credit = pool.credit_b - pool.credit_a
    signs = np.sign(credit)
    return ReadersNeeded(
        relative_gain=gain / float(pool.clicks_a.mean()),
        split=2 * math.ceil(spread * (_SIGNAL / gain) ** 2),
        sign_test=_readers_for(signs),
        mean_credit=_readers_for(credit),
    )


def try_designs(seed: int, runs: int, pool: ReaderPool, needed: ReadersNeeded) -> dict[str, Tally]:
    """Draw experiments of the worked-out sizes from the pool and count decisions.

    Args:
        seed: Of the chance.
        runs: Experiments.
        pool: Readers under rankings of which b is better.
        needed: Sizes from ``count_readers_needed``.

    Returns:
        How often each design finds the better ranking, and how often interleaving finds one when
        both are equally good (teams swapped at random for each reader).
    """
    rng = np.random.default_rng(seed)
    counter = Counter()
    size = pool.clicks_a.size
    for _ in range(runs):
        a, b = (rng.integers(0, size, needed.split // 2) for _ in range(2))
        effect = estimate_effect(
            Moments.from_arrays(pool.clicks_a[a]), Moments.from_arrays(pool.clicks_b[b])
        )
        counter.note("found by an A/B test", _under_alpha(effect.p_value))
        mixed = rng.integers(0, size, needed.sign_test)
        found = estimate_preference(pool.credit_a[mixed], pool.credit_b[mixed])
        counter.note("found by interleaving, sign test", _under_alpha(found.sign_p_value))
        mixed = rng.integers(0, size, needed.mean_credit)
        found = estimate_preference(pool.credit_a[mixed], pool.credit_b[mixed])
        counter.note("found by interleaving, mean credit", _under_alpha(found.credit_p_value))
        swapped = rng.random(mixed.size) < 0.5
        first, second = pool.credit_a[mixed], pool.credit_b[mixed]
        found = estimate_preference(
            np.where(swapped, second, first), np.where(swapped, first, second)
        )
        counter.note("interleaving of equals, sign test", _under_alpha(found.sign_p_value))
        counter.note("interleaving of equals, mean credit", _under_alpha(found.credit_p_value))
    return counter.tallies()


def _open_feed(
    rng: np.random.Generator, eagerness: float, noises: tuple[float, float]
) -> tuple[Floats, float]:
    interest = rng.normal(size=ARTICLES)
    chance = np.minimum(eagerness * 0.25 / (1.0 + np.exp(2.0 - interest)), 1.0)
    ranks = [np.argsort(-(interest + noise * rng.normal(size=ARTICLES))) for noise in noises]
    mixed = interleave(ranks[0].tolist(), ranks[1].tolist(), SLOTS, rng)
    rows = np.array([ranks[0][:SLOTS], ranks[1][:SLOTS], mixed.slate])
    expected = _EXAMINED * chance[rows]
    clicked = rng.random((3, SLOTS)) < expected
    team_b = np.array([team == "b" for team in mixed.teams])
    drawn = np.array(
        [clicked[0].sum(), clicked[1].sum(), clicked[2][~team_b].sum(), clicked[2][team_b].sum()],
        dtype=np.float64,
    )
    return drawn, float(expected[1].sum() - expected[0].sum())


def _readers_for(score: Floats) -> int:
    return math.ceil((_SIGNAL * float(score.std(ddof=1) / score.mean())) ** 2)


def _under_alpha(p_value: float | None) -> bool:
    return p_value is not None and p_value < ALPHA
