"""Reads times as feeds write them: in many languages, orders and zones, and with mistakes."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from dateparser.date import DateDataParser

from feed.config import DAY_S
from feed.domain import InvalidInputError
from feed.zones import read_zone

EARLIEST_S = DAY_S
"""A time on the first day of 1970 is a missing one, written as zero; epoch seconds."""
LATEST_S = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
LONGEST_TEXT = 80

ZONE_HOURS: dict[str, tuple[float, ...]] = {
    "ACDT": (10.5,), "ACST": (9.5,), "ADT": (-3,), "AEDT": (11,), "AEST": (10,), "AKDT": (-8,),
    "AKST": (-9,), "AST": (-4, 3), "AWST": (8,), "BRT": (-3,), "BST": (1, 6, 11), "CAT": (2,),
    "CDT": (-5, -4), "CEST": (2,), "CET": (1,), "CLST": (-3,), "CLT": (-4,), "COT": (-5,),
    "CST": (-6, 8, -5), "EAT": (3,), "EDT": (-4, 11), "EEST": (3,), "EET": (2,), "EST": (-5, 10),
    "GMT": (0,), "GST": (4, -2), "HKT": (8,), "HST": (-10,), "ICT": (7,), "IDT": (3,),
    "IRST": (3.5,), "IST": (5.5, 2, 1), "JST": (9,), "KST": (9,), "MDT": (-6,), "MEST": (2,),
    "MESZ": (2,), "MET": (1,), "MEZ": (1,), "MSD": (4,), "MSK": (3,), "MST": (-7, 8, 6.5),
    "MYT": (8,), "NDT": (-2.5,), "NPT": (5.75,), "NST": (-3.5,), "NZDT": (13,), "NZST": (12,),
    "PDT": (-7,), "PHT": (8,), "PKT": (5,), "PST": (-8, 8), "SAST": (2,), "SGT": (8,),
    "TRT": (3,), "UT": (0,), "UTC": (0,), "WAST": (2,), "WAT": (1,), "WEST": (1,), "WET": (0,),
    "WIB": (7,), "WIT": (9,), "WITA": (8,),
}  # fmt: skip
"""Hours ahead of UTC by zone name. If a name has several meanings, the first one is used, unless
the source's own zone uses another one."""

LANGUAGES = (
    "en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "uk", "sv", "da", "nb", "fi", "cs", "sk",
    "hu", "ro", "bg", "hr", "sr", "sl", "el", "tr", "et", "lv", "lt", "ca", "id", "vi", "th", "ja",
    "ko", "zh", "ar", "fa", "he", "hi",
)  # fmt: skip
"""Tried in this order, after the source's own language."""

_WORD = re.compile(r"[A-Za-z]+")
_RFC_822 = re.compile(r"([A-Za-z]+,? +)?\d{1,2} +[A-Za-z]{3} +(\d{2}|\d{4}) +\d\d?:\d\d(:\d\d)?")
_OFFSET = re.compile(r"(?<=[\dMm.]) *(?:GMT|UTC|UT)? *-?([+-])(\d{1,2})(?::?(\d\d))?Z?$")
_ASIDE = re.compile(r" *[(\[]([^)\]]*)[)\]]$")
"""A zone in brackets: it repeats the offset (`+0100 (CET)`) or stands alone (`03:00 (GMT+7)`)."""
_PLACE = re.compile(r" ([A-Z][A-Za-z]+/[A-Za-z_/]+)$")
_WEEKDAY = re.compile(r"^[^\W\d]+\.?,? +(?=\d{1,2}\.? +[^\W\d])")
"""Left out, because it is often in another language than the month."""
_DAY_FIRST = re.compile(r"\d{1,2}\.")
_YEAR_FIRST = re.compile(r"\d{4}\D")
_EPOCH = re.compile(r"\d{10}(\d{3})?(\.\d+)?")
_COMPACT = re.compile(r"(\d{8})(\d{6})")
_NO_YEAR = re.compile(r"(?<![\d+])(?<! -)(?<!:\d\d-)000[01](?!\d)")
"""The year of a missing time in several programs; it must not become 2001."""


