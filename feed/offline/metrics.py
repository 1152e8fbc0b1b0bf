"""Ranking metrics over many lists at once, and their intervals by bootstrap over users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RankedLists:
    """n lists of candidates, flattened: what every metric needs, sorted once.

    `lists` int64 [total] names each entry's list, best first within a list; `ranks` counts from
    0; `relevant` marks the clicked; `sizes` f64 [n] and `wanted` f64 [n] count a list's entries
    and everything that should have been in it (clicked articles outside it included). `midranks`
    f64 [total] are ranks among all scores with ties in their middle, 1 for the worst.
    """

    lists: Integers
    ranks: Integers
    relevant: Flags
    sizes: Floats
    wanted: Floats
    midranks: Floats


def sort_lists(
    scores: npt.ArrayLike,
    relevant: Flags,
    sizes: npt.ArrayLike,
    wanted: npt.ArrayLike | None = None,
    tie_seed: int = 20,
) -> RankedLists:
    """Return lists in the order of their scores.

    Entries of equal score come in an order drawn at random with a fixed seed, so that neither
    the order of the input nor the outcome decides between them.

    Args:
        scores: f64 [total], higher is better; NaN counts as the lowest.
        relevant: bool [total].
        sizes: entries of each list, [n], in the order of `scores`.
        wanted: relevant articles of each list, inside or not; those inside when None.
        tie_seed: of that drawing.
    """
    values = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
    sizes = np.asarray(sizes, np.int64)
    lists = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    lot = np.random.default_rng(tie_seed).random(len(values))
    order = np.lexsort((lot, -values, lists))
    inside = np.bincount(lists, relevant, minlength=len(sizes)).astype(np.float64)
    return RankedLists(
        lists=lists,
        ranks=np.arange(len(values)) - starts[lists],
        relevant=relevant[order],
        sizes=sizes.astype(np.float64),
        wanted=inside if wanted is None else np.asarray(wanted, np.float64),
        midranks=_midranks(values[order], lists, starts, sizes),
    )


def auc(ranked: RankedLists) -> Floats:
    """Return the area under the ROC curve of each list, f64 [n]; ties count half.

    NaN for a list without both clicked and unclicked articles. MIND's definition.
    """
    inside = _sum(ranked, ranked.relevant)
    above = _sum(ranked, ranked.midranks * ranked.relevant) - inside * (inside + 1.0) / 2.0
    pairs = inside * (ranked.sizes - inside)
    return np.where(pairs > 0, above / np.maximum(pairs, 1.0), np.nan)


def reciprocal_rank(ranked: RankedLists) -> Floats:
    """Return the mean over clicked articles of 1 / rank, f64 [n]: MIND's MRR.

    With one clicked article in a list it is the usual reciprocal rank.
    """
    gain = _sum(ranked, ranked.relevant / (ranked.ranks + 1.0))
    return _per_wanted(gain, ranked.wanted)


def ndcg_at(ranked: RankedLists, k: int) -> Floats:
    """Return the normalised discounted cumulative gain of the first k, f64 [n].

    Binary gains, discount `1 / log2(rank + 1)`; the ideal list holds every wanted article, so
    one that never was a candidate counts as missed. NaN where nothing was wanted.

    Source: Jarvelin and Kekalainen: Cumulated Gain-Based Evaluation (2002).
    """
    discount = np.where(ranked.ranks < k, 1.0 / np.log2(ranked.ranks + 2.0), 0.0)
    gain = _sum(ranked, discount * ranked.relevant)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])
    best = ideal[np.minimum(ranked.wanted, k).astype(np.int64)]
    return np.where(best > 0, gain / np.maximum(best, 1e-12), np.nan)


def recall_at(ranked: RankedLists, k: int) -> Floats:
    """Return the share of wanted articles among the first k, f64 [n]; NaN where none."""
    return _per_wanted(_sum(ranked, ranked.relevant & (ranked.ranks < k)), ranked.wanted)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval; `n` is the number of lists behind it."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Floats, users: Integers, *, draws: int = 400, level: float = 0.95, seed: int = 11
) -> Interval:
    """Return the mean over lists with a percentile interval from resampling users.

    A reader's lists resemble each other, so readers are drawn, not lists.

    Args:
        values: one per list; NaN is left out.
        users: whose list it is.
        draws: resamples.
        level: of the interval.
        seed: of the drawing.

    Source: Efron and Tibshirani: An Introduction to the Bootstrap (1993), chapter 13.
    """
    known = ~np.isnan(values)
    if not known.any():
        return Interval(np.nan, np.nan, np.nan, 0)
    _, who = np.unique(users[known], return_inverse=True)
    sums = np.bincount(who, values[known])
    counts = np.bincount(who).astype(np.float64)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sums), np.full(len(sums), 1.0 / len(sums)), size=draws)
    means = (weights @ sums) / np.maximum(weights @ counts, 1.0)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(values[known].mean()), float(low), float(high), int(known.sum()))


def _sum(ranked: RankedLists, values: npt.NDArray[np.generic]) -> Floats:
    sums = np.bincount(ranked.lists, values.astype(np.float64), minlength=len(ranked.sizes))
    return sums.astype(np.float64)


def _per_wanted(gain: Floats, wanted: Floats) -> Floats:
    return np.where(wanted > 0, gain / np.maximum(wanted, 1.0), np.nan)


def _midranks(values: Floats, lists: Integers, starts: Integers, sizes: Integers) -> Floats:
    """Return ranks from the worst (1) with ties in their middle; input is sorted best first."""
    if not len(values):
        return np.zeros(0)
    new = np.ones(len(values), bool)
    new[1:] = (values[1:] != values[:-1]) | (lists[1:] != lists[:-1])
    run = np.cumsum(new) - 1
    first = np.flatnonzero(new)
    middle = first + (np.bincount(run) - 1) / 2.0
    from_best = middle[run] - starts[lists]
    ranks: Floats = sizes[lists] - from_best
    return ranks
