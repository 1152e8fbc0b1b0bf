"""A story trends by the readers of all its articles, and its label stands once on each page."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from feed.domain import format_time
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker

VECTOR = [1.0, 0.0, 0.0]
STORY = {
    "harbour": "Ferry Maren rams pier in Aske, 22 hurt",
    "wire": "Engine fault blamed after Maren rams Aske pier, 22 injured",
    "coast": "Maren ferry hits Aske pier: 22 hurt, engine blamed",
    "avis": "Færgen Maren påsejler mole i Aske, 22 kvæstet",
}
READERS = {"harbour": 9, "wire": 8, "coast": 7, "avis": 8}
WORDS = ["budget", "snow", "harvest", "orchestra", "tunnel", "lottery"]
WORDS += ["vaccine", "chess", "honey", "strike", "salt", "opera"]


def article(name: str, title: str, at: float, **fields: Any) -> dict[str, Any]:
    language = "da" if name == "avis" else "en"
    given = {"article_id": name, "title": title, "source": name, "language": language}
    return {**given, "published_at": format_time(at), "embedding": VECTOR, **fields}


def put(site: Any, *articles: dict[str, Any]) -> None:
    answer = site.client.post("/v1/articles", json={"articles": list(articles)})
    assert answer.status_code == 200, answer.json


def click(site: Any, reader: str, article_id: str, at: float) -> None:
    event = {"event_id": f"{reader}-{article_id}", "user_id": reader, "article_id": article_id}
    site.send({**event, "kind": "click", "occurred_at": format_time(at)})


def read(site: Any, readers: dict[str, int], *, same: bool = False) -> None:
    """Let so many readers read each article; the same ones all of them, or each only one."""
    now = site.clock.now
    for name, count in readers.items():
        for n in range(count):
            click(site, f"r{n}" if same else f"{name}-{n}", name, now - 600 + 10 * n)


@pytest.fixture
def paper(site: Any) -> Any:
    """A site that is read steadily, with four articles about one event."""
    at = site.clock.now - 3600 * 20
    others = [
        article(f"other-{n}", f"{word} {n}", at, embedding=[0.0, 1.0, 0.1 * n])
        for n, word in enumerate(WORDS)
    ]
    put(site, *others, *(article(name, title, at) for name, title in STORY.items()))
    names = [*STORY, *(f"other-{n}" for n in range(len(WORDS)))]
    for n in range(8 * len(names)):
        at_usual = site.clock.now - 3600 * 19 + 3600 * 18 * n / (8 * len(names))
        click(site, f"usual-{n}", names[n % len(names)], at_usual)
    return site


def labelled(site: Any, **query: Any) -> list[str]:
    items = site.client.get("/v1/trending", query_string=query).json["items"]
    return [item["article"]["article_id"] for item in items if item["labelled"]]


def shown(site: Any, **query: Any) -> list[dict[str, Any]]:
    items = site.feed(limit=50, **query)["items"]
    return [item for item in items if item["article"]["article_id"] in STORY]


@pytest.mark.parametrize("name", STORY)
def test_one_article_with_that_many_readers_does_not_trend(paper: Any, name: str) -> None:
    read(paper, {name: READERS[name]})
    paper.work()
    assert labelled(paper) == []


def test_a_story_trends_by_the_readers_of_all_its_articles(paper: Any) -> None:
    read(paper, READERS)
    paper.work()
    (entry,) = [i for i in paper.client.get("/v1/trending").json["items"] if i["labelled"]]
    assert entry["article"]["article_id"] == "harbour"
    assert entry["articles"] == 4
    assert 25 < entry["readers"] < sum(READERS.values())
    assert labelled(paper, language="da") == ["avis"]


def test_readers_of_all_its_articles_count_once(paper: Any) -> None:
    read(paper, READERS, same=True)
    paper.work()
    assert labelled(paper) == []


@pytest.mark.parametrize("mode", ["personalized", "trending", "latest"])
def test_the_label_stands_on_the_article_that_is_shown(paper: Any, mode: str) -> None:
    read(paper, READERS)
    paper.work()
    (item,) = shown(paper, mode=mode)
    assert "trending" in item["labels"]
    assert item["disclosure"].startswith("This story has been trending online recently.")
    if mode == "trending":
        assert item["reasons"][0]["text"].endswith("readers of this story in the last 43 minutes")


def test_a_reader_gets_the_label_on_the_version_of_the_followed_source(paper: Any) -> None:
    read(paper, READERS)
    paper.work()
    for name in STORY:
        body = {"followed_sources": [name]}
        assert paper.client.put("/v1/users/reader/preferences", json=body).status_code == 200
        (item,) = shown(paper)
        assert item["article"]["article_id"] == name
        assert "trending" in item["labels"]


def test_two_articles_that_editors_pin_carry_one_label(paper: Any) -> None:
    read(paper, READERS)
    term = {"starts_at": "2020-01-01T00:00:00Z", "ends_at": "2199-01-01T00:00:00Z"}
    pins = [{"article_id": name, "slot": n, **term} for n, name in enumerate(("avis", "wire"))]
    assert paper.client.put("/v1/pins", json={"pins": pins}).status_code == 200
    paper.work()
    items = shown(paper)
    assert [item["article"]["article_id"] for item in items] == ["avis", "wire"]
    assert ["trending" in item["labels"] for item in items] == [True, False]


def test_an_article_of_no_story_trends_as_an_article(paper: Any) -> None:
    read(paper, {"other-3": 60})
    paper.work()
    assert labelled(paper) == ["other-3"]
    item = next(i for i in paper.feed(limit=50)["items"] if i["article"]["article_id"] == "other-3")
    assert item["disclosure"].startswith("This article has been trending online recently.")


def test_the_desk_says_that_it_is_the_story(paper: Any) -> None:
    read(paper, READERS)
    paper.work()
    page = paper.client.get("/desk/articles/avis")
    assert "Its story trends: the readers of its 4 articles count together." in page.text


def test_several_workers_judge_a_story_on_the_sum(paper: Any) -> None:
    with closing(RedisStore(paper.settings)) as store:
        second = Worker(store, paper.settings, "second")
        for _ in range(4):
            paper.worker.tick(paper.clock.now)
            second.tick(paper.clock.now)
        assert min(len(paper.worker.partitions), len(second.partitions)) > 0
        read(paper, READERS)
        read(paper, dict.fromkeys(STORY, 3), same=True)
        for _ in range(3):
            paper.clock.now += 1
            second.tick(paper.clock.now)
            paper.worker.tick(paper.clock.now)
        paper.services.keeper.refresh()
        assert labelled(paper) == ["harbour"]
        (entry,) = [i for i in paper.client.get("/v1/trending").json["items"] if i["labelled"]]
        assert 27 < entry["readers"] < 30, "the twelve further clicks are of three readers"
