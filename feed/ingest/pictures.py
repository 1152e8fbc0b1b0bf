"""Decides which of the files of an entry is its picture."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

WIDTH_OF_FILE = 800
WIDTH_OF_THUMBNAIL = 500
WIDTH_IN_TEXT = 400
"""The width assumed for a picture that states none, by where it stands, pixels."""
SMALLEST_PICTURE = 50
"""A picture of a declared width or height below this is a symbol or a counter, pixels."""

TYPES = mimetypes.MimeTypes()  # not the machine's own list
for _type, _ending in (
    ("image/webp", ".webp"),
    ("image/avif", ".avif"),
    ("audio/mp4", ".m4a"),
    ("audio/ogg", ".ogg"),
    ("video/mp4", ".m4v"),
    ("video/mpegurl", ".m3u8"),
):
    TYPES.add_type(_type, _ending)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's address as written, and its width in pixels, declared or taken for it."""

    address: str
    width: int


def read_picture(address: object, kind: object, width: int, *, is_surely: bool) -> Picture | None:
    """Return a file of an entry as a picture, None if it is of another kind.

    Args:
        address: of the file.
        kind: its media type, or what the feed calls it (`image`, `video`); may be missing.
        width: declared or taken for it, pixels.
        is_surely: whether a file of unknown kind at this place is a picture.
    """
    text = str(address or "").strip()
    ending = (TYPES.guess_type(_path(text))[0] or "").partition("/")[0]
    named = str(kind or "").lower().partition("/")[0]
    if (
        width < SMALLEST_PICTURE
        or not text
        or ending in {"video", "audio"}
        or named in {"video", "audio"}
    ):
        return None
    is_picture = "image" in (ending, named) or (is_surely and not ending and not named)
    return Picture(text, width) if is_picture else None


def largest(pictures: Iterable[Picture]) -> Picture | None:
    """Return the widest picture, the first of several; None if there is none."""
    return max(pictures, key=lambda picture: picture.width, default=None)


def read_pixels(text: object) -> int:
    """Return a number of pixels, 0 where there is none."""
    digits = str(text or "").strip().removesuffix("px").partition(".")[0]
    return int(digits) if digits.isdecimal() and len(digits) < 6 else 0


def _path(address: str) -> str:
    try:
        return urlsplit(address).path
    except ValueError:
        return ""
