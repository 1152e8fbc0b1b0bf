"""The clock that says in which stage of a training processor time goes."""

from __future__ import annotations

from lab.bench.stages import OTHER, StageClock, stage_of

SOURCE = """
import sys, time

def fit_als(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

def judge(work):
    return work()
"""


def made(path: str) -> dict[str, object]:
    """Return the functions above as if they stood in a file."""
    names: dict[str, object] = {}
    exec(compile(SOURCE, path, "exec"), names)
    return names


def test_processor_time_goes_to_the_stage_at_work():
    """Threads of other tests may be at work too, so "everything else" is not looked at."""
    fit_als = made("feed/models/factors.py")["fit_als"]
    with StageClock() as clock:
        fit_als(0.3)
    assert clock.seconds["factors"] > 0.15, dict(clock.seconds)


def test_the_innermost_stage_counts_and_the_gate_has_its_own():
    frames = made("feed/models/factors.py")
    inside = eval("lambda: stage(sys._getframe())", frames | {"stage": stage_of})
    assert inside() == OTHER
    judge = made("feed/offline/gate.py")["judge"]
    assert judge(inside) == f"gate: {OTHER}"
