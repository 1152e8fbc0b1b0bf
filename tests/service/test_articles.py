from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from feed.catalogue.article_service import ArticleService
from feed.domain import Article, Submission

A = {"article_id": "a", "title": "A", "published_at": "2026-09-21T10:00:00Z"}


class CountingEncoder:
    """Encodes a text as its length; counts what it encoded."""

    name = "counting"
    dimensions = 2

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Any) -> Any:
        self.texts += texts
        return np.tile(np.array([[0.6, 0.8]], np.float32), (len(texts), 1))


def test_an_article_comes_back_as_it_was_sent(site: Any) -> None:
    sent = {
        **A,
        "standfirst": "S",
        "body": "<script>alert(1)</script>",
        "url": "https://news.example/a",
        "image_url": "/a.jpg",
        "section": "News",
        "other_sections": ["Local"],
        "tags": ["one", "two"],
        "source": "Desk",
        "author": "Me",
        "language": "da",
        "updated_at": "2026-09-21T11:00:00.000Z",
        "expires_at": "2099-09-21T11:00:00.000Z",
        "ai_generated": "assisted",
        "human_reviewed": True,
        "sponsored": True,
        "retracted": False,
    }
    answer = site.client.post("/v1/articles", json={"articles": [sent]})
    assert answer.json == {"results": [{"article_id": "a", "status": "created"}]}
    found = site.client.get("/v1/articles/a").json
    assert found.pop("held_fields") == []
    assert found.pop("owned_fields") == sorted(sent.keys() - {"article_id"})
    assert found.pop("origins") == []
    assert found == {**sent, "published_at": "2026-09-21T10:00:00.000Z"}


def test_sending_an_article_again_changes_nothing(site: Any) -> None:
    body = {k: v for k, v in A.items() if k != "article_id"}
    statuses = [
        site.client.put("/v1/articles/a", json={**body, **more}).json["results"][0]["status"]
        for more in ({}, {}, {"title": "B"}, {"title": "B"})
    ]
    assert statuses == ["created", "unchanged", "updated", "unchanged"]


def test_a_text_is_encoded_once_until_it_changes(store: Any) -> None:
    encoder, changes = CountingEncoder(), []
    service = ArticleService(store, lambda: encoder, lambda: changes.append(1))
    one = Article(article_id="a", title="One", published_at=1.0)
    service.upsert([Submission(one)], 10.0)
    service.upsert([Submission(one)], 11.0)
    service.upsert([Submission(replace(one, published_at=2.0))], 12.0)
    assert encoder.texts == ["One"]
    service.upsert([Submission(replace(one, title="Two"))], 13.0)
    assert encoder.texts == ["One", "Two"]
    (stored,) = store.read_articles(["a"])
    assert stored.added_at == 10.0
    assert stored.encoder == "counting"
    assert len(changes) == 3


def test_a_vector_of_the_publisher_is_taken_instead(store: Any) -> None:
    encoder = CountingEncoder()
    service = ArticleService(store, lambda: encoder, lambda: None)
    given = Article(article_id="a", title="One", published_at=1.0, embedding=(3.0, 0.0, 4.0))
    service.upsert([Submission(given)], 10.0)
    assert not encoder.texts
    stored = store.read_states(["a"])[0].stored
    assert stored.embedding.tolist() == pytest.approx([0.6, 0.0, 0.8], abs=1e-3)


