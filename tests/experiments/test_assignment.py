"""Assignment: the same everywhere, close to its shares, independent between experiments."""

import subprocess
import sys

import pytest
import scipy.stats

from feed.domain import InvalidInputError
from feed.experiments.design.assignment import (
    BUCKETS,
    HOLDOUT,
    Allocation,
    assign,
    bucket_of,
    free_buckets,
    is_held_out,
)

USERS = [f"u{number}" for number in range(20_000)]


def allocation_of(experiment_id: str = "e1", layer: str = "ranking", **changes) -> Allocation:
    parts = {
        "salt": "site",
        "buckets": (0, BUCKETS),
        "variants": ("control", "treatment"),
        "shares": (0.5, 0.5),
    }
    return Allocation(experiment_id=experiment_id, layer=layer, **{**parts, **changes})


def test_assignment_is_a_pure_function_of_its_text() -> None:
    assert (
        bucket_of("site", "ranking", "u1") == 515
    )  # sha256sum of "site|ranking|u1", modulo 10,000
    code = (
        "from feed.experiments.design.assignment import bucket_of; print(bucket_of('s', 'l', 'ü'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77"},
    )
    assert int(run.stdout) == bucket_of("s", "l", "ü")


def test_buckets_are_uniform() -> None:
    counts = [0] * 20
    for user in USERS:
        counts[bucket_of("site", "ranking", user) // (BUCKETS // 20)] += 1
    assert scipy.stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.3333, 0.6667)])
def test_variants_get_their_shares(shares: tuple[float, float]) -> None:
    allocation = allocation_of(shares=shares)
    treated = sum(assign(user, allocation).variant == "treatment" for user in USERS)
    assert scipy.stats.binomtest(treated, len(USERS), shares[1]).pvalue > 0.001


def test_experiments_in_one_layer_share_no_reader() -> None:
    first = allocation_of("e1", buckets=(0, 4_000))
    second = allocation_of("e2", buckets=(4_000, BUCKETS))
    for user in USERS[:5_000]:
        variants = [assign(user, allocation).variant for allocation in (first, second)]
        assert variants.count(None) == 1


@pytest.mark.parametrize(
    "other",
    [allocation_of("e1", layer="page"), allocation_of("e2")],
    ids=["another layer", "the next experiment of the layer"],
)
def test_variants_are_independent_between_experiments(other: Allocation) -> None:
    table = [[0, 0], [0, 0]]
    for user in USERS:
        row = assign(user, allocation_of()).variant == "treatment"
        table[row][assign(user, other).variant == "treatment"] += 1
    assert scipy.stats.chi2_contingency(table).pvalue > 0.001


def test_the_holdout_is_in_no_experiment_and_grows_by_adding() -> None:
    held = {user for user in USERS if is_held_out(user, "site", 0.05)}
    assert scipy.stats.binomtest(len(held), len(USERS), 0.05).pvalue > 0.001
    assert held < {user for user in USERS if is_held_out(user, "site", 0.1)}
    for user in list(held)[:50]:
        found = assign(user, allocation_of(), holdout_share=0.05)
        assert (found.variant, found.why) == (None, "holdout")


def test_overrides_are_obeyed_and_never_analysed() -> None:
    allocation = allocation_of(buckets=(0, 0), overrides={"tester": "treatment"})
    found = assign("tester", allocation, holdout_share=1.0)
    assert found.variant == "treatment"
    assert not found.analysed
    assert assign("other", allocation).why == "outside"


def test_readers_without_personalisation_are_in_no_experiment() -> None:
    allocation = allocation_of(overrides={"tester": "treatment"})
    assert assign("tester", allocation, personalized=False).variant is None
    assert assign("u1", allocation).analysed


@pytest.mark.parametrize(
    "changes",
    [
        {"shares": (0.5, 0.6)},
        {"shares": (1.0, 0.0)},
        {"shares": (1.0,)},
        {"variants": ("a", "a")},
        {"variants": ("a",), "shares": (1.0,)},
        {"buckets": (0, BUCKETS + 1)},
        {"buckets": (10, 5)},
        {"overrides": {"u1": "nothing"}},
        {"layer": "holdout"},
    ],
)
def test_allocations_that_make_no_sense_are_refused(changes: dict) -> None:
    with pytest.raises(InvalidInputError) as refused:
        allocation_of(**changes)
    field = next(iter(changes))
    assert str(refused.value).startswith(f"{field}: must ")


def test_without_a_holdout_nobody_is_held_out() -> None:
    first = next(u for u in map(str, range(10**6)) if bucket_of("site", HOLDOUT, u) == 0)
    assert not is_held_out(first, "site", 0.0)
    assert is_held_out(first, "site", 1 / BUCKETS)


def test_free_buckets_finds_the_first_gap() -> None:
    assert free_buckets([], 1.0) == (0, BUCKETS)
    assert free_buckets([(0, 3_000), (5_000, 9_000)], 0.2) == (3_000, 5_000)
    assert free_buckets([(5_000, 9_000), (0, 3_000)], 0.3) is None
    assert free_buckets([(0, 3_000)], 0.7) == (3_000, BUCKETS)
