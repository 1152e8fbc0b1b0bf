"""A feed shows one article of a story, says how many more there are, and lists them."""

from __future__ import annotations

from typing import Any

import pytest

from feed.domain import format_time

VECTOR = [1.0, 0.0, 0.0]
STORY = {
    "harbour": "Ferry Maren rams pier in Aske, 22 hurt",
    "wire": "Engine fault blamed after Maren rams Aske pier, 22 injured",
    "avis": "Færgen Maren påsejler mole i Aske, 22 kvæstet",
}


def article(name: str, title: str, at: float, **fields: Any) -> dict[str, Any]:
    given = {
        "article_id": name,
        "title": title,
        "source": name,
        "published_at": format_time(at),
        "embedding": VECTOR,
        "language": "da" if name == "avis" else "en",
    }
    return {**given, **fields}


def put(site: Any, *articles: dict[str, Any]) -> None:
    answer = site.client.post("/v1/articles", json={"articles": list(articles)})
    assert answer.status_code == 200, answer.json
    site.services.keeper.refresh()


WORDS = [
    "budget",
    "snow",
    "harvest",
    "orchestra",
    "tunnel",
    "lottery",
    "vaccine",
    "chess",
    "honey",
    "strike",
    "salt",
    "opera",
]


@pytest.fixture
def paper(site: Any, clock: Any) -> Any:
    """Twelve articles about other things, and three about one event."""
    others = [
        article(f"other-{n}", f"{word} {n}", clock.now - 90) | {"embedding": [0.0, 1.0, 0.1 * n]}
        for n, word in enumerate(WORDS)
    ]
    put(site, *others)
    put(site, *(article(name, title, clock.now - 60) for name, title in STORY.items()))
    return site


def told(site: Any, **query: Any) -> list[dict[str, Any]]:
    items = site.feed(limit=50, **query)["items"]
    return [item for item in items if item["article"]["article_id"] in {*STORY, "later"}]


def click(site: Any, article_id: str, at: float) -> None:
    event = {"event_id": f"e-{article_id}", "user_id": "reader", "article_id": article_id}
    assert site.send({**event, "kind": "click", "occurred_at": format_time(at)})["accepted"] == 1


@pytest.mark.parametrize("mode", ["personalized", "trending", "latest"])
def test_one_article_of_a_story_says_how_many_more_there_are(paper: Any, mode: str) -> None:
    (item,) = told(paper, mode=mode)
    assert item["more_on_this"]["count"] == 2
    assert item["more_on_this"]["story_id"] in STORY


def test_a_story_is_listed_by_the_id_of_each_of_its_articles(paper: Any) -> None:
    lists = [paper.client.get(f"/v1/stories/{name}").json for name in STORY]
    assert lists[0] == lists[1] == lists[2]
    assert {item["article"]["article_id"] for item in lists[0]["items"]} == {*STORY}


def test_an_article_without_a_story_stands_alone(paper: Any) -> None:
    alone = paper.client.get("/v1/stories/other-3").json
    assert [item["article"]["article_id"] for item in alone["items"]] == ["other-3"]
    assert paper.client.get("/v1/stories/nobody").status_code == 404
    found = [item for item in paper.feed(limit=50)["items"] if "more_on_this" in item]
    assert len(found) == 1


def test_a_retracted_article_is_not_counted(paper: Any) -> None:
    (item,) = told(paper)
    gone = next(name for name in STORY if name != item["article"]["article_id"])
    assert paper.client.delete(f"/v1/articles/{gone}").status_code == 200
    paper.services.keeper.refresh()
    (item,) = told(paper)
    assert item["more_on_this"]["count"] == 1


def test_the_followed_source_tells_the_story(paper: Any) -> None:
    for name in STORY:
        body = {"followed_sources": [name]}
        assert paper.client.put("/v1/users/reader/preferences", json=body).status_code == 200
        assert [item["article"]["article_id"] for item in told(paper)] == [name]


def test_a_story_comes_back_only_with_something_newer(paper: Any, clock: Any) -> None:
    click(paper, "wire", clock.now - 10)
    assert told(paper) == []
    clock.now += 600
    put(paper, article("later", "Maren captain questioned after Aske pier crash", clock.now - 5))
    (item,) = told(paper)
    reason = item["reasons"][0]
    assert item["article"]["article_id"] == "later"
    assert (reason["code"], reason["article_id"]) == ("new_since_you_read", "wire")
    assert reason["text"] == f"New since you read “{STORY['wire']}”"


def test_an_article_that_changes_stays_one_article_of_its_story(paper: Any, clock: Any) -> None:
    changed = article("wire", "Live: what we know of the ferry crash", clock.now - 60)
    put(paper, changed | {"embedding": [0.0, 0.0, 1.0]})
    (item,) = told(paper)
    assert item["more_on_this"]["count"] == 2
