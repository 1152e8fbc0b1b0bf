"""Events as browsers and apps send them: beacons, and bodies compressed by gzip."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import orjson
import pytest

PLAIN = {"Content-Type": "text/plain;charset=UTF-8"}
JSON = {"Content-Type": "application/json"}
ZIPPED = {**JSON, "Content-Encoding": "gzip"}


@pytest.fixture
def body(site: Any) -> bytes:
    (article_id,) = site.publish(1)
    event = {"event_id": "e", "user_id": "u", "article_id": article_id, "kind": "click"}
    return orjson.dumps({"events": [event]})


def test_a_beacon_is_taken(site: Any, body: bytes) -> None:
    answer = site.client.post("/v1/events", data=body, headers=PLAIN)
    assert (answer.status_code, answer.json["accepted"]) == (202, 1)
    other = site.client.post("/v1/articles", data=b'{"articles": []}', headers=PLAIN)
    assert other.status_code == 415
    assert other.json["detail"] == "Content-Type must be application/json"


@pytest.mark.parametrize(
    ("listed", "origin", "status"),
    [
        ("", "http://localhost", 202),  # this service's own pages
        ("", "https://elsewhere.example", 415),
        ("https://news.example", "https://news.example", 202),
        ("https://news.example", "https://elsewhere.example", 415),
        ("https://news.example", "null", 415),
        ("*", "https://elsewhere.example", 202),
    ],
)
def test_pages_of_other_origins_must_be_listed_to_send_a_beacon(
    make_site: Any, settings: Any, listed: str, origin: str, status: int
) -> None:
    site = make_site(replace(settings, cors_origins=listed))
    answer = site.client.post(
        "/v1/events", data=b'{"events": [{}]}', headers={**PLAIN, "Origin": origin}
    )
    assert answer.status_code == status


def test_a_body_may_be_compressed(site: Any, body: bytes) -> None:
    answer = site.client.post("/v1/events", data=gzip.compress(body), headers=ZIPPED)
    assert (answer.status_code, answer.json["accepted"]) == (202, 1)
    again = site.client.post(
        "/v1/events", data=gzip.compress(body), headers={**PLAIN, "Content-Encoding": "gzip"}
    )
    assert again.json["duplicate"] == 1


@pytest.mark.parametrize(
    ("data", "encoding", "status"),
    [
        (gzip.compress(b"{}")[:-3], "gzip", 400),
        (gzip.compress(b"{}") + b"more", "gzip", 400),
        (b"{}", "gzip", 400),
        (b"", "gzip", 400),
        (gzip.compress(b" " * 4_000_001), "gzip", 413),
        (b"{}", "br", 415),
    ],
)
def test_a_wrong_compression_is_refused(site: Any, data: bytes, encoding: str, status: int) -> None:
    answer = site.client.post(
        "/v1/events", data=data, headers={**JSON, "Content-Encoding": encoding}
    )
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    (broken,) = answer.json["errors"]
    assert broken["field"] in {"body", "Content-Encoding"}
    assert broken["rule"].startswith("must be ")
