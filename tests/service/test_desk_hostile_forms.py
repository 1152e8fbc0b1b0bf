"""Forms and headers of the desk that no browser of ours sends: refused in words, never a 500."""

from __future__ import annotations

import re
from typing import Any

import pytest

from feed.domain import Article, InvalidInputError, Submission, parse_time
from tests.service.conftest import NOW, Site

MANY = "9" * 5000


def send(site: Site, path: str, headers: Any = None, **fields: str) -> Any:
    page = site.client.get("/desk/front-page").text
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token
    form = {"form_token": token.group(1), **fields}
    return site.client.post(path, data=form, headers=headers)


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/desk/articles/pin", {"article_id": "a0", "slot": MANY, "hours": "1"}, 422),
        (
            "/desk/articles/expiry",
            {"article_id": "a0", "expires_at": "9999-12-31T23:59-23:00"},
            422,
        ),
        ("/desk/settings", {"version": MANY, "mmr_lambda": "0.5"}, 409),
    ],
)
def test_numbers_and_times_out_of_range_are_refused(
    site: Site, path: str, fields: dict[str, str], status: int
) -> None:
    site.publish(1)

    assert send(site, path, None, **fields).status_code == status


def test_an_overlong_version_in_a_header_is_refused(site: Site) -> None:
    answer = site.client.patch(
        "/v1/settings/ranking", json={"mmr_lambda": 0.5}, headers={"If-Match": MANY}
    )

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("field", "sent", "wanted"),
    [("section", "s" * 300, "news"), ("language", "no tag!", "en"), ("author", "z" * 900, "ann")],
)
def test_undo_says_when_no_hand_can_set_what_a_source_sent(
    site: Site, field: str, sent: str, wanted: str
) -> None:
    values: dict[str, Any] = {"title": "t", "published_at": NOW, field: sent}
    article = Article(article_id="s1", **values)
    site.services.articles.upsert([Submission(article, frozenset(values))], NOW, origin="feeds/x")
    site.client.patch("/v1/articles/s1", json={field: wanted})
    (entry,) = site.store.read_audit(1)

    undone = site.client.post(f"/v1/audit/{entry.id}/undo")

    assert undone.status_code == 409
    assert field in str(undone.json)


def test_an_origin_that_is_no_address_is_another_page(site: Site) -> None:
    answer = send(site, "/desk/undo", {"Origin": "http://["}, entry="0" * 16)

    assert answer.status_code == 403


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00+05:00"])
def test_a_time_that_utc_cannot_write_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_time("at", text)
