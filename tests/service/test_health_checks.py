"""Each alert begins at its limit, ends below a lower one, and says what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feed.service.health_alerts import AlertLevel, HealthAlert, duration_text
from feed.service.health_checks import find_alerts
from feed.service.present_state import (
    RECENT_SLOTS,
    FindingNote,
    ModelNote,
    Present,
    SourceNote,
    TrainingNote,
)
from feed.storage.key_names import WAITING_MAX
from feed.storage.pulse_series import (
    ERRORS,
    FALLEN,
    FINE_S,
    LATENCIES,
    REFUSED,
    REQUESTS,
    RUNGS,
    empty_series,
    fill_slot,
    latency_bucket,
)

NOW = 1_780_000_005.0
DAY = 86_400.0
HEALTHY = {
    "snapshot_age_s": 0.5,
    "stream_records": 10.0,
    "counting_lag_s": 0.0,
    "archive_lag_s": 2.0,
    "archive_fails": 0.0,
    "waiting_events": 0.0,
    "unencoded_articles": 0.0,
    "store_bytes": 1e8,
    "store_limit_bytes": 1e9,
    "disk_used_share": 0.5,
}


def present(values: dict[str, float] | None = None, **fields: Any) -> Present:
    """Return a healthy installation, but for what is given."""
    series = empty_series(int(NOW - 5) - (RECENT_SLOTS - 1) * FINE_S, RECENT_SLOTS, FINE_S)
    for place in range(RECENT_SLOTS):
        fill_slot(series, place, HEALTHY | (values or {}))
    defaults: dict[str, Any] = {
        "at": NOW,
        "store_answers": True,
        "leader": "worker",
        "recent": series,
        "articles": 100,
        "snapshot_age_s": 0.5,
        "model": ModelNote("v1", NOW - DAY, "passed: it is better"),
        "stream_max": 1000,
        "budget_ms": 300,
    }
    return Present(**defaults | fields)


def kinds(state: Present, before: tuple[str, ...] = ()) -> list[str]:
    return [alert.kind for alert in find_alerts(state, before)]


def only(state: Present) -> HealthAlert:
    (alert,) = find_alerts(state)
    return alert


def test_nothing_is_wrong_with_a_healthy_installation():
    assert find_alerts(present()) == ()


@pytest.mark.parametrize(
    ("kind", "gauge", "raised", "between", "cleared"),
    [
        ("store_full", "store_bytes", 0.86e9, 0.82e9, 0.79e9),
        ("counting_lag", "counting_lag_s", 31.0, 20.0, 9.0),
        ("archive_lag", "archive_lag_s", 121.0, 90.0, 59.0),
        ("disk_full", "disk_used_share", 0.91, 0.89, 0.87),
        ("streams_full", "stream_records", 501.0, 450.0, 399.0),
        ("waiting_events", "waiting_events", WAITING_MAX * 0.6, WAITING_MAX * 0.45, 10.0),
        ("snapshot_stale", "snapshot_age_s", 31.0, 20.0, 14.0),
    ],
)
def test_an_alert_begins_at_one_limit_and_ends_at_a_lower_one(
    kind: str, gauge: str, raised: float, between: float, cleared: float
):
    assert kinds(present({gauge: raised})) == [kind]
    assert kinds(present({gauge: between})) == []
    assert kinds(present({gauge: between}), (kind,)) == [kind]
    assert kinds(present({gauge: cleared}), (kind,)) == []


@pytest.mark.parametrize(
    ("kind", "name", "raised", "between"),
    [
        ("requests_refused", REFUSED, 2, 0.7),
        ("errors", ERRORS, 2, 0.7),
    ],
)
def test_shares_of_bad_answers_have_such_limits_too(
    kind: str, name: str, raised: float, between: float
):
    def state(percent: float) -> Present:
        return present({REQUESTS: 1000, name: percent * 10})

    assert kinds(state(raised)) == [kind]
    assert kinds(state(between)) == []
    assert kinds(state(between), (kind,)) == [kind]
    assert kinds(state(0.1), (kind,)) == []


def test_a_few_bad_answers_are_no_alert_on_a_quiet_site():
    state = present()
    fill_slot(state.recent, 3, {REQUESTS: 8, REFUSED: 4, ERRORS: 4})
    assert kinds(state) == []


def test_feeds_that_fall_to_low_rungs_and_slow_feeds_are_told():
    bucket = LATENCIES[latency_bucket(20.0)]
    assert kinds(present({RUNGS[0]: 100, bucket: 100, FALLEN: 6})) == ["feeds_fallen"]
    assert kinds(present({RUNGS[0]: 100, bucket: 100, FALLEN: 1})) == []
    slow = LATENCIES[latency_bucket(500.0)]
    assert kinds(present({RUNGS[0]: 100, bucket: 95, slow: 5})) == ["feeds_slow"]
    assert kinds(present({RUNGS[0]: 1, slow: 1})) == []  # 31 feeds are too few to tell


def test_a_store_that_is_away_is_the_only_fault_that_is_told():
    away = replace(present({REQUESTS: 1000, REFUSED: 500}), store_answers=False, leader=None)
    alert = only(away)
    assert (alert.kind, alert.level) == ("store_away", AlertLevel.FAULT)
    assert "FEED_REDIS_URL" in alert.action


def test_a_store_that_refuses_writes_is_told_with_the_setting_that_helps():
    alert = only(present({REQUESTS: 100, REFUSED: 50}, store_refuses=True))
    assert (alert.kind, alert.level) == ("store_refuses", AlertLevel.FAULT)
    assert "FEED_STORE_MEMORY_MB" in alert.action


def test_the_fuller_the_store_and_the_disk_the_worse():
    assert only(present({"store_bytes": 0.9e9})).level is AlertLevel.WARNING
    assert only(present({"store_bytes": 0.96e9})).level is AlertLevel.FAULT
    assert only(present({"disk_used_share": 0.98})).level is AlertLevel.FAULT


def test_an_archive_that_cannot_be_written_is_a_fault_that_names_the_disk():
    alert = only(present({"archive_fails": 1.0, "archive_lag_s": 500.0, "disk_used_share": 0.6}))
    assert (alert.kind, alert.level) == ("archive_fails", AlertLevel.FAULT)
    assert "60 % full" in alert.action


def test_no_worker_is_a_fault_unless_one_has_just_been_there_or_everything_has_just_started():
    without = present(leader=None)
    assert kinds(without) == []  # its measurements of the last half minute are there
    gone = present({"stream_records": float("nan")}, leader=None)
    assert kinds(gone) == ["no_worker"]
    gone.recent.gauges[:-3] = float("nan")
    assert kinds(gone) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (ModelNote("v1", NOW - 2.9 * DAY), []),
        (ModelNote("v1", NOW - 3.1 * DAY), ["model_old"]),
        (ModelNote("v1", None), []),
        (ModelNote(), ["model_missing"]),
    ],
)
def test_a_model_gets_old_after_three_days(model: ModelNote, expected: list[str]):
    found = find_alerts(present(model=model))
    assert [alert.kind for alert in found] == expected
    assert all("feed retrain" in alert.action for alert in found)


@pytest.mark.parametrize(
    ("outcome", "kind", "title"),
    [
        ("refused", "training_refused", "The gate refused the last model"),
        ("failed", "training_failed", "The last training failed"),
        ("interrupted", "training_failed", "The last training was cut off"),
    ],
)
def test_a_training_that_did_not_publish_is_told_with_its_reason(
    outcome: str, kind: str, title: str
):
    alert = only(present(training=TrainingNote(outcome, "it is worse by 0.02")))
    assert (alert.kind, alert.title) == (kind, title)
    assert alert.meaning == "The model v1 goes on serving. The reason: it is worse by 0.02."
    assert "feed retrain" in alert.action


def test_a_live_model_that_cannot_be_loaded_is_told_with_what_serves_instead():
    alert = only(present(refused_model="v2"))
    assert alert.kind == "model_refused"
    assert "the model v1" in alert.meaning
    assert "feed models rollback" in alert.action


def test_a_backlog_of_the_encoder_counts_only_if_it_does_not_shrink():
    falling = present()
    for place in range(RECENT_SLOTS):
        fill_slot(falling.recent, place, {"unencoded_articles": 5000.0 - 100 * place})
    assert kinds(falling) == []
    assert kinds(present({"unencoded_articles": 60.0})) == ["encoder_backlog"]
    assert kinds(present({"unencoded_articles": 40.0})) == []


def source(number: int, failures: int = 3, *, is_gone: bool = False) -> SourceNote:
    return SourceNote(f"s{number}", f"Paper {number}", failures, is_gone, "it answered 500.")


def test_a_source_counts_as_down_after_three_failures_or_when_it_is_gone():
    assert kinds(present(sources=9, failing=(source(1, 2),))) == []
    assert only(present(sources=9, failing=(source(1),))).meaning.endswith("it answered 500.")
    gone = only(present(sources=9, failing=(source(1, 1, is_gone=True),)))
    assert gone.title == "The source Paper 1 is gone"


def test_many_sources_that_are_down_are_not_told_one_by_one():
    seven = tuple(source(n) for n in range(7))
    some = find_alerts(present(sources=20, failing=seven))
    assert len(some) == 6
    assert some[-1].title == "2 more sources cannot be read"
    everything = only(present(sources=7, failing=seven))
    assert (everything.kind, everything.level) == ("sources_down", AlertLevel.FAULT)
    assert "DNS" in everything.action


def test_what_the_watch_found_leads_to_the_experiment():
    finding = FindingNote("boost", "Hides rose by 4 %.")
    alert = only(present(findings=(finding,)))
    assert alert.meaning == "Hides rose by 4 %."
    assert alert.page == "/experiments/boost"


def test_the_worst_comes_first():
    found = kinds(present({"archive_fails": 1.0}, model=ModelNote(), failing=(source(1),)))
    assert found == ["archive_fails", "source_down/s1", "model_missing"]


def test_every_alert_says_what_to_do_in_sentences():
    state = present(
        dict.fromkeys(HEALTHY, 1000000000000.0) | {REQUESTS: 1000, REFUSED: 500, ERRORS: 500},
        model=ModelNote(),
        failing=tuple(source(n) for n in range(7)),
        findings=(FindingNote("boost", "Hides rose."),),
    )
    found = find_alerts(state)
    assert len(found) > 10
    for alert in found:
        assert alert.title[0].isupper() or alert.title[0].isdigit()
        assert not alert.title.endswith(".")
        assert alert.meaning.endswith(".")
        assert alert.action.endswith(".")


@pytest.mark.parametrize(
    ("seconds", "text"), [(45.0, "45 s"), (600.0, "10 min"), (10_800.0, "3.0 h")]
)
def test_times_are_told_in_the_unit_that_suits_them(seconds: float, text: str):
    assert duration_text(seconds) == text
