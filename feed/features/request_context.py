"""RequestContext: everything about one request except the reader and the articles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed.domain import Mode
from feed.features.ids import Vocabulary
from feed.features.languages import matching_codes

NOWHERE = int(np.iinfo(np.int32).max)
"""Code of a section or language that no article has."""

_DEVICES = {"desktop": 1, "mobile": 2, "phone": 2, "tablet": 3}


def device_code(text: str) -> int:
    """Return the code of a device's name, or of a publisher's own small number; -1 unknown."""
    return int(text) if text.isdecimal() and len(text) < 4 else _DEVICES.get(text.lower(), -1)


def asked_section(sections: Vocabulary, name: str) -> int:
    """Return the code of the section asked for: -1 for all, `NOWHERE` for an unknown one."""
    if not name:
        return -1
    code = sections.row(name)
    return code if code >= 0 else NOWHERE


def asked_languages(languages: Vocabulary, wanted: str) -> tuple[int, ...]:
    """Return the codes that match the language asked for; no code means every language."""
    if not wanted:
        return ()
    return tuple(matching_codes(languages, [wanted]).tolist()) or (NOWHERE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """When, where and how a feed is asked for.

    `now` is epoch seconds. `page_row` is the article on whose page the feed appears (-1: a front
    page, where no article is being read). `device` and `subscriber` are small codes that the
    publisher chooses (-1: unknown). `section` (-1: all) and `languages` (empty: all) are codes of
    the pool's vocabularies; they limit what may be shown.
    """

    now: float
    page_row: int = -1
    device: int = -1
    subscriber: int = -1
    section: int = -1
    languages: tuple[int, ...] = ()
    mode: Mode = Mode.PERSONALIZED
