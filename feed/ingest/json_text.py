"""Takes out of JSON text what its senders' tools often leave in it, before it is parsed."""

from __future__ import annotations

import re
from codecs import BOM_UTF8

_ESCAPES = re.compile(
    rb"\\\\"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def mend_json(text: bytes) -> bytes:
    r"""Return JSON text without a byte order mark and without halves of characters.

    JavaScript counts a text in units of 16 bits. One that it has cut in the middle of an emoji ends
    with half of it, such as `\ud83d`, which no text in UTF-8 can hold, and for which a parser
    refuses the whole document. Such a half becomes U+FFFD, the character for what is not known.
    """
    text = text.removeprefix(BOM_UTF8)
    if b"\\ud" in text or b"\\uD" in text:
        return _ESCAPES.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)
    return text
