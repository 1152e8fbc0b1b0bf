from __future__ import annotations

import codecs
import json

import pytest

from feed.ingest.json_documents import parse_json
from feed.ingest.json_text import mend_json


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\uD83D\uDE00", "\U0001f600"),
        (r"cut \ud83d", "cut \ufffd"),
        (r"\ude00 cut", "\ufffd cut"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"C:\\ud83d", r"C:\ud83d"),
        (r"\\\ud83d", "\\\ufffd"),
        (r"\u00d8 \ud7ff \ue000", "\u00d8 \ud7ff \ue000"),
        ("plain", "plain"),
    ],
)
def test_half_a_character_is_replaced_and_nothing_else(text: str, meant: str) -> None:
    assert json.loads(mend_json(f'"{text}"'.encode())) == meant


def test_a_byte_order_mark_is_taken_off() -> None:
    assert mend_json(codecs.BOM_UTF8 + b"[]") == b"[]"


def test_half_an_emoji_spoils_neither_a_feed_nor_records() -> None:
    item = r'{"id": "1", "url": "https://a.example/1", "title": "Cut \ud83d"}'
    feed = f'{{"version": "https://jsonfeed.org/version/1.1", "items": [{item}]}}'
    assert [a.title for a in parse_json(feed.encode(), "", 0.0).articles] == ["Cut \ufffd"]
    record = rb'{"article_id": "a", "title": "Cut \ud83d"}'
    for document in (record, b"[" + record + b"]", record + b"\n" + record):
        found = parse_json(document, "", 0.0)
        assert found.articles[0].title == "Cut \ufffd"
        assert not found.faults


def test_a_record_that_is_nested_too_deeply_is_a_fault() -> None:
    deep = b'{"article_id": "a", "title": "A", "tags": ' + b"[" * 500 + b"]" * 500 + b"}"
    for document in (deep, b"[" + deep + b"]"):
        found = parse_json(document, "", 0.0)
        assert not found.articles
        assert [fault.rule for fault in found.faults] == ["is nested too deeply"]
