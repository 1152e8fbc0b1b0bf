"""Assignment: the same everywhere, close to its shares, independent between experiments."""

import subprocess
import sys

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

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
        {"buckets": (-1, 5)},
        {"buckets": (BUCKETS + 1, BUCKETS + 2)},
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


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    buckets = [{at % BUCKETS for at in range(*found)} for found in (one, other)]
    return bool(buckets[0] & buckets[1])


def test_an_experiment_gets_a_free_range_of_its_size() -> None:
    whole = free_buckets([], 1.0, "e")
    assert whole is not None
    assert whole[1] - whole[0] == BUCKETS
    assert free_buckets([(0, 100)], 1.0, "e") is None
    for number in range(50):
        taken = [(0, 3_000), (5_000, 9_000)]
        found = free_buckets(taken, 0.2, f"e{number}")
        assert found == (3_000, 5_000)
        assert free_buckets(taken, 0.25, f"e{number}") is None


def test_free_room_goes_on_from_the_end_to_the_begin() -> None:
    taken = [(4_500, 5_500)]
    found = free_buckets(taken, 0.9, "e")
    assert found == (5_500, 14_500)
    assert not overlap(found, taken[0])


def test_small_experiments_do_not_all_get_the_same_readers() -> None:
    found = [free_buckets([], 0.1, f"e{number}") for number in range(40)]
    readers = [{at % BUCKETS for at in range(*one)} for one in found if one]
    assert len(set.union(*readers)) > 0.9 * BUCKETS
    assert max(sum(at in one for one in readers) for at in range(0, BUCKETS, 100)) < 16


@given(st.lists(st.floats(0.001, 0.5), max_size=12))
def test_experiments_of_one_layer_never_share_a_bucket(shares: list[float]) -> None:
    taken: list[tuple[int, int]] = []
    for number, share in enumerate(shares):
        found = free_buckets(taken, share, f"e{number}")
        if found is not None:
            assert not any(overlap(found, other) for other in taken)
            taken.append(found)


def test_a_range_past_the_end_deals_from_the_begin_on() -> None:
    whole = allocation_of("e1", buckets=(0, BUCKETS))
    first = allocation_of("e1", buckets=(9_000, 11_000))
    second = allocation_of("e1", buckets=(1_000, 9_000))
    readers = [f"reader-{n}" for n in range(2_000)]
    split = [[assign(r, a).variant for r in readers] for a in (first, second)]
    assert [one or other for one, other in zip(*split, strict=True)] == [
        assign(r, whole).variant for r in readers
    ]
    assert 0.1 < sum(found is not None for found in split[0]) / len(readers) < 0.3
