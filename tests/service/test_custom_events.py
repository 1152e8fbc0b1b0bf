"""A newsroom's own events over HTTP: kept and archived, and without effect on any feed."""

from __future__ import annotations

from typing import Any

from feed.storage.archive import Archive


def custom(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"c{number}",
        "user_id": "reader",
        "kind": "custom",
        "name": "subscribed",
        **fields,
    }


def archived(site: Any) -> list[tuple[Any, ...]]:
    """What the archive holds of events, once the worker has written it."""
    site.work()
    site.clock.now += 120  # the archive is written some seconds after the events were counted
    site.work()
    with Archive(site.settings.data_dir / "archive").query() as connection:
        return connection.execute(
            "SELECT user_id, event_id, kind, article_id, name, value FROM events ORDER BY event_id"
        ).fetchall()


def test_it_needs_no_article_and_never_waits_for_one(site: Any) -> None:
    answer = site.send(
        custom(1), custom(2, article_id="unheard-of"), custom(1), custom(3, name="Bad name")
    )
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["accepted", "accepted", "duplicate", "rejected"]
    assert answer["results"][3]["detail"].startswith("name: must be 1 to 64 lower-case letters")
    assert site.store.count_waiting() == 0


def test_it_changes_no_feed_no_counter_and_no_history(site: Any) -> None:
    site.publish(12)
    site.work()
    before = site.feed()
    site.send(*[custom(n, article_id="a3", value=n) for n in range(40)])
    site.send(custom(40, article_id="unheard-of"))
    site.work()
    after = site.feed()
    assert after["items"] == before["items"]
    assert not site.store.read_reader("reader").history
    signals = site.worker.publisher.signals
    assert not signals.counters.all_totals(signals.ids.rows(["a3"])).any()
    assert "unheard-of" not in signals.ids


def test_the_archive_has_its_name_and_value(site: Any) -> None:
    site.publish(1)
    site.send(
        custom(1, value=9.5, article_id="a0"),
        custom(2, name="x" * 64),
        {"event_id": "e", "user_id": "reader", "article_id": "a0", "kind": "click"},
    )
    assert archived(site) == [
        ("reader", "c1", "custom", "a0", "subscribed", 9.5),
        ("reader", "c2", "custom", "", "x" * 64, None),
        ("reader", "e", "click", "a0", "", None),
    ]


def test_the_export_shows_it_and_the_erasure_takes_it(site: Any) -> None:
    site.send(custom(1, value=-2), custom(2, user_id="other"))
    archived(site)
    rows = site.client.get("/v1/users/reader/export").json["archive"]["events"]
    assert [(row["name"], row["value"]) for row in rows] == [("subscribed", -2.0)]
    site.client.delete("/v1/users/reader")
    assert [row[:2] for row in archived(site)] == [("other", "c2")]


def test_the_export_shows_it_once_before_and_after_it_is_archived(site: Any) -> None:
    site.send(custom(1, value=-2), custom(2, user_id="other"))
    before = site.client.get("/v1/users/reader/export").json
    assert before["archive"]["events"] == []
    assert [(one["event_id"], one["value"]) for one in before["unarchived"]["events"]] == [
        ("c1", -2.0)
    ]
    site.worker.tick(site.clock.now)
    after = site.client.get("/v1/users/reader/export").json
    assert [row["event_id"] for row in after["archive"]["events"]] == ["c1"]
    assert after["unarchived"]["events"] == []
    site.client.delete("/v1/users/reader")
    assert site.client.get("/v1/users/reader/export").json["unarchived"]["events"] == []


def test_it_becomes_the_readers_at_a_login(site: Any) -> None:
    site.send(custom(1, user_id="guest"))
    answer = site.client.post("/v1/users/reader/merge", json={"from": "guest"})
    assert answer.status_code == 200
    site.send(custom(2, user_id="guest"))
    assert [row[:2] for row in archived(site)] == [("reader", "c1"), ("reader", "c2")]


def test_without_personalisation_it_names_nobody(site: Any) -> None:
    body = {"personalization": False}
    site.client.put("/v1/users/reader/preferences", json=body)
    site.send(custom(1, request_id="r"))
    assert [row[:2] for row in archived(site)] == [("", "c1")]
