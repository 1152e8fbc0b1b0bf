"""Ranking metrics over many lists at once, and their intervals by bootstrap over users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Integers


@dataclass(frozen=True, slots=True)
class RankedLists:
    """Where the clicked entries of n lists stand: what every metric needs, found once.

    `lists` int64 [clicked] names each clicked entry's list; `ranks` count from 0, the best;
    `midranks` f64 count from 1, the worst, with ties in their middle. `sizes` f64 [n] and
    `wanted` f64 [n] count a list's entries and everything that should have been in it (clicked
    articles outside it included).
    """

    lists: Integers
    ranks: Integers
    midranks: Floats
    sizes: Floats
    wanted: Floats


def sort_lists(
    scores: npt.ArrayLike,
    relevant: Flags,
    sizes: npt.ArrayLike,
    wanted: npt.ArrayLike | None = None,
    tie_seed: int = 20,
) -> RankedLists:
    """Return where the relevant entries stand in the order of the scores.

    Entries of equal score come in an order drawn at random with a fixed seed, so that neither
    the order of the input nor the outcome decides between them. Nothing is sorted: an entry's
    rank is the number of entries of its list above it.

    Args:
        scores: f64 [total], higher is better; NaN counts as the lowest.
        relevant: bool [total].
        sizes: entries of each list, [n], in the order of `scores`.
        wanted: relevant articles of each list, inside or not; those inside when None.
        tie_seed: of that drawing.
    """
    values = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
    counts = np.asarray(sizes, np.int64)
    lot = np.random.default_rng(tie_seed).random(len(values))
    places = np.flatnonzero(relevant)
    lists = np.repeat(np.arange(len(counts)), counts)[places]
    entries, each = entries_beside(lists, counts)
    own = np.repeat(places, each)
    above = values[entries] > values[own]
    equal = values[entries] == values[own]
    starts = np.cumsum(each) - each
    higher = _sum_runs(above, starts)
    ranks = higher + _sum_runs(equal & (lot[entries] > lot[own]), starts)
    from_best = higher + (_sum_runs(equal, starts) - 1) / 2.0
    inside = np.bincount(lists, minlength=len(counts)).astype(np.float64)
    return RankedLists(
        lists=lists,
        ranks=ranks,
        midranks=each - from_best,
        sizes=counts.astype(np.float64),
        wanted=inside if wanted is None else np.asarray(wanted, np.float64),
    )


def weighed_pairs(
    scores: npt.ArrayLike, relevant: Flags, weights: Floats, sizes: npt.ArrayLike
) -> Floats:
    """Return the share of pairs of a relevant and another entry in the right order, f64 [n].

    Each pair has the weight of its other entry; ties count half. If entries weigh what the chance
    is that they were looked at, then two articles are compared as often in one order of their
    places as in the other, so the places decide nothing. NaN for a list without a choice.

    Args:
        scores: f64 [total], higher is better.
        relevant: bool [total].
        weights: f64 [total].
        sizes: entries of each list, [n], in the order of `scores`.
    """
    values = np.asarray(scores, np.float64)
    counts = np.asarray(sizes, np.int64)
    places = np.flatnonzero(relevant)
    lists = np.repeat(np.arange(len(counts)), counts)[places]
    entries, each = entries_beside(lists, counts)
    own = np.repeat(places, each)
    weighed = np.where(relevant[entries], 0.0, weights[entries])
    right = (values[own] > values[entries]) + 0.5 * (values[own] == values[entries])
    beside = np.repeat(lists, each)
    total = np.bincount(beside, weighed, len(counts))
    won = np.bincount(beside, weighed * right, len(counts))
    shares: Floats = np.divide(won, total, out=np.full(len(counts), np.nan), where=total > 0)
    return shares


def auc(ranked: RankedLists) -> Floats:
    """Return the area under the ROC curve of each list, f64 [n]; ties count half.

    NaN for a list without both clicked and unclicked articles. MIND's definition.
    """
    inside = _sum(ranked, np.ones(len(ranked.lists)))
    above = _sum(ranked, ranked.midranks) - inside * (inside + 1.0) / 2.0
    pairs = inside * (ranked.sizes - inside)
    return np.where(pairs > 0, above / np.maximum(pairs, 1.0), np.nan)


def reciprocal_rank(ranked: RankedLists) -> Floats:
    """Return the mean over clicked articles of 1 / rank, f64 [n]: MIND's MRR.

    With one clicked article in a list it is the usual reciprocal rank.
    """
    gain = _sum(ranked, 1.0 / (ranked.ranks + 1.0))
    return _per_wanted(gain, ranked.wanted)


def ndcg_at(ranked: RankedLists, k: int) -> Floats:
    """Return the normalised discounted cumulative gain of the first k, f64 [n].

    Binary gains, discount `1 / log2(rank + 1)`; the ideal list holds every wanted article, so
    one that never was a candidate counts as missed. NaN where nothing was wanted.

    Source: Jarvelin and Kekalainen: Cumulated Gain-Based Evaluation (2002).
    """
    discount = np.where(ranked.ranks < k, 1.0 / np.log2(ranked.ranks + 2.0), 0.0)
    gain = _sum(ranked, discount)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])
    best = ideal[np.minimum(ranked.wanted, k).astype(np.int64)]
    return np.where(best > 0, gain / np.maximum(best, 1e-12), np.nan)


def recall_at(ranked: RankedLists, k: int) -> Floats:
    """Return the share of wanted articles among the first k, f64 [n]; NaN where none."""
    return _per_wanted(_sum(ranked, ranked.ranks < k), ranked.wanted)


def expected_found(ranked: RankedLists, persistence: float) -> Floats:
    """Return how many relevant entries of each list a reader comes upon, f64 [n].

    A reader who has looked at one place looks at the next one with the chance `persistence`.

    Source: Moffat and Zobel: Rank-Biased Precision (2008).
    """
    return _sum(ranked, persistence ** ranked.ranks.astype(np.float64))


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean with its interval; `n` is the number of lists behind it."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Floats, users: Integers, *, draws: int = 400, level: float = 0.95, seed: int = 11
) -> MeanEstimate:
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
        return MeanEstimate(np.nan, np.nan, np.nan, 0)
    _, who = np.unique(users[known], return_inverse=True)
    sums = np.bincount(who, values[known])
    counts = np.bincount(who).astype(np.float64)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(sums), np.full(len(sums), 1.0 / len(sums)), size=draws)
    means = (weights @ sums) / np.maximum(weights @ counts, 1.0)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return MeanEstimate(float(values[known].mean()), float(low), float(high), int(known.sum()))


def _sum(ranked: RankedLists, values: npt.NDArray[np.generic]) -> Floats:
    sums = np.bincount(ranked.lists, values.astype(np.float64), minlength=len(ranked.sizes))
    return sums.astype(np.float64)


def _per_wanted(gain: Floats, wanted: Floats) -> Floats:
    return np.where(wanted > 0, gain / np.maximum(wanted, 1.0), np.nan)


def entries_beside(lists: Integers, counts: Integers) -> tuple[Integers, Integers]:
    """Return, for each named list in turn, the places of all its entries, and how many."""
    each = counts[lists]
    begins = (np.cumsum(counts) - counts)[lists]
    offsets = np.arange(int(each.sum())) - np.repeat(np.cumsum(each) - each, each)
    return np.repeat(begins, each) + offsets, each


def _sum_runs(flags: Flags, starts: Integers) -> Integers:
    if not len(starts):
        return np.zeros(0, np.int64)
    return np.add.reduceat(flags.astype(np.int64), starts)
