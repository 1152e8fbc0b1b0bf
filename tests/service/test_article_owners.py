"""Whose an article's fields are, over HTTP."""

from __future__ import annotations

from typing import Any

SITE = "https://paper.example/feed"
URL = "/v1/articles/a0"


def test_a_patch_over_http_names_the_field_at_fault(site: Any) -> None:
    assert site.client.patch(URL, json={"title": "T"}).status_code == 404
    site.publish(1)
    for body, field in [
        ({"title": ""}, "title"),
        ({"title": None}, "title"),
        ({"published_at": None}, "published_at"),
        ({"sponsored": "yes"}, "sponsored"),
        ({"release": ["colour"]}, "release.0"),
        ({"article_id": "b"}, "article_id"),
        ({"title": "T", "release": ["title"]}, "release"),
    ]:
        answer = site.client.patch(URL, json=body)
        assert answer.status_code == 422
        assert any(field in error["field"] + error["rule"] for error in answer.json["errors"])
    answer = site.client.patch(URL, json={"author": "Desk", "release": ["title", "section"]})
    assert answer.json == {"results": [{"article_id": "a0", "status": "updated"}]}
    found = site.client.get(URL).json
    assert (found["author"], found["title"]) == ("Desk", "Title 0")
    assert found["owned_fields"] == ["author", "language", "published_at"]


def test_a_batch_with_an_origin_is_that_of_a_source(site: Any) -> None:
    site.publish(1)
    sent = {"article_id": "a0", "title": "Source", "standfirst": "S"}
    body = {"articles": [sent], "origin": SITE}
    assert site.client.post("/v1/articles", json=body).status_code == 200
    found = site.client.get(URL).json
    assert (found["title"], found["standfirst"], found["origins"]) == ("Title 0", "S", [SITE])
    refused = site.client.post("/v1/articles", json={**body, "origin": "x" * 2049})
    assert refused.json["errors"][0]["field"] == "origin"


def test_an_erased_article_is_named_and_the_others_of_its_batch_are_written(site: Any) -> None:
    site.publish(2)
    site.client.delete("/v1/articles/a0?purge=true")
    body = {"articles": [{"article_id": f"a{n}", "title": "New"} for n in range(3)]}
    for origin in ("", SITE):
        results = site.client.post("/v1/articles", json={**body, "origin": origin}).json["results"]
        assert results[0] == {"article_id": "a0", "status": "erased"}
    assert site.client.get(URL).status_code == 404
    assert site.client.get("/v1/articles/a2").json["title"] == "New"
    assert site.client.patch(URL, json={"title": "T"}).status_code == 404
    answer = site.client.post(f"{URL}/restore")
    assert answer.json == {"article_id": "a0", "status": "restored"}
    assert site.client.post(f"{URL}/restore").status_code == 404
    assert site.client.put(URL, json={"title": "New"}).json["results"][0]["status"] == "created"


def test_a_retraction_is_taken_back_only_on_purpose(site: Any) -> None:
    site.publish(1)
    site.client.delete(URL)
    again = {"title": "Again", "published_at": "2026-09-21T13:00:00Z"}
    assert site.client.put(URL, json=again).status_code == 200
    assert site.feed()["items"] == []
    assert site.client.post(f"{URL}/restore").json["status"] == "restored"
    assert site.client.post(f"{URL}/restore").json["status"] == "unchanged"
    assert [item["article"]["title"] for item in site.feed()["items"]] == ["Again"]
    site.client.delete(URL)
    site.client.put(URL, json={**again, "retracted": False})
    assert len(site.feed()["items"]) == 1


def test_the_time_of_first_receipt_is_kept(site: Any) -> None:
    site.client.put(URL, json={"title": "T"})
    received = site.client.get(URL).json["published_at"]
    site.clock.now += 3600
    assert site.client.put(URL, json={"title": "T"}).json["results"][0]["status"] == "unchanged"
    assert site.client.put(URL, json={"title": "T", "published_at": None}).status_code == 200
    assert site.client.get(URL).json["published_at"] == received
