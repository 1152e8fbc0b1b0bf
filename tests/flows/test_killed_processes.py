"""`feed serve` with its processes killed while events come in; the full run is scripts/chaos.py."""

import pytest
from faults.crashes import kill_in_turn, two_trainers


@pytest.mark.timeout(280)
def test_whatever_dies_every_acknowledged_event_is_archived_and_counted_once(tmp_path):
    outcome = kill_in_turn(
        tmp_path / "site",
        events=5_000,
        rate=600,
        seed=3,
        victims=("worker", "store", "web"),
        pause_s=(0.2, 1.0),
    )
    assert outcome.failures == []
    assert outcome.times >= 3
    assert outcome.acknowledged >= 4_400


def test_two_trainers_at_once_leave_whole_models_and_a_live_one(tmp_path):
    outcome = two_trainers(tmp_path, versions=2)
    assert outcome.failures == []
