"""What is held of many readers' newest rows, against a list for each reader."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from feed.offline.reader_tails import Tails

KEEP = 5


def parts_of(rng, count):
    """Yield parts of a log in time order: users and times, some of them equal."""
    at = 0.0
    for size in rng.integers(0, 40, count).tolist():
        times = np.sort(at + rng.integers(0, 20, size).astype(np.float64))
        at += 20.0
        yield rng.integers(0, 6, size), times


def test_the_newest_rows_of_a_reader_are_those_of_a_list_of_its_own():
    rng = np.random.default_rng(3)
    tails, kept = Tails((np.float64, np.int64), KEEP), defaultdict(list)
    number = 0
    for users, times in parts_of(rng, 30):
        numbers = np.arange(number, number + len(users))
        number += len(users)
        tails.extend(users, times, numbers)
        for user, at, one in zip(users.tolist(), times.tolist(), numbers.tolist(), strict=True):
            kept[user].append((at, one))
        for user in range(7):
            for now in (np.inf, *times[::7].tolist()):
                wanted = [one for one in kept[user] if one[0] < now][-KEEP:]
                at, rows = tails.before(user, now, KEEP)
                assert list(zip(at.tolist(), rows.tolist(), strict=True)) == wanted
        some = np.array(sorted(user for user in kept if kept[user]), np.int64)
        counts = np.minimum(some + 1, KEEP)
        (at, rows), sizes = tails.last(some, counts)
        wanted = [kept[u][-c:] for u, c in zip(some.tolist(), counts.tolist(), strict=True)]
        assert sizes.tolist() == [len(one) for one in wanted]
        assert rows.tolist() == [number for one in wanted for _, number in one]
        assert at.tolist() == [moment for one in wanted for moment, _ in one]


def test_what_is_held_is_bounded_by_what_is_kept_and_the_newest_part():
    rng, tails = np.random.default_rng(4), Tails((np.float64,), KEEP)
    for day in range(50):
        tails.extend(rng.integers(0, 6, 12), np.sort(day + rng.random(12)))
    assert 6 * KEEP <= tails.rows_held() <= 2 * 6 * KEEP + 2 * 12


def test_rows_of_two_tables_are_merged_by_time():
    one, two = Tails((np.float64, np.int64), KEEP), Tails((np.float64, np.int64), KEEP)
    one.extend(np.array([1, 2]), np.array([1.0, 2.0]), np.array([10, 20]))
    one.extend(np.array([1]), np.array([5.0]), np.array([11]))
    two.extend(np.array([1, 3]), np.array([3.0, 4.0]), np.array([12, 30]))
    one.merge(two)
    assert one.before(1, np.inf, KEEP)[1].tolist() == [10, 12, 11]
    assert one.before(2, np.inf, KEEP)[1].tolist() == [20]
    assert one.before(3, np.inf, KEEP)[1].tolist() == [30]
    assert two.before(3, 4.0, KEEP)[1].tolist() == []
