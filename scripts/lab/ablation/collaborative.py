"""Measures what each part of the collaborative model contributes, by removing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from feed.arrays import Floats, Integers, Matrix
from feed.models.factors import (
    confidences,
    fit_als,
    fit_content_map,
    item_neighbours,
)
from feed.models.fold_in import blend_factors, fold_in
from feed.offline.ranking_metrics import MeanEstimate, bootstrap_mean, ndcg_at, sort_lists
from feed.training_config import TrainingConfig
from lab.ablation.data import Reads

Scorer = Callable[[Integers, Floats], npt.NDArray[np.floating]]

TESTED = 3000
"""Readers measured, drawn at random."""
FEWEST_READS = 3
"""Readers with fewer reads have no past to speak of."""
SEEN_READERS = 5
"""An article needs so many readers to be hidden in the cold-start test."""
LIKE = 20
"""Seen articles nearest in content that speak for an unseen one's popularity."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: nDCG@10 of a variant of the model on one question."""

    question: str
    variant: str
    ndcg: MeanEstimate


def weights_of(reads: Reads) -> csr_matrix:
    """Return the users x articles matrix of a set of reads, repeats counted once."""
    pairs = reads.users * reads.shape[1] + reads.articles
    _, first = np.unique(pairs, return_index=True)
    return csr_matrix(
        (reads.weights[first], (reads.users[first], reads.articles[first])), shape=reads.shape
    )


def next_read(reads: Reads, seed: int) -> tuple[Reads, Integers, Integers]:
    """Return the reads without the last one of the tested readers; those readers; their last.

    The last read must be liked (weight above zero) and new to the reader.
    """
    order = np.lexsort((np.arange(len(reads.users)), reads.at, reads.users))
    users = reads.users[order]
    last = order[np.flatnonzero(np.r_[users[1:] != users[:-1], True])]
    counts = np.bincount(reads.users)
    pairs = reads.users * reads.shape[1] + reads.articles
    names, times = np.unique(pairs, return_counts=True)
    once = times[np.searchsorted(names, pairs[last])] == 1
    fit = (counts[reads.users[last]] >= FEWEST_READS) & (reads.weights[last] > 0) & once
    last = last[fit]
    rng = np.random.default_rng(seed)
    last = np.sort(rng.choice(last, min(TESTED, len(last)), replace=False))
    keep = np.ones(len(reads.users), bool)
    keep[last] = False
    return reads.part(keep), reads.users[last], reads.articles[last]


def measure_next(
    known: csr_matrix, users: Integers, wanted: Integers, scorer: Scorer
) -> MeanEstimate:
    """Return nDCG@10 of the one wanted article among all that the reader has not read."""
    values = np.zeros(len(users))
    for place, (user, target) in enumerate(zip(users.tolist(), wanted.tolist(), strict=True)):
        past = known[user]
        scores = np.array(scorer(past.indices.astype(np.int64), past.data), np.float64)
        scores[past.indices] = -np.inf
        values[place] = _gain(scores, target)
    return bootstrap_mean(values, users)


def factor_scorer(factors: Matrix, config: TrainingConfig) -> Scorer:
    """Return the scorer that folds a reader's past in and multiplies."""
    gramian = factors.T @ factors

    def score(rows: Integers, weights: Floats) -> npt.NDArray[np.floating]:
        return factors @ fold_in(
            factors,
            gramian,
            rows,
            weights,
            regularization=config.regularization,
            alpha=config.alpha,
        )

    return score


def compare_engines(reads: Reads, config: TrainingConfig) -> list[Row]:
    """Return ALS with 32 to 256 factors, item-item, BPR and popularity on the next read."""
    question = "next read"
    train, users, wanted = next_read(reads, config.seed)
    known = weights_of(train)
    rows = []
    for factors in (32, 64, 128, 256):
        sized = replace(config, factors=factors)
        scorer = factor_scorer(fit_als(known, sized), sized)
        rows.append(Row(question, f"ALS {factors}", measure_next(known, users, wanted, scorer)))
    neighbours = measure_next(known, users, wanted, _neighbour_scorer(known, config))
    rows.append(Row(question, "item-item", neighbours))
    rows.append(Row(question, "BPR 64", _measure_bpr(known, users, wanted, config)))
    popular = np.asarray((known > 0).sum(axis=0), np.float64).ravel()
    rows.append(Row(question, "popularity", measure_next(known, users, wanted, lambda *_: popular)))
    return rows


