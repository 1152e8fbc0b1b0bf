"""A story under two ids is shown once, and read once is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feed.domain import format_time

PAGE = "https://paper.test/city/ferries"
OTHER_IDS = {"twin": f"{PAGE}?utm_source=rss", "amp": "https://amp.paper.test/city/ferries/amp"}


def article(article_id: str, now: float, url: str, **fields: Any) -> dict[str, Any]:
    published_at = format_time(now - 60)
    given = {"title": "Ferries return", "url": url, "published_at": published_at, **fields}
    return {"article_id": article_id, **given}


@pytest.fixture
def paper(site: Any, clock: Any) -> Any:
    """Twelve articles, and one story under three ids, of which `first` came first."""
    site.publish(12)
    send(site, article("first", clock.now, PAGE))
    clock.now += 1
    send(site, *(article(name, clock.now, url) for name, url in OTHER_IDS.items()))
    return site


def send(site: Any, *articles: dict[str, Any]) -> None:
    answer = site.client.post("/v1/articles", json={"articles": list(articles)})
    assert answer.status_code == 200, answer.json
    site.services.keeper.refresh()


def ferries(site: Any, user_id: str = "reader", **query: Any) -> list[str]:
    """Return the ids under which a reader's feed shows the story."""
    found = [
        item["article"]["article_id"] for item in site.feed(user_id, limit=50, **query)["items"]
    ]
    return [article_id for article_id in found if article_id in {"first", *OTHER_IDS}]


def act(site: Any, article_id: str, kind: str) -> None:
    event = {"event_id": kind, "user_id": "reader", "article_id": article_id, "kind": kind}
    assert site.send(event)["accepted"] == 1


@pytest.mark.parametrize("mode", ["personalized", "trending", "latest"])
def test_twins_fold_in_every_mode(paper: Any, mode: str) -> None:
    assert ferries(paper, mode=mode) == ["first"]


@pytest.mark.parametrize("article_id", ["first", "twin", "amp"])
@pytest.mark.parametrize("kind", ["click", "hide", "dislike"])
def test_who_is_done_with_one_is_done_with_all(paper: Any, article_id: str, kind: str) -> None:
    act(paper, article_id, kind)
    assert ferries(paper) == []
    assert ferries(paper, "somebody") == ["first"]


def test_an_article_read_before_it_had_a_twin_stays_read(site: Any, clock: Any) -> None:
    site.publish(12)
    send(site, article("later", clock.now, PAGE))
    act(site, "later", "click")
    clock.now += 1
    send(site, article("again", clock.now, OTHER_IDS["twin"]))
    shown = {item["article"]["article_id"] for item in site.feed(limit=50)["items"]}
    assert not shown & {"later", "again"}


def test_impressions_of_twins_add_up(paper: Any, clock: Any) -> None:
    for number, article_id in enumerate(["first", "twin", "amp", "twin"]):
        event = {
            "event_id": f"i{number}",
            "user_id": "reader",
            "article_id": article_id,
            "kind": "impression",
        }
        assert paper.send(event)["accepted"] == 1
    clock.now += 60

    def score(user_id: str) -> float:
        items = paper.feed(user_id, limit=50)["items"]
        return next(i["score"] for i in items if i["article"]["article_id"] == "first")

    assert score("reader") < 0.9 * score("nobody")


def test_the_next_takes_the_place_of_a_retracted_and_of_an_expired_one(
    paper: Any, clock: Any
) -> None:
    assert paper.client.delete("/v1/articles/first").status_code == 200
    paper.services.keeper.refresh()
    assert ferries(paper) == ["amp"]
    soon = format_time(clock.now + 30)
    send(paper, article("amp", clock.now, OTHER_IDS["amp"], expires_at=soon))
    clock.now += 31
    paper.services.keeper.refresh()
    assert ferries(paper) == ["twin"]


def test_a_pinned_twin_stays_and_its_leader_folds(paper: Any, clock: Any) -> None:
    times = {"starts_at": format_time(clock.now - 60), "ends_at": "2040-01-01T00:00:00Z"}
    pins = [
        {"article_id": "twin", "slot": 2, **times},
        {"article_id": "amp", "slot": 3, **times},
    ]
    assert paper.client.put("/v1/pins", json={"pins": pins}).status_code == 200
    paper.services.keeper.refresh()
    page = paper.feed(limit=50)
    assert page["items"][2]["article"]["article_id"] == "twin"
    assert "editors_pick" in page["items"][2]["labels"]
    assert ferries(paper) == ["twin"]
    assert ferries(paper, mode="latest") == ["first"]
    act(paper, "first", "click")
    assert ferries(paper) == []


def test_neither_a_page_nor_its_related_articles_show_its_own_story(paper: Any) -> None:
    assert ferries(paper, page_article_id="twin") == []
    for article_id in ("first", "twin"):
        related = paper.client.get(f"/v1/articles/{article_id}/related").json["items"]
        assert not {item["article"]["article_id"] for item in related} & {"first", "twin", "amp"}


def test_the_parameters_that_make_no_page_are_a_setting(make_site: Any, settings: Any) -> None:
    site = make_site(replace(settings, tracking_parameters="campaign"))
    now = site.clock.now
    send(site, article("first", now, PAGE), article("twin", now, OTHER_IDS["twin"]))
    assert sorted(ferries(site)) == ["first", "twin"]
    send(site, article("third", now, f"{PAGE}?campaign=7"))
    assert len(site.feed(limit=50)["items"]) == 2
