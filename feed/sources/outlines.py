"""Lists of feeds: OPML in and out, and plain lists of addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from selectolax.lexbor import LexborHTMLParser

from feed.domain import InvalidInputError
from feed.ingest.urls import mask_login
from feed.sources.subscription import Source, read_address
from feed.storage.key_names import SOURCES_MAX

LONGEST_NAME = 128


def read_list(content: bytes) -> list[Source]:
    """Return the sources in an OPML document, or in a text with one address per line.

    OPML is read by an HTML parser, because many programs do not escape `&` in addresses.

    Raises:
        InvalidInputError: it holds no address or a wrong one, or it is not complete.
    """
    text = _decode(content)
    if "<opml" in text[:4096].lower():
        return _distinct(_read_opml(text))
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    addresses = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not addresses:
        raise InvalidInputError("list", "names no feed")
    return _distinct(Source(address=read_address(a, f"line {number}")) for number, a in addresses)


def write_opml(sources: Sequence[Source]) -> bytes:
    """Return sources as OPML 2.0, without the logins in their addresses."""
    root = ET.Element("opml", version="2.0")
    ET.SubElement(ET.SubElement(root, "head"), "title").text = "Sources"
    body = ET.SubElement(root, "body")
    for source in sources:
        address = mask_login(source.address, b"")
        ET.SubElement(body, "outline", type="rss", text=source.name or address, xmlUrl=address)
    ET.indent(root)
    return (ET.tostring(root, encoding="unicode") + "\n").encode()


def _read_opml(text: str) -> list[Source]:
    if "</opml" not in text.lower():
        raise InvalidInputError("list", "breaks off before its end")
    if text.lower().count("xmlurl") > SOURCES_MAX:
        raise InvalidInputError("list", f"names more than {SOURCES_MAX} feeds")
    outlines = LexborHTMLParser(text).css("outline[xmlurl]")
    found = []
    for number, outline in enumerate(outlines, start=1):
        attributes = {name: (value or "").strip() for name, value in outline.attributes.items()}
        name = attributes.get("text") or attributes.get("title") or ""
        address = read_address(attributes["xmlurl"], f"outline {number}")
        found.append(Source(address=address, name=" ".join(name.split())[:LONGEST_NAME]))
    if not found:
        raise InvalidInputError("list", "names no feed")
    return found


def _decode(content: bytes) -> str:
    """Return the text: in UTF-8, UTF-16 with its mark, or as its XML declaration says."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


def _distinct(sources: Iterable[Source]) -> list[Source]:
    return list({source.source_id: source for source in sources}.values())
