from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import Settings
from feed.domain import format_time
from feed.service.cursor import CURSOR_SECRET
from feed.service.telemetry import Stopwatch


def ids_of(page: dict[str, Any]) -> list[str]:
    return [item["article"]["article_id"] for item in page["items"]]


def click(article_id: str, user_id: str = "reader", **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"{user_id}-{article_id}-{fields.get('kind', 'click')}",
        "user_id": user_id,
        "article_id": article_id,
        "kind": "click",
        **fields,
    }


def test_a_feed_shows_articles_with_reasons_and_nothing_untrue(site: Any) -> None:
    site.publish(30)
    page = site.feed(limit=10)
    assert len(ids_of(page)) == len(set(ids_of(page))) == 10
    assert page["personalized"] is False
    assert page["notice"] == ""
    assert page["mode_served"] == "without_model"
    assert [item["position"] for item in page["items"]] == list(range(10))
    for item in page["items"]:
        assert item["reasons"]
        assert all(reason["text"] and "{" not in reason["text"] for reason in item["reasons"])
        assert item["disclosure"] == ""
        assert item["my_reaction"] is None


def test_a_click_changes_the_next_request(site: Any) -> None:
    site.publish(40)
    first = site.feed(limit=20)
    read = ids_of(first)[0]
    assert site.send(click(read))["accepted"] == 1
    after = site.feed(limit=20)
    assert read not in ids_of(after)
    assert after["personalized"] is True
    assert after["notice"] == "Your feed is customized."


def test_a_hidden_article_is_gone_on_the_next_request_and_comes_back(site: Any) -> None:
    site.publish(10)
    hidden = ids_of(site.feed())[3]
    site.send(click(hidden, kind="hide"))
    assert hidden not in ids_of(site.feed())
    site.send(click(hidden, kind="unhide"))
    assert hidden in ids_of(site.feed())


def test_a_like_shows_at_once_and_is_counted_once(site: Any) -> None:
    site.publish(5)
    liked = ids_of(site.feed())[0]
    site.send(click(liked, kind="like"))

    def item() -> dict[str, Any]:
        page = site.feed(mode="personalized")
        found: dict[str, Any] = next(
            i for i in page["items"] if i["article"]["article_id"] == liked
        )
        return found

    assert item()["my_reaction"] == "like"
    assert item()["reactions"] == {"likes": 1, "dislikes": 0}
    site.work()
    assert item()["reactions"] == {"likes": 1, "dislikes": 0}
    site.send(click(liked, user_id="other", kind="like"))
    site.work()
    assert item()["reactions"]["likes"] == 2
    site.send(click(liked, kind="unlike"))
    site.work()
    assert item()["my_reaction"] is None
    assert item()["reactions"]["likes"] == 1


def test_what_happened_last_decides_even_on_a_clock_that_is_far_ahead(site: Any) -> None:
    (article_id,) = site.publish(1)
    unliked = click(article_id, kind="unlike", occurred_at=format_time(site.clock.now + 800))
    liked = click(article_id, kind="like", occurred_at=format_time(site.clock.now + 700))
    site.send(unliked, liked)
    assert site.feed()["items"][0]["my_reaction"] is None


def test_reactions_of_an_erased_reader_leave_the_totals(site: Any) -> None:
    liked, disliked = site.publish(2)
    for user_id in ("reader", "other"):
        site.send(click(liked, user_id=user_id, kind="like"))
        site.send(click(disliked, user_id=user_id, kind="dislike"))

    def totals() -> dict[str, dict[str, int]]:
        site.work()
        items = site.feed("somebody")["items"]
        return {item["article"]["article_id"]: item["reactions"] for item in items}

    for user_id, left in (("nobody", 2), ("reader", 1), ("reader", 1), ("other", 0)):
        assert site.client.delete(f"/v1/users/{user_id}").status_code == 202
        assert totals() == {
            liked: {"likes": left, "dislikes": 0},
            disliked: {"likes": 0, "dislikes": left},
        }
    site.send(click(liked, event_id="again", kind="like"))
    assert totals()[liked]["likes"] == 1