def compare_fold_in(reads: Reads, config: TrainingConfig) -> list[Row]:
    """Return the next read from a vector with the last click, and from one without it."""
    train, users, wanted = next_read(reads, config.seed)
    known = weights_of(train)
    scorer = factor_scorer(fit_als(known, config), config)
    latest: dict[int, int] = {}
    order = np.lexsort((train.at, train.users))
    for place in order.tolist():
        latest[int(train.users[place])] = int(train.articles[place])
    stale = known.tolil()
    for user in users.tolist():
        stale[user, latest[user]] = 0.0
    late = stale.tocsr()
    late.eliminate_zeros()
    rows = [Row("last click", "folded in", measure_next(known, users, wanted, scorer))]

    def without(position: int, user: int) -> float:
        past = late[user]
        scores = np.array(scorer(past.indices.astype(np.int64), past.data), np.float64)
        scores[known[user].indices] = -np.inf
        return _gain(scores, int(wanted[position]))

    values = np.array([without(p, u) for p, u in enumerate(users.tolist())])
    rows.append(Row("last click", "yesterday's vector", bootstrap_mean(values, users)))
    return rows


def compare_cold_start(reads: Reads, config: TrainingConfig) -> list[Row]:
    """Return how unseen articles are found by content, and what that costs seen ones.

    A fifth of the articles is taken out of training with all its reads; each reader's read of
    such an article is to be found among all unseen ones, from the reader's other reads. What
    popularity can say of an article nobody has read is how much its `LIKE` nearest seen ones
    were read; its own reads to come are an oracle, printed to show how far there is to go.
    """
    rng = np.random.default_rng(config.seed)
    readers = np.bincount(reads.articles, minlength=reads.shape[1])
    able = np.flatnonzero(readers >= SEEN_READERS)
    unseen = rng.choice(able, len(able) // 5, replace=False)
    hidden = np.isin(reads.articles, unseen)
    known = weights_of(reads.part(~hidden))
    factors = fit_als(known, config)
    count = np.asarray((known > 0).sum(axis=0), np.float64).ravel()
    learnt, bias = fit_content_map(
        reads.content,
        factors,
        count,
        ridge=config.content_ridge,
        min_readers=config.content_min_readers,
    )
    mapped = reads.content @ learnt + bias
    users, wanted = reads.users[hidden], reads.articles[hidden]
    pick = rng.choice(len(users), min(TESTED, len(users)), replace=False)
    pick = pick[np.diff(known.indptr)[users[pick]] > 0]
    users, wanted = users[pick], wanted[pick]
    nearby = _popularity_nearby(reads.content, count, unseen)
    later = readers.astype(np.float64)
    blended = blend_factors(factors, mapped.astype(np.float32), count, config.shrinkage_readers)
    scorers: dict[str, Scorer] = {
        "content map": _through(blended, factors, config),
        "own factors (none)": _through(factors, factors, config),
        "content cosine": lambda rows, weights: reads.content @ (weights @ reads.content[rows]),
        "popularity of like articles": lambda *_: nearby,
        "random": lambda *_: rng.random(len(later)),
        "oracle: their reads to come": lambda *_: later,
    }
    rows = [
        Row("unseen articles", name, _measure_among(known, users, wanted, unseen, scorer))
        for name, scorer in scorers.items()
    ]
    return rows + _harm(reads, config)


def compare_negatives(reads: Reads, config: TrainingConfig) -> list[Row]:
    """Return the next liked article with dislikes as negatives, left out, and taken for likes."""
    train, users, wanted = next_read(reads, config.seed)
    signs = {
        "as negatives": train.weights,
        "left out": np.maximum(train.weights, 0.0),
        "taken for likes": np.abs(train.weights),
    }
    seen = weights_of(train)
    rows = []
    for name, weights in signs.items():
        known = weights_of(replace(train, weights=weights))
        known.eliminate_zeros()
        scorer = factor_scorer(fit_als(known, config), config)
        found = _measure_masked(seen, known, users, wanted, scorer)
        rows.append(Row("dislikes", name, found))
    return rows


def check_against_implicit(reads: Reads, config: TrainingConfig) -> float:
    """Return the greatest difference of our ALS from plain implicit at the same parameters."""
    weights = weights_of(reads)
    with threadpool_limits(1, "blas"):
        plain = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=1.0,
            iterations=config.iterations,
            num_threads=1,
            random_state=config.seed,
        )
        plain.fit(confidences(weights, config.alpha), show_progress=False)
    ours = fit_als(weights, config)
    read = np.asarray(abs(weights).sum(axis=0)).ravel() > 0
    return float(np.abs(ours[read] - plain.item_factors[read]).max())


