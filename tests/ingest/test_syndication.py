from __future__ import annotations

import pytest

from feed.domain import InvalidInputError
from feed.ingest.fetching import FetchedDocument
from feed.ingest.reading import parse_document

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


def parse_syndication(content, now):
    return parse_document(FetchedDocument(content), now).articles


def test_an_rss_item_becomes_an_article_without_markup():
    ferry = parse_syndication(RSS, now=0.0)[0]
    assert ferry.article_id == "tag:harbour,1"
    assert ferry.title == "Ferry & quay"
    assert ferry.standfirst == "A new ferry."
    assert (ferry.section, ferry.source, ferry.language) == ("Local", "Harbour news", "en-gb")
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


def test_what_is_no_feed_is_refused():
    with pytest.raises(InvalidInputError, match="RSS or Atom"):
        parse_syndication(b"<html><body>hello</body></html>", now=0.0)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (
            b"<html><link rel='Alternate' type='application/rss+xml' href='/rss'>",
            "is https://n.example/rss",
        ),
        (b"<html><link rel='alternate' type='text/html' href='/de'>", "must be an RSS or Atom"),
        (b"<?xml version='1.0'?><opml version='2.0'><body/></opml>", "list of feeds"),
        (b"just text", "must be an RSS or Atom"),
        (b"<?xml version='1.0'?><sitemapindex></sitemapindex>", "is an index"),
        (b"<?xml version='1.0'?><urlset><url>", "no whole sitemap"),
    ],
)
def test_what_is_no_feed_is_told_what_it_is(page, said):
    with pytest.raises(InvalidInputError, match=said):
        parse_document(FetchedDocument(page, "https://n.example/"), now=0.0)


def test_a_broken_address_costs_its_entry_that_address_and_nothing_else():
    bad = RSS.replace(b"https://example.org/f.jpg", b"http://[").replace(
        b"https://example.org/ferry", b"http://[/"
    )
    ferry, second = parse_syndication(bad, now=0.0)
    assert (ferry.title, ferry.url, ferry.image_url) == ("Ferry & quay", None, None)
    assert second.title == "Second"


def test_what_no_parser_can_read_is_refused_in_one_line():
    broken = (
        b"<rss version='2.0'><channel><item><textinput><link/></textinput></item></channel></rss>"
    )
    with pytest.raises(InvalidInputError, match="too broken"):
        parse_syndication(broken, now=0.0)