def test_ones_own_like_adds_to_those_of_others_at_once(site: Any) -> None:
    (article_id,) = site.publish(1)
    for user_id in ("other", "another"):
        site.send(click(article_id, user_id=user_id, kind="like"))
    site.clock.now += 1
    site.work()

    def likes(user_id: str) -> int:
        count: int = site.feed(user_id)["items"][0]["reactions"]["likes"]
        return count

    assert likes("reader") == 2
    site.clock.now += 1
    site.send(click(article_id, kind="like", occurred_at=format_time(site.clock.now)))
    assert (likes("reader"), likes("stranger")) == (3, 2)
    site.clock.now += 1
    site.work()
    assert (likes("reader"), likes("stranger")) == (3, 3)


def test_a_click_by_a_clock_that_is_ahead_counts_in_the_next_request(site: Any) -> None:
    site.publish(30)
    clicked = ids_of(site.feed(limit=10))[0]
    site.send(click(clicked, occurred_at=format_time(site.clock.now + 120)))
    site.clock.now += 1
    page = site.feed(limit=30)
    assert page["personalized"] is True
    assert clicked not in ids_of(page)


def test_a_retracted_article_is_gone_on_the_next_request_and_the_page_is_full(site: Any) -> None:
    site.publish(30)
    first = site.feed(limit=10)
    gone = ids_of(first)[2]
    assert site.client.delete(f"/v1/articles/{gone}").json["status"] == "retracted"
    page = site.feed(limit=10)
    assert gone not in ids_of(page)
    assert len(ids_of(page)) == 10