def test_the_last_of_one_id_in_a_batch_counts(site: Any) -> None:
    answer = site.client.post("/v1/articles", json={"articles": [A, {**A, "title": "B"}]})
    assert answer.status_code == 200
    assert site.client.get("/v1/articles/a").json["title"] == "B"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": 1}, "title"),
        ({"title": "x" * 1001}, "title"),
        ({"published_at": "soon"}, "published_at"),
        ({"published_at": "0001-01-01T00:00:00+14:00"}, "published_at"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"image_url": "data:text/html,x"}, "image_url"),
        ({"ai_generated": "maybe"}, "ai_generated"),
        ({"tags": "news"}, "tags"),
        ({"embedding": []}, "embedding"),
        ({"embedding": ["a"]}, "embedding"),
        ({"language": "english please"}, "language"),
        ({"colour": "red"}, "colour"),
        ({"article_id": "a b"}, "article_id"),
    ],
)
def test_a_broken_rule_is_named_and_nothing_is_written(
    site: Any, fields: dict[str, Any], field: str
) -> None:
    good = {**A, "article_id": "good"}
    answer = site.client.post("/v1/articles", json={"articles": [good, {**A, **fields}]})
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert {error["field"].split(".")[2] for error in answer.json["errors"]} == {field}
    assert site.client.get("/v1/articles/good").status_code == 404


def test_an_infinite_embedding_is_refused(site: Any) -> None:
    body = orjson.dumps({"articles": [{**A, "embedding": [0.25]}]}).replace(b"0.25", b"1e999")
    answer = site.client.post("/v1/articles", data=body, content_type="application/json")
    assert answer.status_code in {400, 422}


def test_ids_may_be_addresses(site: Any) -> None:
    article_id = "https://news.example/2026/09/a?b=c"
    site.client.post("/v1/articles", json={"articles": [{**A, "article_id": article_id}]})
    path = "/v1/articles/https%3A%2F%2Fnews.example%2F2026%2F09%2Fa%3Fb=c"
    assert site.client.get(path).json["article_id"] == article_id
    assert site.client.get(path + "/related").json["article_id"] == article_id


def test_the_scheme_of_an_address_may_be_in_any_case(site: Any) -> None:
    for url, status in (("HTTPS://X.example/1", 200), ("Http://x.example", 200), ("FTP://x", 422)):
        answer = site.client.post("/v1/articles", json={"articles": [{**A, "url": url}]})
        assert answer.status_code == status
    assert site.client.get(f"/v1/articles/{A['article_id']}").json["url"] == "Http://x.example"


def test_a_retracted_article_stays_readable_and_an_erased_one_does_not(site: Any) -> None:
    site.publish(2)
    assert site.client.delete("/v1/articles/a0").json["status"] == "retracted"
    assert site.client.get("/v1/articles/a0").json["retracted"] is True
    assert site.client.delete("/v1/articles/a1?purge=true").json["status"] == "erased"
    assert site.client.get("/v1/articles/a1").status_code == 404
    assert site.client.delete("/v1/articles/a1").status_code == 404


def test_a_retraction_by_put_can_be_taken_back(site: Any) -> None:
    body = {k: v for k, v in A.items() if k != "article_id"}
    site.clock.now = 1_790_000_000.0
    now = {**body, "published_at": "2026-09-21T13:00:00Z"}
    for retracted, shown in ((False, 1), (True, 0), (False, 1)):
        site.client.put("/v1/articles/a", json={**now, "retracted": retracted})
        assert len(site.feed()["items"]) == shown


def test_related_articles_are_alike_and_live(site: Any) -> None:
    vectors = {"a0": [1.0, 0.0], "a1": [0.9, 0.1], "a2": [0.0, 1.0], "a3": [0.8, 0.2]}
    for number, vector in enumerate(vectors.values()):
        made = {**A, "article_id": f"a{number}", "embedding": vector}
        site.client.post(
            "/v1/articles", json={"articles": [{**made, "published_at": "2026-09-21T13:00:00Z"}]}
        )
    found = site.client.get("/v1/articles/a0/related").json["items"]
    assert [i["article"]["article_id"] for i in found][:2] == ["a1", "a3"]
    assert {i["source"] for i in found} == {"similar_text"}
    site.client.delete("/v1/articles/a1")
    found = site.client.get("/v1/articles/a0/related").json["items"]
    assert "a1" not in [i["article"]["article_id"] for i in found]
    assert site.client.get("/v1/articles/nobody/related").status_code == 404
