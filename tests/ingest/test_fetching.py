from __future__ import annotations

import base64
import gzip
import threading
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from feed_server import rss

from feed.domain import InvalidInputError
from feed.ingest.fetching import MAX_DOCUMENT_BYTES
from feed.ingest.reading import read_documents

RSS = """<rss version='2.0'><channel><title>Quay</title><link>/</link><item><title>Café Порт</title>
<link>/news/1</link><guid isPermaLink='false'>1</guid></item></channel></rss>"""
BYTES = RSS.encode()


def read(source):
    return read_documents(source, None, now=0.0)


@pytest.fixture
def serve():
    """Serve one answer over HTTP, and `/moved`, which leads to it; return the addresses."""
    answer = {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

        def do_GET(self):
            answer["heard"] = dict(self.headers)
            if self.path in {"/moved", "/loop"}:
                self.send_response(308)
                self.send_header("Location", "/feed" if self.path == "/moved" else "/loop")
                self.end_headers()
                return
            self.send_response(answer["status"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(answer["content"])
            except ConnectionError:
                return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def start(content=BYTES, status=200, **headers):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer.update(content=content, status=status, headers=named)
            return f"http://127.0.0.1:{server.server_port}/feed"

        start.answer = answer
        yield start
        server.shutdown()
        thread.join()


def test_a_file_is_read(tmp_path):
    path = tmp_path / "feed.xml"
    path.write_bytes(BYTES)
    assert read(str(path)).articles[0].title == "Café Порт"


@pytest.mark.parametrize("source", ["no/such/file.xml", "ftp://example.org/feed"])
def test_a_missing_source_is_named(source):
    with pytest.raises(InvalidInputError, match="source"):
        read(source)


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "large.xml"
    with path.open("wb") as file:
        file.write(BYTES)
        file.truncate(MAX_DOCUMENT_BYTES + 1)
    with pytest.raises(InvalidInputError, match=f"at most {MAX_DOCUMENT_BYTES} bytes"):
        read(str(path))
    path.write_bytes(gzip.compress(bytes(MAX_DOCUMENT_BYTES + 1)))
    with pytest.raises(InvalidInputError, match=f"at most {MAX_DOCUMENT_BYTES} bytes"):
        read(str(path))


def test_an_answer_beyond_the_limit_is_refused(serve):
    padded = BYTES + b" " * (MAX_DOCUMENT_BYTES - len(BYTES))
    assert len(read(serve(padded)).articles) == 1
    with pytest.raises(InvalidInputError, match=f"at most {MAX_DOCUMENT_BYTES} bytes"):
        read(serve(padded + b" "))


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_compressed_answers_and_compressed_files_are_read(serve, encoding, compress):
    assert len(read(serve(compress(BYTES), Content_Encoding=encoding)).articles) == 1
    assert len(read(serve(gzip.compress(BYTES), Content_Type="application/gzip")).articles) == 1


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251", "utf-16"])
def test_the_character_set_of_the_header_counts(serve, charset):
    content = RSS.replace("é", "э").encode(charset)  # a letter that all three have
    (article,) = read(serve(content, Content_Type=f"text/xml; charset={charset}")).articles
    assert article.title == "Cafэ Порт"


def test_relative_links_begin_at_the_address_after_redirects(serve):
    moved = serve().replace("/feed", "/moved")
    (article,) = read(moved).articles
    assert article.url == moved.replace("/moved", "/news/1")
    assert article.article_id == "127.0.0.1:1"


def test_an_answer_that_breaks_off_takes_nothing(serve):
    with pytest.raises(InvalidInputError, match="can't be fetched"):
        read(serve(Content_Length=str(len(BYTES) + 1)))
    with pytest.raises(InvalidInputError, match="breaks off"):
        read(serve(BYTES[:-20]))
    with pytest.raises(InvalidInputError, match="is empty"):
        read(serve(b""))


@pytest.mark.parametrize("status", [304, 404, 410, 503])
def test_an_answer_that_is_no_success_is_an_error(serve, status):
    with pytest.raises(InvalidInputError, match=f"fetched: .*{status}"):
        read(serve(status=status))


def test_a_ring_of_redirects_is_an_error(serve):
    with pytest.raises(InvalidInputError, match="redirects"):
        read(serve().replace("/feed", "/loop"))


def test_a_password_in_the_address_is_used_and_never_shown(serve):
    address = serve().replace("://", "://desk:se%63ret@")
    (article,) = read(address).articles
    assert "ret" not in article.url
    token = base64.b64encode(b"desk:secret").decode()
    assert serve.answer["heard"]["Authorization"] == f"Basic {token}"
    serve(status=404)
    with pytest.raises(InvalidInputError, match="404") as caught:
        read(address)
    assert "desk" not in str(caught.value)
    assert "ret" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/feed", "http://127.0.0.1:port/feed"])
def test_an_address_without_a_server_is_an_error(address):
    with pytest.raises(InvalidInputError, match="can't be fetched"):
        read(address)


def test_a_web_page_leads_to_its_feed(server):
    page = b"<html><link rel='alternate' type='application/rss+xml' href='/rss'></html>"
    server.say("/rss", rss("one"))
    address = server.say("/", page).replace("://", "://desk:secret@")
    assert [article.title for article in read(address).articles] == ["one"]
    assert [("Authorization" in headers) for _, headers in server.heard] == [True, True]
