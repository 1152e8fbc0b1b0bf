from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from feed.domain import InvalidInputError
from feed.ingest.syndication import MAX_DOCUMENT_BYTES, parse_syndication, read_syndication

RSS = b"""<?xml version="1.0"?>
<rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/"><channel>
<title>Harbour news</title><language>en-GB</language>
<item><guid>tag:harbour,1</guid><title>Ferry &amp; quay</title><category>Local</category>
<link>https://example.org/ferry</link><author>Desk</author>
<description>&lt;p&gt;A new &lt;b&gt;ferry&lt;/b&gt;.
&lt;script&gt;alert(1)&lt;/script&gt;&lt;/p&gt;</description>
<pubDate>Sat, 21 Nov 2026 08:30:00 GMT</pubDate>
<media:content url="https://example.org/f.jpg" type="image/jpeg"/></item>
<item><guid>two words</guid><title>Second</title><link>javascript:alert(1)</link></item>
<item><guid>untitled</guid><link>https://example.org/none</link></item>
</channel></rss>"""

ATOM = b"""<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de"><title>Blatt</title>
<entry><id>urn:1</id><title>Erster</title>
<updated>2026-11-20T10:00:00Z</updated>
<content type="html">&lt;p&gt;Ein Text.&lt;/p&gt;
&lt;p&gt;Noch einer.&lt;/p&gt;</content></entry></feed>"""


def test_an_rss_item_becomes_an_article_without_markup():
    ferry = parse_syndication(RSS, now=0.0)[0]
    assert ferry.article_id == "tag:harbour,1"
    assert ferry.title == "Ferry & quay"
    assert ferry.standfirst == "A new ferry."
    assert (ferry.section, ferry.source, ferry.language) == ("local", "Harbour news", "en")
    assert ferry.published_at == 1795249800.0
    assert ferry.image_url == "https://example.org/f.jpg"


def test_an_unusable_guid_is_hashed_and_an_unsafe_link_dropped():
    second = parse_syndication(RSS, now=5.0)[1]
    assert len(second.article_id) == 32
    assert second.url is None
    assert second.published_at == 5.0


def test_entries_without_a_title_are_left_out():
    assert len(parse_syndication(RSS, now=0.0)) == 2


def test_an_atom_entry_keeps_its_text():
    article = parse_syndication(ATOM, now=0.0)[0]
    assert article.body == "Ein Text. Noch einer."
    assert article.updated_at == 1795168800.0


def test_a_file_is_read(tmp_path):
    path = tmp_path / "feed.xml"
    path.write_bytes(ATOM)
    assert read_syndication(str(path), now=0.0)[0].title == "Erster"


@pytest.mark.parametrize("source", ["no/such/file.xml", "ftp://example.org/feed"])
def test_a_missing_source_is_named(source):
    with pytest.raises(InvalidInputError, match="source"):
        read_syndication(source, now=0.0)


def test_what_is_no_feed_is_refused():
    with pytest.raises(InvalidInputError, match="RSS or Atom"):
        parse_syndication(b"<html><body>hello</body></html>", now=0.0)


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "large.xml"
    with path.open("wb") as file:
        file.write(RSS)
        file.truncate(MAX_DOCUMENT_BYTES + 1)
    with pytest.raises(InvalidInputError, match=f"at most {MAX_DOCUMENT_BYTES} bytes"):
        read_syndication(str(path), now=0.0)
    path.write_bytes(RSS)
    assert len(read_syndication(str(path), now=0.0)) == 2


@pytest.fixture
def served_document():
    """Serve one document of a given size over HTTP; return the address."""
    sizes = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

        def do_GET(self):
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/feed")
                self.end_headers()
                return
            self.send_response(200 if self.path == "/feed" else 404)
            self.end_headers()
            padding = sizes[0] - len(RSS)
            try:
                self.wfile.write(RSS)
                self.wfile.write(b" " * padding)
            except ConnectionError:
                return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def serve(size):
            sizes[:] = [size]
            return f"http://127.0.0.1:{server.server_port}/feed"

        yield serve
        server.shutdown()
        thread.join()


def test_a_document_beyond_the_limit_is_refused(served_document):
    assert len(read_syndication(served_document(len(RSS)), now=0.0)) == 2
    with pytest.raises(InvalidInputError, match=f"at most {MAX_DOCUMENT_BYTES} bytes"):
        read_syndication(served_document(MAX_DOCUMENT_BYTES + 1), now=0.0)


def test_a_document_that_has_moved_is_followed_and_a_missing_one_is_an_error(served_document):
    address = served_document(len(RSS))
    moved, missing = address.replace("/feed", "/moved"), address.replace("/feed", "/missing")
    assert len(read_syndication(moved, now=0.0)) == 2
    with pytest.raises(InvalidInputError, match=r"fetched: .*404 Not Found"):
        read_syndication(missing, now=0.0)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/feed", "http://127.0.0.1:port/feed"])
def test_an_address_without_a_server_is_an_error(address):
    with pytest.raises(InvalidInputError, match="can't be fetched"):
        read_syndication(address, now=0.0)
