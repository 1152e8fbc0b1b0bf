"""Every shape of feed in `feed_shapes.yaml` gives exactly the articles that stand beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from feed.domain import Article, parse_time
from feed.ingest.fetching import FetchedDocument
from feed.ingest.reading import parse_document
from feed.zones import read_zone

NOW = parse_time("now", "2026-11-27T07:00:00Z")
USUAL_TIME = "2026-11-27T02:00:00Z"
CHANNEL = """<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"
xmlns:content="http://purl.org/rss/1.0/modules/content/"
xmlns:dc="http://purl.org/dc/elements/1.1/"
xmlns:feedburner="http://rssnamespace.org/feedburner/ext/1.0"
xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
xmlns:media="http://search.yahoo.com/mrss/"><channel><title>Harbour Post</title>
<link>https://harbour.example/</link><language>en</language>{items}</channel></rss>"""
SHAPES = yaml.safe_load(Path(__file__).with_name("feed_shapes.yaml").read_text("utf-8"))


def expand(text):
    return re.sub(r"\{\{(.+?)\*(\d+)\}\}", lambda found: found[1] * int(found[2]), text)


def expected_article(given, shape):
    article_id, tags = given["article_id"], given.get("tags", [])
    usual = {
        "url": article_id if article_id.startswith("http") else None,
        "body": given.get("standfirst", ""),
        "section": tags[0] if tags else "",
        **({"source": "Harbour Post", "language": "en"} if "items" in shape else {}),
    }
    fields = {k: expand(v) if isinstance(v, str) else v for k, v in {**usual, **given}.items()}
    for name in ("published_at", "updated_at"):
        text = fields.get(name) or (USUAL_TIME if name == "published_at" else None)
        fields[name] = NOW if text == "now" else text and parse_time(name, text)
    return Article(**{**fields, "tags": tuple(tags)})


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["shape"])
def test_a_shape_of_feed_gives_exactly_its_articles(shape):
    text = shape.get("document") or CHANNEL.format(items=shape["items"])
    document = FetchedDocument(expand(text).encode(), shape.get("address", ""))
    found = parse_document(document, NOW, read_zone(shape.get("zone", "UTC")))
    expected = shape["articles"]
    assert found.articles == [expected_article(given, shape) for given in expected]
    undated = {given["article_id"] for given in expected if given.get("published_at") == "now"}
    assert found.undated == undated
    assert [str(fault) for fault in found.faults] == shape.get("faults", [])
    assert [str(note) for note in found.notes] == shape.get("notes", [])
