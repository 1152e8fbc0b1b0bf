from io import BytesIO
from typing import Any

import pytest
from gunicorn.http.errors import InvalidChunkSize


def expect_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.data
    assert answer.mimetype == "application/problem+json"
    assert set(answer.json) == {"type", "title", "status", "detail", "errors"}
    assert answer.json["status"] == status
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1", 404),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/static/../app.py", 404),
        ("POST", "/v1/feed?user_id=u", 405),
        ("DELETE", "/v1/events", 405),
        ("GET", "/v1/feed", 422),
        ("GET", "/v1/feed?user_id=", 422),
        ("GET", "/v1/feed?user_id=a%20b", 422),
        ("GET", "/v1/feed?user_id=a%00b", 422),
        ("GET", "/v1/feed?user_id=%E2%80%83", 422),
        ("GET", "/v1/feed?user_id=" + "x" * 129, 422),
        ("GET", "/v1/feed?user_id=u&limit=0", 422),
        ("GET", "/v1/feed?user_id=u&limit=101", 422),
        ("GET", "/v1/feed?user_id=u&limit=ten", 422),
        ("GET", "/v1/feed?user_id=u&mode=best", 422),
        ("GET", "/v1/trending?limit=-1", 422),
        ("GET", "/v1/articles/nobody", 404),
        ("GET", "/v1/articles/a%20b", 422),
        ("GET", "/v1/users/a%0Ab/preferences", 422),
        ("POST", "/v1/experiments/nothing/start", 404),
    ],
)
def test_a_wrong_request_gets_a_problem(site: Any, method: str, path: str, status: int) -> None:
    expect_problem(site.client.open(path, method=method), status)


def test_head_makes_no_feed_that_would_count_as_served(site: Any) -> None:
    site.publish(3)
    before = site.store.stream_lengths()
    answer = site.client.head("/v1/feed?user_id=u")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, OPTIONS")
    assert site.store.stream_lengths() == before


def test_a_wrong_method_is_told_the_right_ones(site: Any) -> None:
    answer = site.client.post("/v1/feed?user_id=u")
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/articles", "/v1/experiments"])
@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[1]", "application/json", 422),
        (b"null", "application/json", 422),
        (b"{}", "application/json", 422),
        (b"{}", "text/csv", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"x" * 4_000_001, "application/json", 413),
    ],
)
def test_a_wrong_body_gets_a_problem(
    site: Any, path: str, body: bytes, media: str, status: int
) -> None:
    answer = site.client.post(path, data=body, content_type=media)
    expect_problem(answer, status)
    assert answer.json["errors"], "field and rule are named"


@pytest.mark.parametrize("path", ["/v1/events", "/v1/articles"])
def test_a_body_that_is_nested_too_deeply_gets_a_problem(site: Any, path: str) -> None:
    name = path.removeprefix("/v1/")
    for depth in (150, 230, 900):
        body = b'{"%s": %s%s}' % (name.encode(), b"[" * depth, b"]" * depth)
        answer = site.client.post(path, data=body, content_type="application/json")
        assert answer.status_code in {202, 400, 422}, depth
        assert "accepted" not in (answer.json or {}) or answer.json["accepted"] == 0


@pytest.mark.parametrize("value", ["1e400", "-1e999", "[" * 60 + "]" * 60])
def test_a_number_that_is_too_large_spoils_no_batch(site: Any, value: str) -> None:
    event = '{"event_id": "%s", "user_id": "u", "kind": "custom", "name": "x", "value": %s}'
    body = f'{{"events": [{event % ("e1", value)}, {event % ("e2", "2")}]}}'
    answer = site.client.post("/v1/events", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["accepted"]) == (202, 1)
    rejected = answer.json["results"][0]
    assert (rejected["event_id"], rejected["status"]) == ("e1", "rejected")
    assert rejected["detail"].startswith("value: should be")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/articles"])
@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("[" * 300 + "]" * 300, "the body is nested too deeply"),
        ("1" * 5000, "a number in the body is too long"),
    ],
)
def test_json_that_is_not_read_is_not_called_no_json(
    site: Any, path: str, value: str, detail: str
) -> None:
    body = f'{{"events": [{{"value": {value}}}]}}'
    answer = site.client.post(path, data=body, content_type="application/json")
    expect_problem(answer, 400)
    assert answer.json["detail"] == detail


def test_the_answer_says_where_a_body_is_not_json(site: Any) -> None:
    answer = site.client.post(
        "/v1/events", data=b'{"events": [\n{"a": 1,}]}', content_type="application/json"
    )
    expect_problem(answer, 400)
    assert "line 2 column 9" in answer.json["errors"][0]["rule"]


def test_a_rule_is_told_in_words_and_not_as_a_pattern(site: Any) -> None:
    wrong = {"title": "  ", "url": "paper.example/a", "language": "e", "published_at": "yesterday"}
    answer = site.client.put("/v1/articles/a1", json=wrong)
    expect_problem(answer, 422)
    assert {error["field"]: error["rule"] for error in answer.json["errors"]} == {
        "title": "must not be blank",
        "url": "must begin with https://, http:// or /, and contain no white space",
        "language": 'must be a language tag, such as "en" or "pt-BR"',
        "published_at": "must be a time in ISO 8601, such as 2026-01-31T08:30:00Z",
    }


@pytest.mark.parametrize(
    ("query", "field", "rule"),
    [
        ("user_id=a%20b", "user_id", "must not contain white space or control characters"),
        ("user_id=u&page_article_id=a%20b", "page_article_id", "must not contain white space"),
        ("user_id=u&language=", "language", 'must be a language tag, such as "en" or "pt-BR"'),
        ("user_id=u&limit=101", "limit", "should be less than or equal to 100"),
    ],
)
def test_a_rule_of_a_query_is_told_in_words_too(
    site: Any, query: str, field: str, rule: str
) -> None:
    answer = site.client.get(f"/v1/feed?{query}")
    expect_problem(answer, 422)
    (error,) = answer.json["errors"]
    assert error["field"] == field
    assert error["rule"].startswith(rule)
    assert answer.json["detail"].startswith(f"{field} {rule}")


