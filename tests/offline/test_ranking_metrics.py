import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG

from feed.offline.ranking_metrics import (
    auc,
    bootstrap_mean,
    ndcg_at,
    recall_at,
    reciprocal_rank,
    sort_lists,
    weighed_pairs,
)


def make_lists(seed: int = 0, count: int = 60):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, count)
    scores = rng.permutation(int(sizes.sum())).astype(float)
    relevant = rng.random(int(sizes.sum())) < 0.15
    return scores, relevant, sizes


def as_trec(scores, relevant, sizes):
    qrels, run, start = [], [], 0
    for query, size in enumerate(sizes.tolist()):
        for i in range(start, start + size):
            run.append(ir_measures.ScoredDoc(str(query), f"d{i}", float(scores[i])))
            qrels.append(ir_measures.Qrel(str(query), f"d{i}", int(relevant[i])))
        start += size
    return qrels, run


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_metrics_equal_ir_measures(seed):
    scores, relevant, sizes = make_lists(seed)
    ranked = sort_lists(scores, relevant, sizes)
    qrels, run = as_trec(scores, relevant, sizes)
    mine = {
        nDCG @ 5: ndcg_at(ranked, 5),
        nDCG @ 10: ndcg_at(ranked, 10),
        R @ 10: recall_at(ranked, 10),
    }
    theirs = {measure: np.full(len(sizes), np.nan) for measure in mine}
    for found in ir_measures.iter_calc(list(mine), qrels, run):
        theirs[found.measure][int(found.query_id)] = found.value
    some = ranked.wanted > 0
    for measure, values in mine.items():
        np.testing.assert_allclose(values[some], theirs[measure][some], atol=1e-9)
        assert np.isnan(values[~some]).all()


def test_reciprocal_rank_equals_ir_measures_with_one_click_a_list():
    scores, relevant, sizes = make_lists(3)
    relevant[:] = False
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    relevant[starts + np.random.default_rng(1).integers(0, sizes)] = True
    qrels, run = as_trec(scores, relevant, sizes)
    theirs = np.zeros(len(sizes))
    for found in ir_measures.iter_calc([RR], qrels, run):
        theirs[int(found.query_id)] = found.value
    np.testing.assert_allclose(reciprocal_rank(sort_lists(scores, relevant, sizes)), theirs)


def test_auc_counts_pairs_with_ties_half():
    scores = np.array([3.0, 1.0, 1.0, 2.0])
    ranked = sort_lists(scores, np.array([False, True, False, True]), [4])
    pairs = [(1.0, 3.0), (1.0, 1.0), (2.0, 3.0), (2.0, 1.0)]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
    assert auc(ranked)[0] == pytest.approx(wins / len(pairs))


def test_a_constant_score_gives_an_auc_of_one_half_whatever_the_order():
    relevant = np.array([True, False, False, False, True, False])
    assert auc(sort_lists(np.zeros(6), relevant, [6]))[0] == pytest.approx(0.5)


def test_ties_are_not_broken_by_the_order_of_the_input():
    count = 4000
    relevant = np.tile([True, False, False, False, False], count)
    first = ndcg_at(sort_lists(np.zeros(5 * count), relevant, np.full(count, 5)), 1)
    assert first.mean() == pytest.approx(0.2, abs=0.03)


def test_clicked_articles_outside_the_list_count_as_missed():
    relevant = np.array([True, False])
    ranked = sort_lists(np.array([2.0, 1.0]), relevant, [2], wanted=[2.0])
    assert recall_at(ranked, 10)[0] == pytest.approx(0.5)
    assert ndcg_at(ranked, 10)[0] == pytest.approx(1.0 / (1.0 + 1.0 / np.log2(3.0)))
    nothing = sort_lists(np.array([2.0, 1.0]), np.array([False, False]), [2], wanted=[1.0])
    assert ndcg_at(nothing, 10)[0] == 0.0


def test_unknown_scores_come_last():
    ranked = sort_lists(np.array([np.nan, 1.0]), np.array([True, False]), [2])
    assert auc(ranked)[0] == 0.0


def test_the_interval_resamples_readers_not_lists():
    users = np.repeat(np.arange(20), 50)
    by_reader = np.repeat(np.random.default_rng(0).normal(size=20), 50)
    clustered = bootstrap_mean(by_reader, users)
    alone = bootstrap_mean(by_reader, np.arange(len(users)))
    assert clustered.high - clustered.low > 4 * (alone.high - alone.low)
    assert clustered.low < clustered.mean < clustered.high


def test_weighed_pairs_are_those_in_order_by_the_weight_of_what_was_not_clicked():
    scores, relevant, sizes = make_lists()
    weights = np.random.default_rng(1).random(len(scores))
    scores = np.round(scores / 3)
    found, start = weighed_pairs(scores, relevant, weights, sizes), 0
    for share, size in zip(found.tolist(), sizes.tolist(), strict=True):
        part = slice(start, start + size)
        start += size
        score, clicked, weight = scores[part], relevant[part], weights[part]
        pairs = [(i, j) for i in np.flatnonzero(clicked) for j in np.flatnonzero(~clicked)]
        if not pairs:
            assert np.isnan(share)
            continue
        won = sum(
            weight[j] * ((score[i] > score[j]) + 0.5 * (score[i] == score[j])) for i, j in pairs
        )
        assert share == pytest.approx(won / sum(weight[j] for _, j in pairs))


def test_places_decide_nothing_where_pairs_weigh_what_was_looked_at():
    rng, eyes, lists = np.random.default_rng(2), np.array([1.0, 0.3]), 40_000
    clicked = rng.random((lists, 2)) < eyes * 0.2
    by_place = np.tile([1.0, 0.0], lists)
    sizes = np.full(lists, 2)
    even = np.ones(2 * lists)
    weighed = [
        _pairs_won(by_place, clicked.ravel(), weights, sizes)
        for weights in (even, np.tile(eyes, lists))
    ]
    assert weighed[0] > 0.7
    assert weighed[1] == pytest.approx(0.5, abs=0.05)


def _pairs_won(scores, clicked, weights, sizes) -> float:
    """The share of all pairs, each with its weight, that are in order."""
    shares = weighed_pairs(scores, clicked, weights, sizes)
    of_list = np.add.reduceat(weights * ~clicked, np.cumsum(sizes) - sizes)
    known = ~np.isnan(shares)
    return float(np.average(shares[known], weights=of_list[known]))
