"""Text in other encodings than named, and text with a few broken bytes, is read as was meant."""

from __future__ import annotations

import codecs

import pytest

from feed.domain import InvalidInputError
from feed.ingest.encodings import in_utf8
from feed.ingest.fetching import FetchedDocument
from feed.ingest.reading import parse_document

RSS = (
    '<?xml version="1.0" encoding="{name}"?><rss version="2.0"><channel><title>Harbour Post</title>'
    "<item><title>{title}</title><description>{text}</description>"
    "<link>https://harbour.example/1</link></item></channel></rss>"
)
SITEMAP = (
    '<?xml version="1.0" encoding="{name}"?>'
    '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    ' xmlns:news="http://www.google.com/schemas/sitemap-news/0.9">'
    "<url><loc>https://harbour.example/1</loc><news:news><news:title>{title}</news:title>"
    "<news:keywords>{text}</news:keywords></news:news></url></urlset>"
)


def title_of(content: bytes, charset: str = "") -> str:
    (article,) = parse_document(FetchedDocument(content, "", charset), 1.0).articles
    return article.title


@pytest.mark.parametrize("form", [RSS, SITEMAP])
@pytest.mark.parametrize("charset", ["", "utf-8", "UTF8"])
@pytest.mark.parametrize("title", ["Größe €", "Порт закрыт", "日本の港"])
def test_one_broken_character_spoils_no_other(form: str, charset: str, title: str) -> None:
    whole = form.format(name="utf-8", title=title, text="cut here: XX").encode()
    document = FetchedDocument(whole.replace(b"XX", b"\xc3"), "", charset)
    found = parse_document(document, 1.0)
    assert [article.title for article in found.articles] == [title]
    assert "broken characters replaced by U+FFFD: 1" in map(str, found.notes)


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251"])
def test_a_text_that_only_says_that_it_is_utf_8_is_read_as_before(encoding: str) -> None:
    title = {"cp1252": "Größe für Ärzte", "cp1251": "Порт закрыт из-за шторма"}[encoding]
    content = RSS.format(name="utf-8", title=title, text="").encode(encoding)
    assert in_utf8(content, "") == (content, "")


@pytest.mark.parametrize("form", [RSS, SITEMAP])
@pytest.mark.parametrize("name", ["iso-8859-1", "shift_jis", "windows-1251", "gb2312"])
def test_what_is_utf_8_is_read_as_utf_8_whatever_it_is_called(form: str, name: str) -> None:
    for title in ("Größe €", "日本の港", "Порт"):
        content = form.format(name="utf-8", title=title, text="").encode()
        assert title_of(content, name) == title
    with_mark = codecs.BOM_UTF8 + form.format(name=name, title="Größe", text="").encode()
    assert title_of(with_mark) == "Größe"


def test_escapes_of_japanese_mail_are_no_utf_8() -> None:
    content = RSS.format(name="iso-2022-jp", title="日本の港", text="").encode("iso-2022-jp")
    assert title_of(content) == "日本の港"


@pytest.mark.parametrize(
    ("name", "codec", "title"),
    [
        ("Shift_JIS", "cp932", "髙橋さん①"),
        ("EUC-KR", "cp949", "똠방각하"),
        ("gb2312", "gb18030", "镕基"),
        ("EUC-JP", "euc_jis_2004", "第①便"),
        ("Big5", "big5hkscs", "香港喺度"),
        ("iso-8859-1", "cp1252", "Größe €"),
    ],
)
def test_a_name_stands_for_the_wider_set_of_characters(name: str, codec: str, title: str) -> None:
    content = RSS.format(name=name, title=title, text="").encode(codec)
    assert title_of(content) == title
    assert title_of(content, name) == title


def test_what_is_no_such_text_stays_as_it_is() -> None:
    for content in ("<rss/>".encode("utf-16"), "<?xml?>".encode("utf-16-le"), b"<rss>\x81</rss>"):
        assert in_utf8(content, "") == (content, "")
    assert in_utf8(b"<rss>\xff</rss>", "euc-kr") == (b"<rss>\xff</rss>", "euc-kr")


def test_a_sitemap_that_breaks_off_is_refused_with_its_own_fault() -> None:
    whole = SITEMAP.format(name="utf-8", title="R&D", text="").encode()
    assert title_of(whole.replace(b"</news:title>", b" \x0b&copy; &amp;</news:title>")) == "R&D © &"
    with pytest.raises(InvalidInputError, match=r"is no whole sitemap: .*line 1"):
        title_of(whole[:-20])