def test_another_process_retracts_and_this_one_knows_at_once(
    site: Any, make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site.publish(30)
    other = make_site(settings)
    gone = ids_of(site.feed(limit=10))[0]
    other.client.delete(f"/v1/articles/{gone}?purge=true")
    page = site.feed(limit=10)
    assert gone not in ids_of(page)
    assert len(ids_of(page)) == 10
    following = site.feed(limit=30, cursor=page["next_cursor"])
    shown = ids_of(page) + ids_of(following)
    assert sorted(shown) == sorted({f"a{n}" for n in range(30)} - {gone})


def test_a_retraction_between_pages_loses_nothing_else(site: Any) -> None:
    site.publish(30)
    first = site.feed(limit=10)
    second = site.feed(limit=10, cursor=first["next_cursor"])
    gone = ids_of(second)[4]
    site.client.delete(f"/v1/articles/{gone}")
    again = site.feed(limit=10, cursor=first["next_cursor"])
    third = site.feed(limit=30, cursor=again["next_cursor"])
    shown = ids_of(first) + ids_of(again) + ids_of(third)
    assert gone not in shown
    assert sorted(shown) == sorted({f"a{n}" for n in range(30)} - {gone})


def test_pages_neither_repeat_nor_lose_whatever_changes_between(site: Any) -> None:
    before = set(site.publish(45))
    page = site.feed(limit=7)
    shown = ids_of(page)
    while page["next_cursor"]:
        site.send(click(shown[-1]))
        site.publish(50)
        site.work()
        page = site.feed(limit=7, cursor=page["next_cursor"])
        shown += ids_of(page)
    assert len(shown) == len(set(shown))
    assert set(shown) == before
    assert page["next_cursor"] is None


def later_page(site: Any, change: Callable[[list[str]], object]) -> tuple[list[str], list[str]]:
    """Return the rest of a feed without and with a change after its first page."""
    site.publish(30)
    first = site.feed(limit=10)
    rest = ids_of(site.feed(limit=30, cursor=first["next_cursor"]))
    change(rest)
    site.clock.now += 60
    site.services.keeper.refresh()
    return rest, ids_of(site.feed(limit=30, cursor=first["next_cursor"]))


@pytest.mark.parametrize(
    "field",
    [{"expires_at": 30}, {"published_at": 2 * 3600}],
    ids=["expired", "embargoed again"],
)
def test_a_later_page_leaves_out_what_may_not_be_shown_any_more(
    site: Any, field: dict[str, int]
) -> None:
    changes = {name: format_time(site.clock.now + after) for name, after in field.items()}

    def change(rest: list[str]) -> None:
        answer = site.client.patch(f"/v1/articles/{rest[3]}", json=changes)
        assert answer.status_code == 200, answer.json

    before, after = later_page(site, change)
    assert after == [a for a in before if a != before[3]]


@pytest.mark.parametrize("kind", ["hide", "dislike"])
def test_a_later_page_leaves_out_what_was_hidden_meanwhile(site: Any, kind: str) -> None:
    before, after = later_page(site, lambda rest: site.send(click(rest[3], kind=kind)))
    assert after == [a for a in before if a != before[3]]


def test_a_later_page_leaves_out_what_was_muted_meanwhile(site: Any) -> None:
    choices = {"muted_sections": ["section-1"]}
    before, after = later_page(
        site, lambda _: site.client.put("/v1/users/reader/preferences", json=choices)
    )
    assert after == [a for a in before if int(a[1:]) % 4 != 1]


def test_another_process_serves_the_second_page(
    site: Any, make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site.publish(30)
    other = make_site(settings)
    first = site.feed(limit=10)
    second = other.feed(limit=10, cursor=first["next_cursor"])
    assert not set(ids_of(first)) & set(ids_of(second))
    assert second["request_id"] == first["request_id"]


@pytest.mark.parametrize("cursor", ["abc", "%%", "x" * 300])
def test_a_made_up_cursor_is_refused(site: Any, cursor: str) -> None:
    answer = site.client.get("/v1/feed", query_string={"user_id": "reader", "cursor": cursor})
    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == "cursor"


def test_the_cursor_of_another_reader_is_refused(site: Any) -> None:
    site.publish(30)
    cursor = site.feed(limit=5)["next_cursor"]
    answer = site.client.get("/v1/feed", query_string={"user_id": "other", "cursor": cursor})
    assert answer.status_code == 400


def test_a_cursor_goes_through_the_feed_that_was_asked_for(site: Any) -> None:
    site.publish(40)
    first = site.feed(limit=5, section="section-1", language="en", mode="latest")
    query = {"limit": 2, "cursor": first["next_cursor"]}
    for same in ({}, {"section": "Section-1 ", "language": "EN", "mode": "latest"}):
        assert len(site.feed(**query, **same)["items"]) == 2
    for other in ({"section": "section-2"}, {"language": "da"}, {"mode": "personalized"}):
        answer = site.client.get("/v1/feed", query_string={"user_id": "reader", **query, **other})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json["errors"]] == [*other]


def test_an_expired_cursor_says_so(site: Any) -> None:
    site.publish(30)
    cursor = site.feed(limit=5)["next_cursor"]
    site.clock.now += 31 * 60
    answer = site.client.get("/v1/feed", query_string={"user_id": "reader", "cursor": cursor})
    assert answer.status_code == 410


@pytest.mark.parametrize("mode", ["latest", "trending"])
def test_a_mode_without_profiling_is_the_same_for_every_reader(site: Any, mode: str) -> None:
    site.publish(20)
    site.send(*[click(a) for a in ids_of(site.feed(limit=5))])
    mine, others = site.feed(mode=mode), site.feed("stranger", mode=mode)
    assert ids_of(mine) == ids_of(others)
    assert mine["personalized"] is False
    assert mine["mode_served"] == mode
    assert mine["notice"] == ""


def test_personalization_off_forgets_and_says_so(site: Any) -> None:
    site.publish(20)
    read = ids_of(site.feed(limit=5))
    site.send(*[click(a) for a in read])
    answer = site.client.put("/v1/users/reader/preferences", json={"personalization": False})
    assert answer.status_code == 200
    page = site.feed(limit=20)
    assert page["personalized"] is False
    assert "customized" not in page["notice"]
    assert set(read) <= set(ids_of(page))
    site.send(click(ids_of(page)[6]))
    assert ids_of(page)[6] in ids_of(site.feed(limit=20))


def test_what_a_reader_states_by_events_counts_without_personalization(site: Any) -> None:
    site.publish(20)
    site.client.put("/v1/users/reader/preferences", json={"personalization": False})
    hidden, disliked, liked, read = ids_of(site.feed(limit=4))
    kinds = {hidden: "hide", disliked: "dislike", liked: "like", read: "click"}
    site.send(*[click(article_id, kind=kind) for article_id, kind in kinds.items()])
    page = site.feed(limit=5)
    mine = {item["article"]["article_id"]: item["my_reaction"] for item in page["items"]}
    assert not {hidden, disliked} & set(mine)
    assert (mine[liked], mine[read]) == ("like", None)
    later = site.feed(limit=20, cursor=page["next_cursor"])
    assert not {hidden, disliked} & set(ids_of(later))


@pytest.mark.parametrize(
    "stated",
    [
        {"muted_sections": ["section-2"]},
        {"followed_sections": ["section-3"]},
        {"wishes": [{"kind": "more", "of": "section", "value": "section-3", "strength": 2}]},
    ],
)
def test_preferences_customize_a_feed_without_a_history(site: Any, stated: dict[str, Any]) -> None:
    site.publish(20)
    choices = {"personalization": False, **stated}
    answer = site.client.put("/v1/users/reader/preferences", json=choices)
    assert answer.status_code == 200
    page = site.feed()
    assert page["personalized"] is True
    assert page["notice"] == "Your feed is customized."
    assert all(item["disclosure"] == "Your feed is customized." for item in page["items"])


def test_personalization_off_ends_the_cursors_of_feeds_ranked_by_the_history(site: Any) -> None:
    site.publish(30)
    site.send(click("a3"))
    query = {"user_id": "reader", "cursor": site.feed(limit=5)["next_cursor"]}
    assert site.client.get("/v1/feed", query_string=query).status_code == 200
    switch = {"personalization": False}
    site.client.put("/v1/users/reader/preferences", json=switch)
    assert site.client.get("/v1/feed", query_string=query).status_code == 410
    query["cursor"] = site.feed(limit=5)["next_cursor"]
    choices = {**switch, "muted_sections": ["section-1"]}
    site.client.put("/v1/users/reader/preferences", json=choices)
    page = site.client.get("/v1/feed", query_string=query)
    assert page.status_code == 200
    assert "section-1" not in {item["article"]["section"] for item in page.json["items"]}


def test_a_feed_can_be_of_one_section_or_language(site: Any) -> None:
    site.publish(20)
    page = site.feed(section="section-1")
    assert {item["article"]["section"] for item in page["items"]} == {"section-1"}
    assert site.feed(section="nowhere")["items"] == []
    assert site.feed(language="da")["items"] == []
    assert len(site.feed(language="en")["items"]) == 20


def test_a_language_tag_may_be_written_as_devices_write_it(site: Any) -> None:
    article = {"article_id": "a", "title": "Ferry", "language": "EN_gb"}
    assert site.client.post("/v1/articles", json={"articles": [article]}).status_code == 200
    assert site.client.get("/v1/articles/a").json["language"] == "en-gb"
    preferences = {"languages": ["en_GB", "zh_Hant_TW"]}
    answer = site.client.put("/v1/users/reader/preferences", json=preferences)
    assert answer.json["languages"] == ["en-gb", "zh-hant-tw"]
    site.work()
    assert ids_of(site.feed(language="en_GB")) == ["a"]


@pytest.mark.parametrize("mode", ["personalized", "latest", "trending"])
def test_muted_sections_are_not_shown(site: Any, mode: str) -> None:
    site.publish(20)
    site.client.put("/v1/users/reader/preferences", json={"muted_sections": ["section-2"]})
    sections = {i["article"]["section"] for i in site.feed(mode=mode)["items"]}
    assert sections
    assert "section-2" not in sections


def test_labels_travel_from_the_publisher_to_the_reader(site: Any) -> None:
    site.publish(1, ai_generated="generated", sponsored=True, human_reviewed=True)
    page = site.feed()
    (item,) = page["items"]
    assert item["labels"] == ["ai_generated", "sponsored"]
    assert item["article"]["human_reviewed"] is True
    assert item["disclosure"].startswith("This article has been generated with AI.")
    assert page["notice"] == "Generative AI is experimental."


def test_a_pin_takes_its_slot_and_is_said_to_be_one(site: Any) -> None:
    site.publish(20)
    pin = {
        "article_id": "a15",
        "slot": 1,
        "starts_at": "2020-01-01T00:00:00Z",
        "ends_at": "2199-01-01T00:00:00Z",
    }
    assert site.client.put("/v1/pins", json={"pins": [pin]}).status_code == 200
    site.services.keeper.refresh()
    item = site.feed()["items"][1]
    assert item["article"]["article_id"] == "a15"
    assert "editors_pick" in item["labels"]
    assert item["reasons"][0]["code"] == "editors_pick"


def test_what_is_read_much_is_trending_with_its_numbers(site: Any) -> None:
    site.publish(30)
    for number in range(60):
        site.send(click("a9", user_id=f"r{number}"))
    site.work()
    answer = site.client.get("/v1/trending").json
    (item,) = [i for i in answer["items"] if i["labelled"]]
    assert item["article"]["article_id"] == "a9"
    assert item["readers"] > 50
    assert item["lift"] > 1
    found = next(i for i in site.feed()["items"] if i["article"]["article_id"] == "a9")
    assert "trending" in found["labels"]
    assert found["disclosure"].startswith("This article has been trending online recently.")
    assert site.client.get("/v1/trending?section=section-2").json["items"] == []


def test_one_reader_clicking_a_hundred_times_does_not_trend(site: Any) -> None:
    site.publish(30)
    for number in range(100):
        site.send({**click("a9"), "event_id": f"e{number}"})
    site.work()
    assert not any(i["labelled"] for i in site.client.get("/v1/trending").json["items"])


def test_two_processes_agree(
    site: Any, make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site.publish(40)
    other = make_site(settings)
    for number, article_id in enumerate(["a3", "a4", "a5"] * 4):
        site.send(click(article_id, user_id=f"r{number}"))
    site.send(click("a1"))
    site.work()
    other.services.keeper.refresh()
    one, two = site.feed(mode="trending"), other.feed(mode="trending")
    assert ids_of(one) == ids_of(two)
    mine, theirs = site.feed(limit=40), other.feed(limit=40)
    assert set(ids_of(mine)) == set(ids_of(theirs))
    scores = [{i["article"]["article_id"]: i["score"] for i in p["items"]} for p in (mine, theirs)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_the_stages_of_a_request_are_told(site: Any) -> None:
    site.publish(5)
    answer = site.client.get("/v1/feed?user_id=reader")
    timing = answer.headers["Server-Timing"]
    for stage in ("store_read", "candidates", "scoring", "diversity", "store_write", "total"):
        assert f"{stage};dur=" in timing


def test_a_stopwatch_books_every_second_once() -> None:
    times = iter([0.0, 1.0, 3.0, 7.0, 7.0, 7.0])
    watch = Stopwatch(lambda: next(times))
    watch.lap("a")
    watch.split({"b": 1.5})
    watch.lap("a")
    assert watch.stages == {"a": 5.0, "b": 1.5, "ranking": 0.5}


def test_a_configured_secret_signs_cursors_for_every_installation(
    site: Any, make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site.publish(20)
    one = make_site(replace(settings, cursor_secret="shared"))
    cursor = one.feed(limit=5)["next_cursor"]
    answer = site.client.get("/v1/feed", query_string={"user_id": "reader", "cursor": cursor})
    assert answer.status_code == 400
    assert CURSOR_SECRET != "shared"
    assert make_site(replace(settings, cursor_secret="shared")).feed(cursor=cursor)["items"]