@lru_cache(maxsize=4096)
def parse_date(text: str, language: str = "", zone: tzinfo = UTC) -> float | None:
    """Return epoch seconds, or None where no whole date can be read.

    Args:
        text: a date with or without a time of day, an offset or the name of a zone.
        language: of the source; decides the order of day and month, and is tried first.
        zone: of the source; for times without any zone, and for ambiguous zone names.
    """
    text = " ".join(text.split())
    has_digits = any(map(str.isdigit, text))
    if len(text) > LONGEST_TEXT or not has_digits or _NO_YEAR.search(text):
        return None
    if _EPOCH.fullmatch(text):
        return _sane(float(text[:10]))
    text, named = _take_zone(_COMPACT.sub(r"\1T\2", text), zone)
    text, days = _take_midnight(text)
    moment = _read_standard(text) or _read_any(text, language)
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=named or zone)
    return _sane(moment.timestamp() + days * DAY_S)


def _sane(moment_s: float) -> float | None:
    return moment_s if EARLIEST_S <= moment_s <= LATEST_S else None


def _take_zone(text: str, zone: tzinfo) -> tuple[str, tzinfo | None]:
    """Return the text without its zone, and that zone; an offset counts more than a name."""
    before = _ASIDE.sub("", text)
    text = before if _OFFSET.search(before) else _ASIDE.sub(r" \1", text)
    offset, place = _OFFSET.search(text), _PLACE.search(text)
    name = next((m for m in _WORD.finditer(text) if m.group() in ZONE_HOURS), None)
    named: tzinfo | None = None
    if offset and ":" in text[: offset.start()]:
        sign, hours, minutes = offset.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes or 0))
        text = text[: offset.start()]
        named = timezone(-ahead if sign == "-" else ahead) if ahead < timedelta(days=1) else None
    elif place:
        text = text[: place.start()]
        with suppress(InvalidInputError):
            named = read_zone(place[1])
    elif name:
        named = _named_zone(name.group(), zone)
    if name:
        text = text[: name.start()] + text[name.end() :]
    return " ".join(text.split()), named


def _named_zone(name: str, zone: tzinfo) -> timezone:
    offsets = [timedelta(hours=hours) for hours in ZONE_HOURS[name]]
    seasons = [datetime(2026, month, 1, tzinfo=UTC).astimezone(zone) for month in (1, 7)]
    # A zone such as Asia/Dhaka has no name of its own but "+06".
    usual = {s.utcoffset() for s in seasons if _calls(s.tzname() or "", name)}
    return timezone(next((o for o in offsets if o in usual), offsets[0]))


def _calls(own_name: str, name: str) -> bool:
    return own_name.endswith(name) or not own_name.isalpha()


def _take_midnight(text: str) -> tuple[str, int]:
    """Return the text with a readable time of day, and the days to add: 24:00 ends a day."""
    fixed = re.sub(r"(?<!\d)24:00(?!\d)", "00:00", text)
    return re.sub(r"(\d\d:\d\d):60", r"\1:59", fixed), int(fixed != text)


def _read_standard(text: str) -> datetime | None:
    """Read the two standard forms, which nearly all feeds use, the quick way."""
    try:
        if _RFC_822.fullmatch(text):
            return parsedate_to_datetime(text)
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _read_any(text: str, language: str) -> datetime | None:
    """Read a date in any form, by the source's own language first."""
    text = _WEEKDAY.sub("", text)
    primary, _, region = language.replace("_", "-").partition("-")
    attempts = [("languages", (primary.lower(),)), ("languages", LANGUAGES)]
    if region:
        attempts.insert(0, ("locales", (f"{primary.lower()}-{region.upper()}",)))
    for kind, names in attempts:
        try:
            moment: datetime | None = (
                _parser(kind, names, _order(text)).get_date_data(text).date_obj
            )
        except ValueError:  # a language or a region that the library does not know
            continue
        if moment is not None:
            return moment
    return None


def _order(text: str) -> str:
    if _YEAR_FIRST.match(text):
        return "YMD"
    return "DMY" if _DAY_FIRST.match(text) else ""


@lru_cache(maxsize=64)
def _parser(kind: str, names: tuple[str, ...], order: str) -> DateDataParser:
    settings: dict[str, Any] = {"PARSERS": ["absolute-time"], "STRICT_PARSING": True}
    if order:
        settings |= {"DATE_ORDER": order, "PREFER_LOCALE_DATE_ORDER": False}
    return DateDataParser(settings=settings, **{kind: list(names)})
