"""The lease of trainers on several machines, with a clock of the test's own."""

from __future__ import annotations

import pytest

from feed.domain import ConflictError
from feed.models.bundle import ModelBundle
from feed.models.registry import ModelRegistry
from feed.models.trainer_lease import LEASE_S, TrainerLease
from feed.storage.working_copy import remote_of


class Clock:
    now = 1_780_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def trainers(two_machines):
    """Two machines' registries and leases, a clock, and the models "a", "b" and "c"."""
    clock, one, other = Clock(), *two_machines("models")
    for version in ("a", "b", "c"):
        ModelRegistry(one).publish(ModelBundle(version=version))
    leases = (
        TrainerLease(remote_of(directory), by, clock)
        for directory, by in ((one, "one"), (other, "other"))
    )
    return ModelRegistry(one), ModelRegistry(other), *leases, clock


def test_one_trainer_holds_the_lease_until_it_ends(trainers):
    _, _, one, other, clock = trainers
    one.take()
    with pytest.raises(ConflictError, match="at work on this installation, on one"):
        other.take()
    clock.now += LEASE_S - 1
    one.renew()
    clock.now += LEASE_S - 1
    with pytest.raises(ConflictError):
        other.take()
    one.release()
    other.take()
    other.check()


def test_a_trainer_that_slept_changes_nothing(trainers):
    registry, successors, one, other, clock = trainers
    one.take()
    clock.now += LEASE_S
    other.take()
    successors.set_live("b", other.check)
    for late in (one.renew, lambda: registry.set_live("a", one.check)):
        with pytest.raises(ConflictError, match="other has taken over"):
            late()
    one.release()
    other.check()
    assert registry.live_version() == "b"
    assert registry.earlier() == ()


def test_a_trainer_that_sleeps_after_its_last_check_changes_nothing(trainers):
    registry, successors, one, other, clock = trainers
    one.take()

    def check_and_sleep():
        one.check()
        clock.now += LEASE_S
        other.take()
        successors.set_live("b", other.check)

    with pytest.raises(ConflictError, match="somebody else has changed"):
        registry.set_live("a", check_and_sleep)
    assert registry.live_version() == successors.live_version() == "b"


def test_a_lease_that_cannot_be_read_is_nobodys(trainers):
    registry, _, one, _, _ = trainers
    registry._remote.overwrite("TRAINER", b"torn")
    one.take()
    one.check()
