"""Reads the bytes of a document as text, as its readers' browsers would."""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from feed.ingest.documents import Finding

_OTHER_MARKS = (BOM_UTF16_BE, BOM_UTF16_LE, b"\x00")
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]+)["']""")
_WIDER = {
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "euc-jp": "euc_jis_2004",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "big5": "big5hkscs",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}
"""What is sent under these names may hold characters of a wider set, as browsers read them; source:
WHATWG, Encoding Standard."""
_REPLACED = "\ufffd"
_UTF8 = "utf-8"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def in_utf8(content: bytes, charset: str) -> tuple[bytes, str]:
    """Return a document and its encoding, in UTF-8 where its encoding is misnamed or has slips.

    What is valid UTF-8 and not ASCII is UTF-8, whatever the server says. A document that names
    UTF-8 and is in another encoding is returned as it is.

    Args:
        content: XML.
        charset: what the server said; empty if nothing.
    """
    if content.startswith(_OTHER_MARKS) or content[1:2] == b"\x00" or content.isascii():
        return content, charset
    if _is_utf8(content):
        return content, _UTF8
    declared = _DECLARED.match(content)
    name = (charset or (declared[1].decode() if declared else _UTF8)).lower()
    if name in {_UTF8, "utf8"} or content.startswith(BOM_UTF8):
        mended = _without_slips(content)
        return mended, (charset if mended == content else _UTF8)
    if name not in _WIDER:
        return content, charset
    try:
        return content.decode(_WIDER[name]).encode(), _UTF8
    except UnicodeDecodeError:
        return content, charset


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def note_slips(content: bytes, read: bytes) -> list[Finding]:
    """Return what to say of a document of which `in_utf8` has read something else."""
    slips = read.count(_REPLACED.encode()) - content.count(_REPLACED.encode())
    if slips < 1:
        return []
    return [Finding("", "", f"broken characters replaced by U+FFFD: {slips}")]


def _without_slips(content: bytes) -> bytes:
    """Return a text with U+FFFD instead of what is not UTF-8, unless it is in another encoding.

    It is UTF-8 if it has as many characters outside of ASCII as broken ones: in a text of another
    encoding, hardly any bytes happen to be such a character.
    """
    text = content.decode(errors="replace")
    broken = text.count(_REPLACED) - content.count(_REPLACED.encode())
    valid = sum(map(len, _NOT_ASCII.findall(text))) - text.count(_REPLACED)
    return text.encode() if valid >= broken else content
