"""The watch says what became of an experiment, whatever happens during a look and after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from watched_desk import BREACH, START, Desk

from feed.config import DAY_S
from feed.experiments.design.assignment import BUCKETS
from feed.experiments.design.definitions import OnBreach, Status
from feed.experiments.design.lifecycle import read_experiment, stop_experiment
from feed.experiments.design.ramp import ramp_experiment
from feed.experiments.design.traffic import RampStep
from feed.watching.watcher import Watcher

NAME = "calmer-trending"
RAMP: dict[str, Any] = {"traffic": 0.1, "ramp": (RampStep(after_days=1.0, traffic=0.5),)}


def said(desk: Desk) -> list[tuple[str, str]]:
    return [(body["kind"], body["action"]) for body in desk.receiver.bodies]


def look_often(desk: Desk) -> None:
    for _ in range(3):
        desk.watcher().tick()
        desk.later()


def watcher_with_act(desk: Desk, act: Callable[[], Any]) -> Watcher:
    watcher = desk.watcher()
    look = watcher._look

    def look_slowly(*args: Any) -> Any:
        found = look(*args)
        act()
        return found

    watcher._look = look_slowly
    return watcher


def test_a_stop_for_what_was_told_before_is_told_once(desk: Desk) -> None:
    desk.begin(on_breach=OnBreach.STOP)
    desk.findings[NAME] = [replace(BREACH, may_stop=False)]
    look_often(desk)
    assert said(desk) == [("guardrail_breached", "none")]
    desk.findings[NAME] = [BREACH]  # enough readers have come
    look_often(desk)
    assert read_experiment(desk.store, NAME).status is Status.STOPPED
    assert said(desk) == [("guardrail_breached", "none"), ("guardrail_breached", "stopped")]


def test_a_stop_is_told_although_the_watch_died_right_after_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise SystemExit

    desk.begin(on_breach=OnBreach.STOP)
    desk.findings[NAME] = [BREACH]
    with monkeypatch.context() as patch:
        patch.setattr(type(desk.store), "write_watched", die)
        with pytest.raises(SystemExit):
            desk.watcher().tick()
    assert read_experiment(desk.store, NAME).status is Status.STOPPED
    desk.later(60)
    look_often(desk)
    assert said(desk) == [("guardrail_breached", "stopped")]


def test_a_stop_by_a_person_is_not_taken_for_one_by_the_watch(desk: Desk) -> None:
    desk.begin(on_breach=OnBreach.STOP)
    desk.findings[NAME] = [BREACH]
    watcher = watcher_with_act(
        desk, lambda: stop_experiment(desk.store, NAME, now=desk.now, by="desk")
    )
    (outcome,) = watcher.tick()
    assert not outcome.stopped
    desk.later(60)
    look_often(desk)
    assert said(desk) == [("guardrail_breached", "none")]


def test_a_step_of_an_old_version_is_not_taken_in_a_new_one(desk: Desk) -> None:
    def start_anew() -> None:
        stop_experiment(desk.store, NAME, now=desk.now, by="desk")
        desk.begin(traffic=0.05)

    desk.begin(**RAMP)
    desk.now = START + DAY_S
    watcher_with_act(desk, start_anew).tick()
    low, high = read_experiment(desk.store, NAME).buckets
    assert high - low == 0.05 * BUCKETS


@pytest.mark.parametrize("what", ["stopped", "ramped"])
def test_no_step_waits_where_a_person_was_faster(desk: Desk, what: str) -> None:
    def act() -> None:
        if what == "stopped":
            stop_experiment(desk.store, NAME, now=desk.now, by="desk")
        else:
            ramp_experiment(desk.store, NAME, 0.8, now=desk.now, by="desk")

    desk.begin(**RAMP)
    desk.now = START + DAY_S
    watcher_with_act(desk, act).tick()
    desk.later(60)
    desk.watcher().tick()
    assert said(desk) == []
