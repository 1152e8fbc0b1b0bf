"""Lists of feeds, as other programs write them."""

from __future__ import annotations

import pytest

from feed.domain import InvalidInputError
from feed.sources.outlines import read_list, write_opml
from feed.sources.subscription import Source

NESTED = """<?xml version="1.0" encoding="UTF-8"?>
<opml version="2.0"><head><title>Mine</title></head><body>
<outline text="News"><outline text="Local">
<outline type="rss" text="The Quay &amp; Harbour" title="x" xmlUrl="https://quay.example/rss?a=1&b=2"/>
</outline><outline text="No feed" type="link" url="https://quay.example/"/></outline>
<outline title="Only a title" xmlurl=" feed://paper.example/rss "/>
<outline text="again" xmlUrl="http://paper.example/rss#x"/>
</body></opml>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_nested_outlines_are_read_with_their_names(encoding: str) -> None:
    found = [(source.name, source.address) for source in read_list(NESTED.encode(encoding))]
    assert found == [
        ("The Quay & Harbour", "https://quay.example/rss?a=1&b=2"),
        ("again", "http://paper.example/rss"),
    ]


def test_a_plain_list_has_an_address_in_each_line() -> None:
    found = read_list(b"# ours\n\nhttps://quay.example/rss\r\n https://paper.example/rss \n")
    assert [source.address for source in found] == [
        "https://quay.example/rss",
        "https://paper.example/rss",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NESTED.encode()[:-20], "breaks off"),
        (b"<opml><body></body></opml>", "names no feed"),
        (b"\n# nothing\n", "names no feed"),
        (b"https://quay.example/rss\nquay.example\n", "line 2: must be an http"),
        (b'<opml><outline xmlUrl="javascript:1"/></opml>', "outline 1: must be an http"),
    ],
)
def test_a_wrong_list_is_refused_with_the_place(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_list(content)


def test_entities_are_not_expanded() -> None:
    bomb = (
        '<!DOCTYPE opml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">'
        '<!ENTITY f SYSTEM "file:///etc/hostname">]><opml><body>'
        '<outline text="&b;&f;" xmlUrl="https://quay.example/rss"/></body></opml>'
    )
    (source,) = read_list(bomb.encode())
    assert "aaa" not in source.name


def test_thousands_of_nested_outlines_are_read_and_no_more() -> None:
    outline = '<outline text="x" xmlUrl="https://quay.example/{}">'
    deep = [outline.format(number) for number in range(5_001)]
    assert len(read_list(f"<opml><body>{''.join(deep[1:])}</body></opml>".encode())) == 5_000
    with pytest.raises(InvalidInputError, match="names more than 5000 feeds"):
        read_list(f"<opml><body>{''.join(deep)}</body></opml>".encode())


def test_what_is_written_can_be_read_again() -> None:
    sources = [
        Source(address="https://quay.example/rss?a=1&b=2", name='"Quay" & <Harbour> Порт'),
        Source(address="https://desk:secret@paper.example/rss"),
    ]
    written = write_opml(sources)
    assert b"secret" not in written
    assert [(one.name, one.address) for one in read_list(written)] == [
        ('"Quay" & <Harbour> Порт', "https://quay.example/rss?a=1&b=2"),
        ("https://paper.example/rss", "https://paper.example/rss"),
    ]
