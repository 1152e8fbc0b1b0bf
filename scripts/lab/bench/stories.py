#!/usr/bin/env python3
"""How well twins, stories and series are told apart, on invented articles and on judged pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize

from feed.arrays import Flags, Floats, Integers
from feed.features.story_pairs import BIAS, FEATURES, WEIGHTS, Level
from lab.bench.story_data import JudgedPairs, invented_pairs, mind_pairs

FOLDS = 6
RIDGE = 1.0
"""Penalty on the squared weights, which are fitted to features of unit variance."""
OLD_COSINE = 0.92
"""The rule before: what is at least as alike as this was dropped."""
CERTAIN = 1e6
"""Log-odds that stand for what the rules of twins and series decide."""


class Measured:
    """One set with everything about its pairs that does not depend on the weights."""

    def __init__(self, pairs: JudgedPairs) -> None:
        judge = pairs.judge()
        listed = pairs.pairs()
        self.pairs = pairs
        self.features = np.array([judge.features(pair) for pair in listed])
        self.levels = np.array([judge.judge(pair)[0] for pair in listed])
        odds = np.array([judge.judge(pair)[1] for pair in listed])
        self.decided = np.isinf(odds)
        self.fixed = np.where(self.decided, np.sign(odds) * CERTAIN, 0.0)

    def score(self, weights: Floats, bias: float) -> Floats:
        """Return the log-odds of all pairs, f64 [k]; rules count before weights."""
        scores: Floats = np.where(self.decided, self.fixed, self.features @ weights + bias)
        return scores


def fit(parts: Sequence[tuple[Measured, Flags]]) -> tuple[Floats, float]:
    """Return the weights and the bias of a logistic regression on some pairs of some sets."""
    features = np.concatenate([one.features[kept & ~one.decided] for one, kept in parts])
    same = np.concatenate([one.pairs.same[kept & ~one.decided] for one, kept in parts])
    mean, deviation = features.mean(0), features.std(0) + 1e-9
    scaled = np.column_stack([(features - mean) / deviation, np.ones(len(features))])

    def loss(weights: Floats) -> float:
        margin = scaled @ weights
        fits = np.logaddexp(0.0, margin) - same * margin
        return float(fits.sum() + RIDGE / 2 * (weights[:-1] ** 2).sum())

    found = minimize(loss, np.zeros(scaled.shape[1])).x
    weights = found[:-1] / deviation
    return weights, float(found[-1] - weights @ mean)


def cross_validate(one: Measured, others: Sequence[Measured], groups: Integers) -> Floats:
    """Return the log-odds of each pair by weights fitted without either of its articles.

    Articles of one group are always left out together.
    """
    different = np.unique(groups)
    fold = np.random.default_rng(7).permutation(len(different)) % FOLDS
    of_article = fold[np.searchsorted(different, groups)]
    first, second = of_article[one.pairs.one], of_article[one.pairs.other]
    scores = np.zeros(len(first))
    whole = [(other, np.ones(len(other.pairs.one), np.bool_)) for other in others]
    for low in range(FOLDS):
        for high in range(low, FOLDS):
            tested = (np.minimum(first, second) == low) & (np.maximum(first, second) == high)
            held = np.isin(first, [low, high]) | np.isin(second, [low, high])
            scores[tested] = one.score(*fit([(one, ~held), *whole]))[tested]
    return scores


def precision_at(scores: Floats, same: Flags, weight: Floats, recall: float = 0.5) -> float:
    """Return the precision at the first threshold that reaches a recall."""
    order = np.argsort(-scores, kind="stable")
    hits, taken = np.cumsum((same * weight)[order]), np.cumsum(weight[order])
    at = int(np.searchsorted(hits, recall * hits[-1] - 1e-9))
    return float(hits[at] / taken[at])


def main() -> None:
    """Print precision and recall per level, and with --fit the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mind", nargs="?", type=Path, help="directory of MIND with same_story.tsv")
    parser.add_argument("--fit", action="store_true", help="also print weights fitted to all")
    parser.add_argument(
        "--bare", action="store_true", help="encode texts without what their sources repeat"
    )
    options = parser.parse_args()
    sets = [Measured(invented_pairs(bare=options.bare))]
    if options.mind is not None:
        sets.append(Measured(mind_pairs(options.mind, bare=options.bare)))
    console = Console(width=100)
    table = Table(
        "pairs", "rule", "story: precision", "recall", "precision at recall 1/2", "weighted"
    )
    for one in sets:
        rest = [other for other in sets if other is not one]
        held = cross_validate(one, rest, one.pairs.article_groups)
        _add(table, one, f"cosine {OLD_COSINE:g}", one.pairs.cosine, OLD_COSINE)
        _add(table, one, "cross-validated", held, 0.0)
        _add(table, one, "as it is built", one.score(np.array(WEIGHTS), BIAS), 0.0)
    if options.mind is not None:
        untimed = Measured(mind_pairs(options.mind, timed=False, bare=options.bare))
        _add(table, untimed, "as it is built", untimed.score(np.array(WEIGHTS), BIAS), 0.0)
    console.print(table, _levels(sets))
    if options.fit:
        weights, bias = fit([(one, np.ones(len(one.pairs.one), np.bool_)) for one in sets])
        console.print(FEATURES, weights.round(2).tolist(), round(bias, 2))


def _add(table: Table, one: Measured, rule: str, scores: Floats, threshold: float) -> None:
    same, weight = one.pairs.same, one.pairs.weight
    found = scores >= threshold
    hits = int(np.count_nonzero(found & same))
    taken, wanted = int(np.count_nonzero(found)), int(np.count_nonzero(same))
    table.add_row(
        one.pairs.name,
        rule,
        f"{hits / max(taken, 1):.2f}",
        f"{hits / wanted:.2f}",
        f"{precision_at(scores, same, np.ones(len(same))):.2f}",
        f"{precision_at(scores, same, weight):.2f}",
    )


def _levels(sets: Sequence[Measured]) -> Table:
    table = Table("pairs", "what", "old rule", "new rules")
    for one in sets:
        pairs, cosine = one.pairs, one.pairs.cosine
        alike = cosine >= OLD_COSINE
        twins = (one.levels == Level.TWIN) & pairs.same
        twins |= alike & pairs.same
        together = (one.levels == Level.TWIN) | (one.levels == Level.STORY)
        series = pairs.series | (alike & ~pairs.same)
        for what, rows, old, new in (
            ("twins shown together", twins, ~alike, ~together),
            ("twins that count as twins", twins, alike, one.levels == Level.TWIN),
            ("series dropped", series, alike, together),
            (
                "series that count as series",
                series,
                np.zeros_like(alike),
                one.levels == Level.SERIES,
            ),
        ):
            count = np.count_nonzero(rows)
            table.add_row(
                pairs.name, what, *(f"{np.count_nonzero(x & rows)} of {count}" for x in (old, new))
            )
    return table


if __name__ == "__main__":
    main()
