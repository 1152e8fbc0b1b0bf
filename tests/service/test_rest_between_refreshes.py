"""The thread that keeps the snapshot leaves the processor to requests, for less than a second."""

from __future__ import annotations

import pytest

from feed.service.snapshot import RESTS, rest_after

POLL_S = 0.4


def test_a_refresh_that_costs_nothing_is_repeated_at_the_next_check() -> None:
    assert rest_after(0.0, POLL_S) == POLL_S
    assert rest_after(POLL_S / RESTS / 2, POLL_S) == POLL_S


@pytest.mark.parametrize("used_s", [0.025, 0.03, 0.035])
def test_a_refresh_that_costs_much_takes_a_twentieth_of_a_processor(used_s: float) -> None:
    assert used_s / (used_s + rest_after(used_s, POLL_S)) == pytest.approx(1 / 20)


def test_every_process_shows_what_is_new_within_a_second_unless_told_otherwise() -> None:
    assert rest_after(60.0, POLL_S) < 1.0
    assert rest_after(60.0, 30.0) == 30.0
