from __future__ import annotations

import codecs

import orjson

from feed.domain import EventKind
from feed.ingest.json_lines import parse_json_lines

ARTICLE = {"article_id": "a1", "title": "Ferry", "published_at": "2026-11-21T08:30:00Z"}
EVENT = {"event_id": "e1", "user_id": "u1", "article_id": "a1", "kind": "click"}


def parse(*records):
    lines = [r if isinstance(r, bytes) else orjson.dumps(r) for r in records]
    return parse_json_lines(lines, now=1_000.0)


def test_a_line_with_an_event_id_is_an_event_and_any_other_an_article():
    documents = parse(ARTICLE, b"", EVENT)
    assert [a.article_id for a in documents.articles] == ["a1"]
    assert documents.articles[0].published_at == 1795249800.0
    assert [(e.event_id, e.kind) for e in documents.events] == [("e1", EventKind.CLICK)]
    assert documents.events[0].occurred_at == 1_000.0
    assert documents.faults == []


def test_a_custom_event_has_the_rules_of_the_api():
    custom = {"event_id": "e2", "user_id": "u1", "kind": "custom", "name": "paid", "value": 3}
    documents = parse(custom, {**custom, "name": "Paid"}, {**EVENT, "name": "paid"})
    assert [(e.name, e.value, e.article_id) for e in documents.events] == [("paid", 3.0, "")]
    assert [(fault.record, fault.field) for fault in documents.faults] == [
        ("line 2", "name"),
        ("line 3", "name"),
    ]


def test_events_come_oldest_first():
    late = {**EVENT, "event_id": "late", "occurred_at": "2026-11-21T09:00:00Z"}
    early = {**EVENT, "event_id": "early", "occurred_at": "2026-11-21T08:00:00Z"}
    assert [e.event_id for e in parse(late, early).events] == ["early", "late"]


def test_a_wrong_line_is_named_with_its_field_and_the_others_are_kept():
    documents = parse(
        {**EVENT, "kind": "stare"},
        b"{broken",
        b"[1]",
        {**ARTICLE, "article_id": "two words"},
        ARTICLE,
    )
    assert len(documents.articles) == 1
    places = [(fault.record, fault.field) for fault in documents.faults]
    assert places == [
        ("line 1", "kind"),
        ("line 2", ""),
        ("line 3", ""),
        ("line 4", "article_id"),
    ]


def test_a_byte_order_mark_before_the_first_line_is_passed_over():
    documents = parse(codecs.BOM_UTF8 + orjson.dumps(ARTICLE), EVENT)
    assert (len(documents.articles), len(documents.events)) == (1, 1)
    assert documents.faults == []
