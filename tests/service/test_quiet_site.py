"""A feed is not empty while the site has articles that its reader may see."""

from __future__ import annotations

from typing import Any

import pytest

from feed.domain import format_time

DAY_S = 86_400.0
WIDENED = {"max_age_hours": 288.0, "widened": True}


def article(number: int, now: float, article_id: str) -> dict[str, Any]:
    published_at = format_time(now - number)
    return {"article_id": article_id, "title": f"New {number}", "published_at": published_at}


def ids_of(page: dict[str, Any]) -> set[str]:
    return {item["article"]["article_id"] for item in page["items"]}


@pytest.mark.parametrize("mode", ["personalized", "trending", "latest"])
def test_a_site_that_rested_for_days_still_has_a_feed(site: Any, clock: Any, mode: str) -> None:
    published = site.publish(12)
    assert "window" not in site.feed(mode=mode)
    clock.now += 7 * DAY_S
    site.services.keeper.refresh()
    first = site.feed(mode=mode, limit=8)
    second = site.feed(mode=mode, limit=8, cursor=first["next_cursor"])
    assert ids_of(first) | ids_of(second) == set(published)
    assert first["window"] == second["window"] == WIDENED


def test_what_the_reader_has_read_or_hidden_stays_away(site: Any, clock: Any) -> None:
    published = site.publish(12)
    clock.now += 7 * DAY_S
    for article_id, kind in zip(published, ["click", "hide", "dislike"], strict=False):
        event = {"event_id": kind, "user_id": "reader", "article_id": article_id, "kind": kind}
        site.send(event)
    assert ids_of(site.feed()) == set(published[3:])


def test_a_reader_of_all_that_is_new_gets_what_is_older(site: Any, clock: Any) -> None:
    old = site.publish(12)
    clock.now += 7 * DAY_S
    new = [article(number, clock.now, article_id=f"b{number}") for number in range(12)]
    site.client.post("/v1/articles", json={"articles": new})
    assert ids_of(site.feed()) == {one["article_id"] for one in new}
    for one in new[:4]:
        read = one["article_id"]
        site.send({"event_id": read, "user_id": "reader", "article_id": read, "kind": "click"})
    page = site.feed()
    assert ids_of(page) == {one["article_id"] for one in new[4:]} | set(old)
    assert page["window"] == WIDENED
    assert "window" not in site.feed("other")
