"""Events whose article has not come yet, and events with the times of wrong clocks, over HTTP."""

from typing import Any

from feed.domain import format_time


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "user_id": "reader",
        "article_id": "on-its-way",
        "kind": "like",
        **fields,
    }


def publish(site: Any) -> None:
    article = {"title": "On its way", "published_at": format_time(site.clock.now)}
    assert site.client.put("/v1/articles/on-its-way", json=article).status_code == 200


def test_an_event_before_its_article_waits_and_counts_when_the_article_comes(site: Any) -> None:
    answer = site.send(event())
    assert (answer["waiting"], answer["accepted"], answer["rejected"]) == (1, 0, 0)
    (result,) = answer["results"]
    assert result["status"] == "waiting"
    assert "no such article yet" in result["detail"]
    publish(site)
    site.work()
    (item,) = site.feed()["items"]
    assert (item["my_reaction"], item["reactions"]["likes"]) == ("like", 1)
    assert site.send(event())["duplicate"] == 1


def test_each_outcome_stands_in_its_place(site: Any) -> None:
    publish(site)
    answer = site.send(
        event(1, article_id="never"), event(2, kind="stare"), event(3), event(3), event(4)
    )
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["waiting", "rejected", "accepted", "duplicate", "accepted"]


def test_an_event_far_from_now_is_kept_and_the_answer_says_so(site: Any) -> None:
    publish(site)
    answer = site.send(event(occurred_at="1970-01-01T00:00:00Z"))
    (result,) = answer["results"]
    assert result["status"] == "accepted"
    assert result["detail"].startswith("occurred_at: ")
    entries = site.client.get("/v1/users/reader/export").json["store"]["history"]
    assert [entry["occurred_at"] for entry in entries] == [site.clock.now]


def test_a_wrong_clock_is_corrected_by_what_it_shows(site: Any) -> None:
    publish(site)
    site.clock.now += 600
    clock = site.clock.now + 7200
    body = {
        "sent_at": format_time(clock),
        "events": [event(occurred_at=format_time(clock - 60), kind="click")],
    }
    assert site.client.post("/v1/events", json=body).json["accepted"] == 1
    entries = site.client.get("/v1/users/reader/export").json["store"]["history"]
    assert [entry["occurred_at"] for entry in entries] == [site.clock.now - 60]


def test_a_wrong_moment_of_sending_is_named(site: Any) -> None:
    body = {"sent_at": "soon", "events": [event()]}
    answer = site.client.post("/v1/events", json=body)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "sent_at"