@pytest.mark.parametrize("text", ["20261129", "1790000000", "3", "2026-11-29"])
def test_a_number_as_text_is_no_time(site: Any, text: str) -> None:
    site.publish(1)
    rule = "must be a time in ISO 8601, such as 2026-01-31T08:30:00Z"
    answer = site.client.patch("/v1/articles/a0", json={"published_at": text})
    expect_problem(answer, 422)
    assert answer.json["errors"] == [{"field": "published_at", "rule": rule}]
    click = {"event_id": "e1", "user_id": "u", "article_id": "a0", "kind": "click"}
    result = site.send(click | {"occurred_at": text})["results"][0]
    assert (result["status"], result["detail"]) == ("rejected", f"occurred_at: {rule}")
    answer = site.client.post("/v1/events", json={"events": [click], "sent_at": text})
    expect_problem(answer, 422)
    assert answer.json["errors"][0]["field"] == "sent_at"


def test_a_byte_order_mark_and_half_an_emoji_spoil_no_batch(site: Any) -> None:
    site.publish(1)
    event = '{"event_id": "%s", "user_id": "u", "article_id": "a0", "kind": "click", "context": %s}'
    cut, whole = event % ("e1", r'{"device": "cut \ud83d"}'), event % ("e2", "{}")
    answer = site.client.post(
        "/v1/events",
        data=b"\xef\xbb\xbf" + f'{{"events": [{cut}, {whole}]}}'.encode(),
        content_type="application/json",
    )
    assert answer.status_code == 202, answer.json
    assert answer.json["accepted"] == 2


@pytest.mark.parametrize(("size", "status"), [(4_000_000, 400), (4_000_001, 413)])
def test_the_limit_of_a_body_holds_for_one_sent_in_chunks(
    site: Any, size: int, status: int
) -> None:
    answer = site.client.post(
        "/v1/events",
        input_stream=BytesIO(b" " * size),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )
    expect_problem(answer, status)


def test_a_body_in_malformed_chunks_gets_a_problem(site: Any) -> None:
    class Broken(BytesIO):
        def readinto(self, _buffer: Any) -> int:
            raise InvalidChunkSize(b"zz")

    answer = site.client.post(
        "/v1/events",
        input_stream=Broken(),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )
    expect_problem(answer, 400)
    assert answer.json["errors"][0]["field"] == "body"


def test_501_events_are_too_many(site: Any) -> None:
    event = {"event_id": "e", "user_id": "u", "article_id": "a", "kind": "click"}
    answer = site.client.post("/v1/events", json={"events": [event] * 501})
    expect_problem(answer, 422)
    assert answer.json["errors"][0]["field"] == "events"


def test_an_event_sent_twice_counts_once(site: Any) -> None:
    site.publish(1)
    event = {"event_id": "e", "user_id": "u", "article_id": "a0", "kind": "click"}
    answer = site.send(event, event)
    assert (answer["accepted"], answer["duplicate"]) == (1, 1)
    assert [r["status"] for r in site.send(event)["results"]] == ["duplicate"]


@pytest.mark.parametrize(
    "user_id",
    [
        "{feed:p1}:h:x",
        "*",
        "../../etc/passwd",
        "a:b:c",
        "\uff46ull",
        "\u202eevil",
        "%s%n",
        "'; DROP",
        "<b>",
    ],
)
def test_a_strange_id_is_a_reader_like_any_other(site: Any, user_id: str) -> None:
    site.publish(10)
    if " " in user_id:
        answer = site.client.get("/v1/feed", query_string={"user_id": user_id})
        expect_problem(answer, 422)
        return
    read = site.feed(user_id)["items"][0]["article"]["article_id"]
    event = {"event_id": f"e-{user_id}", "user_id": user_id, "article_id": read, "kind": "click"}
    assert site.send(event)["accepted"] == 1
    shown = [i["article"]["article_id"] for i in site.feed(user_id)["items"]]
    assert read not in shown
    stranger = [i["article"]["article_id"] for i in site.feed("stranger")["items"]]
    assert read in stranger


def test_preferences_take_no_unknown_fields(site: Any) -> None:
    answer = site.client.put("/v1/users/u/preferences", json={"personalisation": False})
    expect_problem(answer, 422)
    assert answer.json["errors"] == [
        {"field": "personalisation", "rule": "extra inputs are not permitted"}
    ]


def test_a_pin_must_end_after_it_starts(site: Any) -> None:
    moment = "2026-09-21T10:00:00Z"
    pin = {"article_id": "a", "slot": 0, "starts_at": moment, "ends_at": moment}
    answer = site.client.put("/v1/pins", json={"pins": [pin]})
    expect_problem(answer, 422)
    assert answer.json["errors"][0]["field"] == "pins.0.ends_at"


def test_headers_keep_a_page_from_being_abused(site: Any) -> None:
    with site.client.get("/") as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"


def test_a_request_id_comes_back_and_a_hostile_one_does_not(site: Any) -> None:
    given = site.client.get("/healthz", headers={"X-Request-Id": "abc-1"})
    assert given.headers["X-Request-Id"] == "abc-1"
    hostile = site.client.get("/healthz", headers={"X-Request-Id": "x" * 300})
    assert len(hostile.headers["X-Request-Id"]) == 32


def test_no_origin_is_allowed_unless_listed(site: Any) -> None:
    answer = site.client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
