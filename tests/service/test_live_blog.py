"""A live blog is in every feed as long as something happens in it."""

from __future__ import annotations

from typing import Any

import pytest

from feed.domain import format_time

DAY_S = 86_400.0
BLOG = "https://paper.example/live"


def poll(site: Any, body: str) -> str:
    now = site.clock.now
    sent = {
        "article_id": "blog",
        "title": "Storm, live",
        "body": body,
        "published_at": format_time(1_790_000_000.0 - 5 * DAY_S),
        "updated_at": format_time(now),
    }
    answer = site.client.post("/v1/articles", json={"articles": [sent], "origin": BLOG})
    return str(answer.json["results"][0]["status"])


@pytest.mark.parametrize("mode", ["personalized", "trending", "latest"])
def test_a_live_blog_of_last_week_is_shown_while_it_changes(site: Any, mode: str) -> None:
    site.publish(12, published_at=format_time(site.clock.now - DAY_S))
    assert poll(site, "The storm nears.") == "created"
    items = {i["article"]["article_id"]: i for i in site.feed(mode=mode)["items"]}
    article = items["blog"]["article"]
    assert article["published_at"] == format_time(1_790_000_000.0 - 5 * DAY_S)
    for reason in items["blog"]["reasons"]:
        assert reason["code"] != "new" or reason["text"] == "Published in the last 5 days"
    if mode == "latest":
        assert next(iter(items)) == "blog"
    site.clock.now += 4 * DAY_S
    site.publish(12)
    poll(site, "The storm nears!")
    assert "blog" not in {i["article"]["article_id"] for i in site.feed(mode=mode)["items"]}
    poll(site, "The storm nears the western islands.")
    assert "blog" in {i["article"]["article_id"] for i in site.feed(mode=mode)["items"]}
