"""The greedy that keeps limits: what it promises, on random candidates."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.ranking.limited_order import Cap, Minimum, keep_limits


@st.composite
def problems(draw):
    """Candidates of a few groups, caps on every group, and minimums of some, in windows."""
    groups = draw(st.lists(st.integers(0, 3), min_size=1, max_size=14))
    caps = [
        Cap(list(groups), draw(st.integers(0, 4)), draw(st.integers(1, 10)))
        for _ in range(draw(st.integers(0, 2)))
    ]
    minimums = [
        Minimum([g == group for g in groups], draw(st.integers(1, 3)), draw(st.integers(1, 10)))
        for group in draw(st.lists(st.integers(0, 3), max_size=2, unique=True))
    ]
    order = draw(st.permutations(range(len(groups))))
    return groups, caps, minimums, np.array(order, np.int64)


def is_kept(order, groups, caps, minimums) -> bool:
    def count(end, group):
        return sum(groups[at] == group for at in order[:end])

    fits = all(count(c.end, g) <= c.most for c in caps for g in set(groups))
    met = all(sum(m.members[at] for at in order[: m.end]) >= m.needed for m in minimums)
    return fits and met


def can_be_kept(groups, caps, minimums) -> bool:
    """Whether some order of groups keeps the limits, by trying every one place by place."""
    reached = {(0,) * 4}
    total = tuple(groups.count(g) for g in range(4))
    for place in range(1, len(groups) + 1):
        following = set()
        for counts in reached:
            for g in range(4):
                if counts[g] < total[g]:
                    more = tuple(n + (i == g) for i, n in enumerate(counts))
                    fits = all(n <= c.most for c in caps if place <= c.end for n in more)
                    met = all(
                        sum(n for i, n in enumerate(more) if _is_member(m, groups, i)) >= m.needed
                        for m in minimums
                        if place == min(m.end, len(groups))
                    )
                    if fits and met:
                        following.add(more)
        reached = following
    return bool(reached)


def _is_member(minimum, groups, group) -> bool:
    return group in groups and minimum.members[groups.index(group)]


@settings(max_examples=400, deadline=None)
@given(problems())
def test_limits_on_one_property_are_kept_whenever_they_can_be(problem):
    groups, caps, minimums, order = problem
    found = keep_limits(order, deepcopy(caps), minimums).order
    assert sorted(found.tolist()) == sorted(order.tolist())
    assert is_kept(found, groups, caps, minimums) == can_be_kept(groups, caps, minimums)


@settings(max_examples=300, deadline=None)
@given(problems())
def test_an_order_that_keeps_all_limits_comes_back_unchanged(problem):
    groups, caps, minimums, order = problem
    kept = keep_limits(order, deepcopy(caps), minimums).order
    if not is_kept(kept, groups, caps, minimums):
        return
    again = keep_limits(kept, deepcopy(caps), minimums)
    assert again.order.tolist() == kept.tolist()
    assert (again.raised, sum(again.held_back)) == ({}, 0)


@settings(max_examples=200, deadline=None)
@given(problems(), st.lists(st.integers(0, 2), min_size=14, max_size=14))
def test_of_two_properties_no_place_breaks_a_cap_while_another_candidate_would_not(problem, other):
    groups, caps, _, order = problem
    caps = [*caps, Cap(other[: len(groups)], 2, 8)]
    found = keep_limits(order, deepcopy(caps), []).order.tolist()
    counting = deepcopy(caps)
    for place, at in enumerate(found):
        inside = [cap for cap in counting if place < cap.end]
        if not all(cap.has_room(at) for cap in inside):
            left = found[place:]
            assert not any(all(cap.has_room(one) for cap in inside) for one in left)
        for cap in inside:
            cap.count(at)


def test_what_is_not_limited_keeps_its_order():
    groups = [0, 0, 0, 1, 0, 2, 1, 2]
    found = keep_limits(np.arange(8), [Cap(groups, 2, 5)], [])
    assert found.order.tolist() == [0, 1, 3, 5, 6, 2, 4, 7]
    assert found.held_back == [2]


def test_a_minimum_raises_one_article_to_the_last_place_that_will_do():
    members = [at in {6, 7} for at in range(8)]
    found = keep_limits(np.arange(8), [], [Minimum(members, 1, 4)])
    assert found.order.tolist() == [0, 1, 2, 6, 3, 4, 5, 7]
    assert found.raised == {6: 0}


@pytest.mark.parametrize("pinned", [1, 2])
def test_what_is_pinned_takes_room_from_the_others(pinned):
    groups = [0, -1, 0, -1, 0, -1]
    found = keep_limits(np.arange(6), [Cap(groups, 2, 3, {0: pinned})], []).order.tolist()
    assert [groups[at] for at in found[:3]].count(0) == 2 - pinned
