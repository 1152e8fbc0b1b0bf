from __future__ import annotations

import codecs
import gzip

import orjson
import pytest

from feed.domain import InvalidInputError
from feed.ingest.fetching import FetchedDocument
from feed.ingest.reading import parse_document, read_documents

ARTICLE = {"article_id": "a1", "title": "Ferry", "published_at": "2026-11-21T08:30:00Z"}
EVENT = {"event_id": "e1", "user_id": "u1", "article_id": "a1", "kind": "click"}
WRONG = {"article_id": "a2"}
RSS = (
    b"<rss version='2.0'><channel><title>Quay</title><item><title>One</title><guid>1</guid>"
    b"<pubDate>Sat, 21 Nov 2026 08:30:00 GMT</pubDate></item></channel></rss>"
)


def read(tmp_path, name, content, form=None):
    path = tmp_path / name
    path.write_bytes(content)
    return read_documents(str(path), form, now=1_000.0)


@pytest.mark.parametrize(
    "document", [[ARTICLE, EVENT], {"articles": [ARTICLE], "events": [EVENT]}, ARTICLE]
)
def test_a_json_file_may_be_an_array_a_batch_or_one_record(tmp_path, document):
    found = read(tmp_path, "export.json", orjson.dumps(document, option=orjson.OPT_INDENT_2))
    assert [a.article_id for a in found.articles] == ["a1"]
    assert len(found.events) == (0 if document is ARTICLE else 1)
    assert found.faults == []


def test_a_json_file_may_hold_lines(tmp_path):
    found = read(tmp_path, "export.json", orjson.dumps(ARTICLE) + b"\n" + orjson.dumps(EVENT))
    assert (len(found.articles), len(found.events)) == (1, 1)


def test_a_wrong_record_of_an_array_is_named(tmp_path):
    found = read(tmp_path, "export.json", orjson.dumps([ARTICLE, WRONG, 7]))
    assert [str(fault)[:8] for fault in found.faults] == ["record 2", "record 3"]
    assert len(found.articles) == 1


def test_half_an_array_is_refused_whole(tmp_path):
    with pytest.raises(InvalidInputError, match="no whole JSON"):
        read(tmp_path, "export.json", orjson.dumps([ARTICLE, ARTICLE])[:-20])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", orjson.dumps(ARTICLE)),
        ("a.json.gz", orjson.dumps([ARTICLE])),
        ("a.xml.gz", RSS),
        ("a.jsonl", orjson.dumps(ARTICLE)),
        ("a.json", orjson.dumps([ARTICLE])),
        ("no-ending", RSS),
    ],
)
def test_compressed_sources_are_read_and_half_of_one_takes_nothing(tmp_path, name, content):
    compressed = gzip.compress(content)
    assert len(read(tmp_path, name, compressed).articles) == 1
    with pytest.raises(InvalidInputError, match="not whole"):
        read(tmp_path, name, compressed[:-12])
    with pytest.raises(InvalidInputError, match="not whole"):
        read(tmp_path, name, compressed[:-8] + bytes(8))


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_document_is_known_by_its_content_not_by_its_name(mark):
    found = parse_document(FetchedDocument(mark + b"\n" + orjson.dumps([ARTICLE])), now=0.0)
    assert [a.article_id for a in found.articles] == ["a1"]
    (article,) = parse_document(FetchedDocument(mark + RSS), now=0.0).articles
    assert article.title == "One"


def test_an_empty_source_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match="is empty"):
        read(tmp_path, "feed.xml", b" \n")


def test_half_a_feed_takes_nothing():
    for cut in (-8, -25, -60, -120):
        with pytest.raises(InvalidInputError, match="breaks off"):
            parse_document(FetchedDocument(RSS[:cut]), now=0.0)


def test_half_of_a_feed_whose_channel_ends_before_its_items_takes_nothing():
    rdf = (
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        b'xmlns="http://purl.org/rss/1.0/"><channel rdf:about="x"><title>R</title></channel>'
        b'<item rdf:about="https://r.example/1"><title>One</title></item></rdf:RDF>'
    )
    assert len(parse_document(FetchedDocument(rdf), now=0.0).articles) == 1
    with pytest.raises(InvalidInputError, match="breaks off"):
        parse_document(FetchedDocument(rdf[:-12]), now=0.0)


def test_a_feed_that_is_whole_but_not_well_formed_is_taken():
    (article,) = parse_document(
        FetchedDocument(RSS.replace(b"One", b"Fish & chips<br>")), now=0.0
    ).articles
    assert article.title == "Fish & chips"


@pytest.mark.parametrize(
    "content",
    [
        b'{"version": "https://jsonfeed.org/version/1.1", "title": "Quay", "items": [{"id": "1"',
        b'{"version": "https://jsonfeed.org/version/1.1",\n"items": [\n{"id": "1"}\n',
        b'{"articles": [',
    ],
)
def test_json_that_breaks_off_is_refused_whole(content):
    with pytest.raises(InvalidInputError, match="no whole JSON"):
        parse_document(FetchedDocument(content), now=1_000.0)


def test_a_json_feed_needs_a_list_of_items(tmp_path):
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "Quay", "items": {}}
    with pytest.raises(InvalidInputError, match="without a list of items"):
        read(tmp_path, "feed.json", orjson.dumps(feed))
    assert read(tmp_path, "feed.json", orjson.dumps(feed | {"items": None})).articles == []


def test_a_file_is_refused_in_the_words_of_the_api(tmp_path):
    wrong = [ARTICLE | {"url": "quay.example/1"}, ARTICLE | {"published_at": "2026-11-27 x"}]
    found = read(tmp_path, "export.json", orjson.dumps(wrong))
    assert [str(fault) for fault in found.faults] == [
        "record 1: url: must begin with https://, http:// or /, and contain no white space",
        "record 2: published_at: must be a time in ISO 8601, such as 2026-01-31T08:30:00Z",
    ]


@pytest.mark.parametrize("name", ["lines.jsonl", "batch.json"])
def test_json_in_utf_16_as_windows_writes_it_is_read(tmp_path, name):
    lines = f"{orjson.dumps({**ARTICLE, 'title': 'Fähre'}).decode()}\r\n".encode("utf-16")
    found = read(tmp_path, name, lines)
    assert [article.title for article in found.articles] == ["Fähre"]
    with pytest.raises(InvalidInputError, match="is not whole"):
        read(tmp_path, name, lines + b"\x00\xd8A\x00")  # half of a pair
