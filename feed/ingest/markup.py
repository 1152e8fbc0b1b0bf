"""Turns HTML into plain text, and finds the pictures in it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from feed.ingest.pictures import SMALLEST_PICTURE, WIDTH_IN_TEXT, Picture, read_pixels
from feed.ingest.urls import join_address

INLINE = (
    "a, abbr, b, bdi, bdo, big, cite, code, data, del, dfn, em, font, i, ins, kbd, mark, nobr, q, "
    "rp, rt, ruby, s, samp, small, span, strike, strong, sub, sup, time, tt, u, var, wbr"
)
"""Elements that do not separate words."""
NOT_TEXT = (
    "script, style, template, noscript, iframe, object, svg, video, audio, figcaption, "
    ".wp-caption-text"
)
HIDING = (
    "style", "script", "iframe", "textarea", "noembed", "noframes", "xmp", "title", "object",
    "video", "audio", "template",
)  # fmt: skip
"""Elements that take in all that follows them if they lack their end tag."""
CODE = ("style", "script")
FEED_TYPES = {
    "application/rss+xml",
    "application/atom+xml",
    "application/rdf+xml",
    "application/feed+json",
}
MOST_REPAIRS = 20
FOOTERS = (
    ("The post ", " appeared first on "),
    ("The post ", " first appeared on "),
    ("Der Beitrag ", " erschien zuerst auf "),
    ("L'article ", " est apparu en premier sur "),
    ("La entrada ", " se publicó primero en "),
    ("La entrada ", " apareció primero en "),
    ("L'articolo ", " proviene da "),
    ("Het bericht ", " verscheen eerst op "),
    ("O post ", " apareceu primeiro em "),
)
"""What WordPress writes below each text of a feed."""
LONGEST_FOOTER = 400
USUAL_ADDRESSES = ("data-src", "data-lazy-src", "data-original", "src")
ADDRESSES = {"video": ("poster",), "source": ()}
"""The attributes that hold a picture's address, by element."""
SYMBOLS = ".wp-smiley, .emoji"
MARKUP = re.compile("[<&\\0]")
"""What a piece of HTML has that says more than its text."""
BARE_TAG = re.compile(r"<([a-z][a-z0-9-]*)\s*/?>", re.IGNORECASE)
USUAL_IN_TITLES = {*INLINE.split(", "), "br", "hr", "img", "p"}
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, and the pictures that stood in it."""

    plain: str = ""
    pictures: tuple[Picture, ...] = ()


def read_plain(text: str) -> str:
    """Return a text that is not markup with its character references and white space resolved."""
    return " ".join(html.unescape(text).translate(INVISIBLE).split())


def read_markup(markup: str) -> Text:
    """Return what a reader would see of a piece of HTML: no scripts, styles, captions, footers."""
    if not MARKUP.search(markup):  # as most titles and tags, which need not be parsed
        return Text(_tidy(markup.encode(errors="replace").decode()))
    body = _parse(markup).body
    if body is None:
        return Text()
    pictures = tuple(_pictures(body))
    for node in body.css(NOT_TEXT):
        node.decompose()
    for node in body.css(f"*:not({INLINE})"):
        node.insert_before(" ")
        node.insert_after(" ")
    return Text(_tidy(body.text()), pictures)


def read_title(markup: str) -> str:
    """Return what a reader would see of a headline; `List<String>` and `<script>` are words of it.

    A start tag without attributes is such a word if it neither formats text nor is ever closed.
    """
    lowered = markup.lower()

    def as_word(tag: re.Match[str]) -> str:
        name = tag[1].lower()
        is_markup = name in USUAL_IN_TITLES or f"</{name}" in lowered
        return tag[0] if is_markup else html.escape(tag[0])

    return read_markup(BARE_TAG.sub(as_word, markup)).plain


def find_feeds(page: bytes, address: str) -> list[str]:
    """Return the addresses of the feeds that a web page at an address names, in its order."""
    tree = LexborHTMLParser(page)
    own = tree.css_first("base[href]")
    base = join_address(address, own.attributes["href"] or "") if own else address
    named = [
        join_address(base, (link.attributes["href"] or "").strip())
        for link in tree.css("link[rel~=alternate][href]")
        if (link.attributes.get("type") or "").strip().lower() in FEED_TYPES
    ]
    return list(dict.fromkeys(named))


def _parse(markup: str) -> LexborHTMLParser:
    """Parse HTML; an element that lacks its end tag does not take in all that follows it."""
    opened, mark, unclosed = markup.rpartition("<!--")
    if mark and "-->" not in unclosed:
        markup = f"{opened} {''.join(unclosed.partition('<')[1:])}"
    source = markup.encode(errors="replace")
    tree = LexborHTMLParser(source)
    lowered = source.lower()
    for tag in HIDING:
        if f"<{tag}".encode() not in lowered:
            continue
        for _ in range(MOST_REPAIRS):
            if source.lower().count(f"</{tag}".encode()) >= len(tree.css(tag)):
                break
            start = source.lower().rindex(f"<{tag}".encode())
            before, after = source[:start], source[start:]
            inside, bracket, rest = after.partition(b">")[2].partition(b"<")
            if tag not in CODE:
                rest, bracket = inside + bracket + rest, b""
            elif tag == "script" and inside.strip():
                rest, bracket = b"", b""  # where the code ends can't be told
            source = before + b" " + bracket + rest
            tree = LexborHTMLParser(source)
    return tree


def _pictures(body: LexborNode) -> Iterator[Picture]:
    for node in body.css(f"img:not({SYMBOLS}), amp-img, picture source, video[poster]"):
        attributes = {name: value or "" for name, value in node.attributes.items()}
        width, height = (read_pixels(attributes.get(side)) for side in ("width", "height"))
        if 0 < width < SMALLEST_PICTURE or 0 < height < SMALLEST_PICTURE:
            continue
        for name in ADDRESSES.get(node.tag or "", USUAL_ADDRESSES):
            if attributes.get(name) and not attributes[name].startswith("data:"):
                yield Picture(attributes[name], width or WIDTH_IN_TEXT)
        for name in ("data-srcset", "srcset"):
            yield from _choices(attributes.get(name, ""))


def _choices(text: str) -> Iterator[Picture]:
    """Read a `srcset`: addresses, which may contain commas, each with a width or a density."""
    while text := text.strip(" \t\r\n,"):
        address, *more = text.split(maxsplit=1)
        size, _, text = "".join(more).partition(",")
        if address.endswith(","):
            address, size, text = address.rstrip(","), "", "".join(more)
        number, unit = size.strip()[:-1], size.strip()[-1:]
        width = read_pixels(number) if unit == "w" else 0
        times = read_pixels(number) if unit == "x" else 1
        if not address.startswith("data:"):
            yield Picture(address, width or WIDTH_IN_TEXT * max(times, 1))


def _tidy(text: str) -> str:
    """Return a text with single spaces, without invisible characters and footer."""
    return _without_footer(" ".join(text.translate(INVISIBLE).split()))


def _without_footer(text: str) -> str:
    straight = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for opening, middle in FOOTERS:
        before, found, site = straight.rpartition(middle)
        start = before.rfind(opening)
        if found and start >= 0 and len(text) - start <= LONGEST_FOOTER and len(site) < 200:
            return text[:start].rstrip()
    return text