def _harm(reads: Reads, config: TrainingConfig) -> list[Row]:
    train, users, wanted = next_read(reads, config.seed)
    known = weights_of(train)
    factors = fit_als(known, config)
    count = np.asarray((known > 0).sum(axis=0), np.float64).ravel()
    learnt, bias = fit_content_map(
        reads.content,
        factors,
        count,
        ridge=config.content_ridge,
        min_readers=config.content_min_readers,
    )
    mapped = (reads.content @ learnt + bias).astype(np.float32)
    blended = blend_factors(factors, mapped, count, config.shrinkage_readers)
    variants = {"own factors": factors, "blended with the map": blended, "the map alone": mapped}
    return [
        Row(
            "seen articles",
            name,
            measure_next(known, users, wanted, _through(matrix, factors, config)),
        )
        for name, matrix in variants.items()
    ]


def _popularity_nearby(content: Matrix, readers: Floats, unseen: Integers) -> Floats:
    """Return the mean readers of each unseen article's nearest seen ones, f64 [articles]."""
    seen = np.flatnonzero(readers > 0)
    cosines = content[unseen] @ content[seen].T
    nearest = np.argpartition(-cosines, min(LIKE, len(seen)) - 1, axis=1)[:, :LIKE]
    popularity = np.zeros(len(readers))
    popularity[unseen] = readers[seen][nearest].mean(axis=1)
    return popularity


def _through(targets: Matrix, factors: Matrix, config: TrainingConfig) -> Scorer:
    """Fold in through learnt factors, score through others."""
    gramian = factors.T @ factors

    def score(rows: Integers, weights: Floats) -> npt.NDArray[np.floating]:
        vector = fold_in(
            factors,
            gramian,
            rows,
            weights,
            regularization=config.regularization,
            alpha=config.alpha,
        )
        return targets @ vector

    return score


def _neighbour_scorer(known: csr_matrix, config: TrainingConfig) -> Scorer:
    index, similarity = item_neighbours(known, config.neighbours)

    def score(rows: Integers, weights: Floats) -> Floats:
        others = index[rows]
        votes = np.where(others >= 0, similarity[rows] * weights[:, None], 0.0)
        places = np.maximum(others, 0).ravel()
        return np.bincount(places, votes.ravel(), minlength=known.shape[1]).astype(np.float64)

    return score


def _measure_bpr(
    known: csr_matrix, users: Integers, wanted: Integers, config: TrainingConfig
) -> MeanEstimate:
    model = BayesianPersonalizedRanking(
        factors=64, iterations=60, num_threads=1, random_state=config.seed
    )
    model.fit((known > 0).astype(np.float32).tocsr(), show_progress=False)
    values = np.zeros(len(users))
    for place, (user, target) in enumerate(zip(users.tolist(), wanted.tolist(), strict=True)):
        scores = np.array(model.item_factors @ model.user_factors[user], np.float64)
        scores[known[user].indices] = -np.inf
        values[place] = _gain(scores, target)
    return bootstrap_mean(values, users)


def _measure_among(
    known: csr_matrix, users: Integers, wanted: Integers, among: Integers, scorer: Scorer
) -> MeanEstimate:
    allowed = np.zeros(known.shape[1], bool)
    allowed[among] = True
    values = np.zeros(len(users))
    for place, (user, target) in enumerate(zip(users.tolist(), wanted.tolist(), strict=True)):
        past = known[user]
        scores = np.array(scorer(past.indices.astype(np.int64), past.data), np.float64)
        scores[~allowed] = -np.inf
        values[place] = _gain(scores, target)
    return bootstrap_mean(values, users)


def _measure_masked(
    seen: csr_matrix, known: csr_matrix, users: Integers, wanted: Integers, scorer: Scorer
) -> MeanEstimate:
    values = np.zeros(len(users))
    for place, (user, target) in enumerate(zip(users.tolist(), wanted.tolist(), strict=True)):
        past = known[user]
        scores = np.array(scorer(past.indices.astype(np.int64), past.data), np.float64)
        scores[seen[user].indices] = -np.inf
        values[place] = _gain(scores, target)
    return bootstrap_mean(values, users)


def _gain(scores: Floats, target: int) -> float:
    usable = np.flatnonzero(scores > -np.inf)
    relevant = usable == target
    return float(ndcg_at(sort_lists(scores[usable], relevant, [len(usable)], [1.0]), 10)[0])
