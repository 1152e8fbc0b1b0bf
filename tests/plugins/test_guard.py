"""A plugin that fails or is slow breaks no request; offline its error ends the work."""

from __future__ import annotations

import numpy as np
import pytest
from structlog.testing import capture_logs

from feed.plugins import calling
from feed.plugins.calling import StrictGuard, apply, compute, propose, set_guard
from feed.plugins.loading import PluginError
from feed.service.plugin_guard import LEFT_OUT, REST_S, SLOW_SHARE, ServingGuard
from tests.plugins.broken_plugins import Beyond, Emptying, Raising, Steady

BUDGET_S = 0.3


class FewArticles:
    """All that these plugins read of a moment."""

    articles = type("Three", (), {"__len__": lambda _: 3, "age_hours": np.ones(3)})()


class Clock:
    def __init__(self) -> None:
        self.now, self.computed = 100.0, 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    clock = Clock()
    set_guard(ServingGuard(BUDGET_S, clock, lambda: clock.computed))
    yield clock
    set_guard(StrictGuard())


def left_out(plugin: str, why: str) -> float:
    return LEFT_OUT.labels(plugin, why)._value.get()


def test_offline_an_error_ends_the_work():
    assert isinstance(calling._InForce.guard, StrictGuard)
    with pytest.raises(PluginError, match="feature steady failed: KeyError"):
        compute(Raising(), FewArticles())


def test_in_the_service_the_part_of_a_failing_plugin_is_left_out_and_logged_once(clock):
    before = left_out("feature steady", "failed")
    with capture_logs() as logs:
        for _ in range(3):
            assert np.isnan(compute(Raising(), FewArticles())).all()
    assert left_out("feature steady", "failed") == before + 3
    (line,) = logs
    assert line["event"] == "plugin_left_out"
    assert "KeyError" in line["problem"]
    assert propose(Beyond(), FewArticles(), 5).tolist() == []
    assert apply(Emptying(), FewArticles(), np.ones(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("took", "computed"), [(1.1 * BUDGET_S, 0.0), (0.9 * BUDGET_S, 1.1 * SLOW_SHARE * BUDGET_S)]
)
def test_a_slow_plugin_rests_for_a_minute(clock, took, computed):
    class Slow(Steady):
        name = "slow"
        calls = 0

        def compute(self, moment):
            Slow.calls += 1
            clock.now += took
            clock.computed += computed
            return moment.articles.age_hours

    before = left_out("feature slow", "slow")
    with capture_logs() as logs:
        assert compute(Slow(), FewArticles()).tolist() == [1.0] * 3
        clock.now += REST_S / 2
        assert np.isnan(compute(Slow(), FewArticles())).all()
        assert Slow.calls == 1
        clock.now += REST_S
        assert compute(Slow(), FewArticles()).tolist() == [1.0] * 3
    assert Slow.calls == 2
    assert left_out("feature slow", "slow") == before + 1
    assert [line["why"] for line in logs] == ["slow"]


def test_a_busy_machine_makes_no_plugin_rest(clock):
    class Waiting(Steady):
        name = "waiting"

        def compute(self, moment):
            clock.now += 0.9 * BUDGET_S
            return moment.articles.age_hours

    for _ in range(3):
        assert compute(Waiting(), FewArticles()).tolist() == [1.0] * 3
