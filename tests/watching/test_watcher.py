"""The watch tells everything once, stops what it must, and survives what goes wrong."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from receiver import CUT, SECRET
from watched_desk import BREACH, HOUR, MISSING, START, Desk

from feed.config import DAY_S
from feed.domain import ConflictError, InvalidInputError
from feed.experiments.design.assignment import BUCKETS
from feed.experiments.design.definitions import OnBreach, Status
from feed.experiments.design.lifecycle import read_experiment, stop_experiment
from feed.experiments.design.traffic import RampStep
from feed.watching.findings import FindingKind, WatchFinding, WatchLook
from feed.watching.memory import QUIET_S, WAITING_MAX
from feed.watching.watcher import LEASE, Watcher
from feed.watching.webhook import sign

NAME = "calmer-trending"


def said(desk: Desk) -> list[tuple[str, str]]:
    return [(body["kind"], body["state"]) for body in desk.receiver.bodies]


def test_a_finding_is_told_once_with_all_that_people_and_programs_need(desk: Desk) -> None:
    desk.begin()
    desk.findings[NAME] = [BREACH]
    desk.watcher().tick()
    desk.watcher().tick()
    (body,) = desk.receiver.bodies
    assert body.pop("id")
    assert body == {
        "text": f"{NAME}: In calmer, latency rose by 40 % (p &lt; 0.001 &amp; more)."
        f" https://feed.example/experiments/{NAME}",
        "experiment": NAME,
        "version": 1,
        "kind": "guardrail_breached",
        "subject": "latency_p95 in calmer",
        "state": "new",
        "sentence": BREACH.sentence,
        "action": "none",
        "day": 1.0,
        "at": "2026-05-28T21:26:40.000Z",
        "url": f"https://feed.example/experiments/{NAME}",
    }


def test_a_restart_or_another_worker_repeats_nothing(desk: Desk) -> None:
    desk.begin()
    desk.findings[NAME] = [BREACH]
    for _ in range(4):
        watcher = desk.watcher()  # knows only what the store holds
        watcher.tick()
        watcher.tick()
        desk.later()
    assert said(desk) == [("guardrail_breached", "new")]
    assert len(desk.looked) == 4


def test_a_look_is_due_once_an_interval_and_the_first_an_interval_after_the_start(
    desk: Desk,
) -> None:
    desk.begin()
    desk.now = START + HOUR - 1
    watcher = desk.watcher()
    watcher.tick()
    assert desk.looked == []
    desk.later(1)
    watcher.tick()
    desk.later(HOUR - 1)
    watcher.tick()
    assert desk.looked == [NAME]
    desk.later(1)
    watcher.tick()
    assert desk.looked == [NAME] * 2
    desk.now = START + 60  # the clock was set back: nobody waits until it comes round again
    watcher.tick()
    assert desk.looked == [NAME] * 3


def test_nobody_looks_at_what_starts_by_a_clock_that_is_ahead(desk: Desk) -> None:
    desk.begin()
    desk.now = START - 1
    desk.watcher().tick()
    desk.watcher().look_now()
    assert desk.looked == []


def test_what_has_been_gone_for_a_day_is_over_and_may_come_again(desk: Desk) -> None:
    desk.begin()
    watcher = desk.watcher()

    def look(*findings: WatchFinding, after: float = HOUR) -> None:
        desk.later(after)
        desk.findings[NAME] = list(findings)
        watcher.tick()
        watcher.tick()

    look(BREACH)
    look()
    look(BREACH)  # it comes and goes, and is told once
    look(after=QUIET_S - HOUR)
    assert said(desk) == [("guardrail_breached", "new")]
    look()
    assert said(desk)[1:] == [("guardrail_breached", "over")]
    assert desk.receiver.bodies[-1]["sentence"] == f"This is over: {BREACH.sentence}"
    look()
    look(BREACH)
    assert said(desk)[2:] == [("guardrail_breached", "new")]


def test_a_verdict_is_told_once_for_each_version(desk: Desk) -> None:
    desk.begin()
    ship = WatchFinding(kind=FindingKind.VERDICT, subject="ship calmer", sentence="Ship calmer: x.")
    desk.findings[NAME] = [ship]
    desk.watcher().tick()
    desk.watcher().tick()
    desk.findings[NAME] = []
    desk.later(2 * QUIET_S)
    desk.watcher().tick()
    desk.findings[NAME] = [ship]
    desk.later()
    desk.watcher().tick()
    desk.watcher().tick()
    assert said(desk) == [("verdict_reached", "new")]
    stop_experiment(desk.store, NAME, now=desk.now, by="desk")
    desk.begin()
    desk.later(2 * QUIET_S)
    desk.watcher().tick()
    desk.watcher().tick()
    assert [(b["kind"], b["version"]) for b in desk.receiver.bodies] == [
        ("verdict_reached", 1),
        ("verdict_reached", 2),
    ]


@pytest.mark.parametrize(
    ("on_breach", "finding", "status"),
    [
        (OnBreach.STOP, BREACH, Status.STOPPED),
        (OnBreach.ALERT, BREACH, Status.RUNNING),
        (OnBreach.STOP, MISSING, Status.RUNNING),
    ],
)
def test_it_stops_only_where_the_design_says_so_for_what_may_stop(
    desk: Desk, on_breach: OnBreach, finding: WatchFinding, status: Status
) -> None:
    desk.begin(on_breach=on_breach)
    desk.findings[NAME] = [finding]
    watcher = desk.watcher()
    (outcome,) = watcher.tick()
    watcher.tick()
    found = read_experiment(desk.store, NAME)
    assert (found.status, outcome.stopped) == (status, status is Status.STOPPED)
    assert found.stopped_at == (desk.now if status is Status.STOPPED else 0.0)
    (body,) = desk.receiver.bodies
    assert body["action"] == ("stopped" if status is Status.STOPPED else "none")
    assert ("The experiment was stopped." in body["text"]) == (status is Status.STOPPED)


def test_a_stop_is_in_the_audit_log(desk: Desk) -> None:
    desk.begin(on_breach=OnBreach.STOP)
    desk.findings[NAME] = [BREACH]
    desk.watcher().tick()
    entry = desk.store.read_audit(1)[0]
    assert (entry.by, entry.action, entry.at) == ("worker", "stopped", desk.now)


RAMP = {"traffic": 0.1, "ramp": (RampStep(after_days=1.0, traffic=0.5),)}


def open_share(desk: Desk) -> float:
    low, high = read_experiment(desk.store, NAME).buckets
    return (high - low) / BUCKETS


def test_a_planned_step_is_taken_when_it_is_due(desk: Desk) -> None:
    desk.begin(**RAMP)
    desk.now = START + DAY_S - 1
    desk.watcher().tick()
    assert open_share(desk) == 0.1
    desk.later()
    desk.watcher().tick()
    assert open_share(desk) == 0.5
    assert desk.store.read_audit(1)[0].action == "ramped"
    desk.later()
    desk.watcher().tick()
    desk.watcher().tick()
    assert desk.receiver.heard == []


@pytest.mark.parametrize("finding", [BREACH, MISSING])
def test_a_planned_step_waits_while_something_is_wrong(desk: Desk, finding: WatchFinding) -> None:
    desk.begin(**RAMP)
    desk.now = START + DAY_S
    desk.findings[NAME] = [finding]
    desk.watcher().tick()
    desk.watcher().tick()
    assert open_share(desk) == 0.1
    assert said(desk) == [(finding.kind.value, "new"), ("ramp_waits", "new")]
    assert "The planned step to 50.0" in desk.receiver.bodies[1]["sentence"]
    desk.later()
    desk.findings[NAME] = []
    desk.watcher().tick()
    desk.watcher().tick()
    assert open_share(desk) == 0.5
    assert said(desk)[2:] == [("ramp_waits", "over")]


def test_a_verdict_holds_no_step_back(desk: Desk) -> None:
    desk.begin(**RAMP)
    desk.now = START + DAY_S
    desk.findings[NAME] = [
        WatchFinding(kind=FindingKind.VERDICT, subject="ship calmer", sentence="Ship calmer: x.")
    ]
    desk.watcher().tick()
    assert open_share(desk) == 0.5


def test_a_look_at_an_old_version_does_not_stop_the_new_one(desk: Desk) -> None:
    old = desk.begin(on_breach=OnBreach.STOP)
    stop_experiment(desk.store, NAME, now=desk.now, by="desk")
    desk.begin(on_breach=OnBreach.STOP)
    look = WatchLook(at=desk.now, day=1.0, verdict="go on", findings=(BREACH,))
    assert not desk.watcher()._must_stop(old, look)
    assert desk.watcher()._must_stop(read_experiment(desk.store, NAME), look)


def test_a_stopped_experiment_gets_one_last_look(desk: Desk) -> None:
    desk.begin()
    desk.watcher().tick()
    desk.later(60)
    stop_experiment(desk.store, NAME, now=desk.now, by="desk")
    desk.later(60)
    for _ in range(3):
        desk.watcher().tick()
        desk.later()
    assert desk.looked == [NAME] * 2


def test_one_failing_look_keeps_no_other_from_being_made(desk: Desk) -> None:
    for name in ("a-fails", "b-is-fine"):
        desk.begin(name)
    desk.findings["a-fails"] = RuntimeError("no such thing")
    assert [o.experiment.name for o in desk.watcher().tick()] == ["a-fails", "b-is-fine"]
    desk.watcher().tick()
    assert said(desk) == [("report_failed", "new")]
    desk.later()
    desk.findings["a-fails"] = []
    desk.watcher().tick()
    desk.watcher().tick()
    assert said(desk)[1:] == [("report_failed", "over")]


def test_without_a_report_nothing_is_over(desk: Desk) -> None:
    desk.begin()
    desk.findings[NAME] = [BREACH]
    desk.watcher().tick()
    desk.watcher().tick()
    desk.findings[NAME] = RuntimeError()
    desk.later(2 * QUIET_S)
    desk.watcher().tick()
    desk.watcher().tick()
    assert said(desk) == [("guardrail_breached", "new"), ("report_failed", "new")]


@pytest.mark.parametrize("answer", [503, CUT, 302])
def test_what_could_not_be_delivered_is_sent_again_later_and_later(desk: Desk, answer: int) -> None:
    desk.begin()
    desk.findings[NAME] = [BREACH]
    desk.receiver.answers = [answer] * 3
    desk.watcher().tick()
    attempts = []
    for second in range(0, 600, 10):
        before = len(desk.receiver.heard)
        desk.watcher().tick()  # each time another process
        attempts += [second] * (len(desk.receiver.heard) - before)
        desk.later(10)
    assert attempts == [0, 30, 90, 210]
    assert len({body["id"] for body in desk.receiver.bodies}) == 1
    assert desk.watcher().waiting() == 0
    assert {path for path, _, _ in desk.receiver.heard} == {"/hook/secret-path?token=secret-query"}


def test_each_attempt_has_a_fresh_signature(desk: Desk) -> None:
    desk.begin()
    desk.findings[NAME] = [BREACH]
    desk.receiver.answers = [503]
    desk.watcher().tick()
    desk.watcher().tick()
    desk.later(60)
    desk.watcher().tick()
    found = [(headers["X-Feed-Signature"], body) for _, headers, body in desk.receiver.heard]
    times = [int(desk.now - 60), int(desk.now)]
    assert [header for header, _ in found] == [
        sign(SECRET, at, body) for at, (_, body) in zip(times, found, strict=True)
    ]


def test_a_day_old_alert_is_dropped(desk: Desk) -> None:
    desk.begin()
    desk.findings[NAME] = [BREACH]
    desk.watcher().tick()
    desk.later(86_401)
    desk.watcher(watch_minutes=1e6).tick()
    assert desk.receiver.heard == []
    assert desk.watcher().waiting() == 0


def test_alerts_that_wait_are_bounded(desk: Desk) -> None:
    desk.begin()
    desk.findings[NAME] = [
        WatchFinding(kind=FindingKind.TRUST, subject=f"{n}", sentence="s") for n in range(70)
    ]
    desk.watcher().tick()
    assert desk.watcher().waiting() == WAITING_MAX


def test_without_a_receiver_nothing_waits(desk: Desk) -> None:
    desk.begin()
    desk.findings[NAME] = [BREACH]
    (outcome,) = desk.watcher(alert_url="").tick()
    assert [alert.kind for alert in outcome.alerts] == ["guardrail_breached"]
    assert desk.watcher().waiting() == 0


def test_while_another_one_watches_this_one_waits(desk: Desk) -> None:
    desk.begin()
    desk.store.acquire_lease(LEASE, "another", 30.0)
    assert desk.watcher().tick() == []
    with pytest.raises(ConflictError, match="another watch"):
        desk.watcher().look_now()
    desk.store.release_lease(LEASE, "another")
    assert len(desk.watcher().look_now()) == 1
    assert desk.store.lease_holder(LEASE) is None


def test_a_look_that_is_wanted_now_waits_for_one_that_is_under_way(desk: Desk) -> None:
    desk.begin()
    desk.store.acquire_lease(LEASE, "another", 30.0)
    release = threading.Timer(0.2, desk.store.release_lease, (LEASE, "another"))
    release.start()
    assert len(desk.watcher().look_now(patience_s=30.0)) == 1
    release.join()


def test_a_watch_that_lost_its_lease_during_a_look_says_nothing(desk: Desk) -> None:
    desk.begin()

    def slow(*arguments: Any) -> WatchLook:
        desk.store._link.every_node("FLUSHALL")
        desk.store.acquire_lease(LEASE, "another", 30.0)
        return WatchLook(at=desk.now, verdict="go on", findings=(BREACH,))

    watcher = Watcher(desk.store, desk.settings, clock=lambda: desk.now, look=slow)
    assert watcher.tick() == []
    assert desk.store.read_watched() == {}


def test_an_interrupted_watch_does_nothing_more(desk: Desk) -> None:
    desk.begin()
    watcher = desk.watcher()
    watcher.interrupt()
    watcher.tick()
    assert desk.looked == []
    assert desk.store.lease_holder(LEASE) is None


def test_a_receiver_that_hangs_holds_nobody_for_long(desk: Desk, monkeypatch: Any) -> None:
    monkeypatch.setattr("feed.watching.webhook.LIMIT_S", 0.2)
    desk.begin()
    desk.findings[NAME] = [BREACH, MISSING]
    desk.receiver.hangs = True
    watcher = desk.watcher()
    watcher.tick()
    thread = threading.Thread(target=watcher.tick)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert len(desk.receiver.heard) == 1  # after one failure, the others wait for the next tick
    assert watcher.waiting() == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"alert_url": "hooks.example/x"}, "FEED_ALERT_URL"),
        ({"alert_url": "file:///etc/passwd"}, "FEED_ALERT_URL"),
        ({"alert_secret": "short"}, "FEED_ALERT_SECRET"),
    ],
)
def test_settings_that_cannot_work_are_refused(desk: Desk, changes: Any, field: str) -> None:
    with pytest.raises(InvalidInputError, match=field):
        Watcher(desk.store, replace(desk.settings, **changes))
