from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from feed.domain import InvalidInputError
from feed.ingest.dates import ZONE_HOURS, parse_date, read_zone

FORMS = """
Fri, 27 Nov 2026 03:00:00 GMT         | 2026-11-27T03:00
Fri, 27 Nov 2026 03:00:00 +0100       | 2026-11-27T02:00
Fri, 27 Nov 2026 03:00:00 -05:00      | 2026-11-27T08:00
Fri, 27 Nov 2026 03:00:00 GMT+1       | 2026-11-27T02:00
Fri, 27 Nov 2026 03:00:00 UTC-03:30   | 2026-11-27T06:30
Fri, 27 Nov 2026 03:00:00 +0100 (CET) | 2026-11-27T02:00
Fri, 27 Nov 2026 03:00:00 (GMT+7)     | 2026-11-26T20:00
Fri, 27 Nov 2026 03:00 Asia/Tokyo     | 2026-11-26T18:00
Fri, 27 Nov 2026 03:00:00 [Asia/Tokyo] | 2026-11-26T18:00
Fri Nov 27 2026 03:00:00 GMT+0100 (Central European Standard Time) | 2026-11-27T02:00
Fri, 27 Nov 2026 3:00:00 PM -0700     | 2026-11-27T22:00
Fri, 27 Nov 2026 03:00:00 --0700      | 2026-11-27T10:00
2026-11-27T03:00:00-07:00Z            | 2026-11-27T10:00
Fri, November 27, 2026 at 03:04 PM MST | 2026-11-27T22:04
Fri, 27 Nov 26 03:00:00 Z             | 2026-11-27T03:00
Fri,27 Nov 2026 03:00:00 GMT          | 2026-11-27T03:00
Friday, 27 November 2026 03:00:00 UT  | 2026-11-27T03:00
Fri, 27-Nov-2026 03:00:00 GMT         | 2026-11-27T03:00
Fri Nov 27 03:00:00 CET 2026          | 2026-11-27T02:00
20261127030000                        | 2026-11-27T03:00
1795748400.5                          | 2026-11-27T03:00
Fri, 27 Nov 2026 3:00 PM              | 2026-11-27T15:00
Thu, 31 Dec 2026 23:59:60 GMT         | 2027-01-01T00:00
Thu, 26 Nov 2026 24:00:00 GMT         | 2026-11-27T00:00
2026-11-26T24:00:00Z                  | 2026-11-27T00:00
Fri, 27 Nov 2026                      | 2026-11-27T00:00
27 Nov 2026                           | 2026-11-27T00:00
Nov 27, 2026 at 3:00 pm               | 2026-11-27T15:00
Mo, 27 Nov 2026 03:00:00              | 2026-11-27T03:00
Ven, 27 nov 2026 03:00:00 +0000       | 2026-11-27T03:00
Ma 27 mar 2026 10:00                  | 2026-03-27T10:00
27 novembre 2026 03:00                | 2026-11-27T03:00
27 de noviembre de 2026, 03:00        | 2026-11-27T03:00
Fr., 27. November 2026 - 03:00 Uhr    | 2026-11-27T03:00
27 listopada 2026                     | 2026-11-27T00:00
2026. november 27. 03:00              | 2026-11-27T03:00
Пт, 27 ноя 2026 03:00:00 MSK          | 2026-11-27T00:00
2026年11月27日                         | 2026-11-27T00:00
2026年11月27日 下午3:05                 | 2026-11-27T15:05
2026년 11월 27일                       | 2026-11-27T00:00
٢٧ نوفمبر ٢٠٢٦                        | 2026-11-27T00:00
2026/11/27                            | 2026-11-27T00:00
2026/05/11 03:07                      | 2026-05-11T03:07
27.11.2026                            | 2026-11-27T00:00
05.11.2026 03:00                      | 2026-11-05T03:00
27/11/2026                            | 2026-11-27T00:00
11/27/2026 3:00:00 PM                 | 2026-11-27T15:00
2026-11-27 03:00:00                   | 2026-11-27T03:00
2026-11-27T03:00Z                     | 2026-11-27T03:00
2026-11-27T03:00:00.123456789Z        | 2026-11-27T03:00
2026-11-27T3:00:00Z                   | 2026-11-27T03:00
2026-11-27T03:00:00+0100              | 2026-11-27T02:00
2026-11-27T03:00:00 +02:00            | 2026-11-27T01:00
2026-11-27T03:00+01:00[Europe/Berlin] | 2026-11-27T02:00
2026-11-27 03:00 CET                  | 2026-11-27T02:00
20261127T030000Z                      | 2026-11-27T03:00
1795748400                            | 2026-11-27T03:00
1795748400000                         | 2026-11-27T03:00
"""
NO_DATES = ["", "rubbish", "yesterday", "5 minutes ago", "2026", "November 2026", "31 Nov 2026"]
NO_DATES += ["27 Nov 2026 25:00:00 GMT", "0000-00-00 00:00:00", "27 Nov 2999", "9" * 200]
NO_DATES += ["Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z", "0"]


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("line", FORMS.strip().splitlines())
def test_a_date_is_read_in_any_form(line):
    written, expected = (part.strip() for part in line.split("|"))
    assert parse_date(written) == pytest.approx(at(expected), abs=1.0)


@pytest.mark.parametrize("written", NO_DATES)
def test_what_is_no_whole_date_is_none(written):
    assert parse_date(written) is None


@pytest.mark.parametrize(
    ("names", "hours"),
    [
        ("UT UTC GMT WET", 0),
        ("CET BST MEZ", 1),
        ("CEST EET MEST MESZ", 2),
        ("MSK EEST", 3),
        ("IST", 5.5),
        ("JST KST", 9),
        ("AEST", 10),
        ("AEDT", 11),
        ("EST CDT", -5),
        ("EDT", -4),
        ("PST", -8),
    ],
)
def test_a_zone_by_its_name(names, hours):
    for name in names.split():
        moment = parse_date(f"Fri, 27 Nov 2026 12:00:00 {name}")
        assert moment == at("2026-11-27T12:00") - hours * 3600, name


@pytest.mark.parametrize(
    ("name", "zone", "hours"),
    [
        ("IST", "Asia/Jerusalem", 2),
        ("IST", "Europe/Dublin", 1),
        ("IST", "Europe/Berlin", 5.5),
        ("CST", "Asia/Shanghai", 8),
        ("EST", "Australia/Sydney", 10),
        ("BST", "Asia/Dhaka", 6),
        ("CET", "Asia/Shanghai", 1),
    ],
)
def test_the_zone_of_the_source_decides_what_an_ambiguous_name_means(name, zone, hours):
    moment = parse_date(f"Fri, 27 Nov 2026 12:00:00 {name}", "", ZoneInfo(zone))
    assert moment == at("2026-11-27T12:00") - hours * 3600


def test_a_time_without_a_zone_is_in_that_of_the_source():
    berlin = read_zone("Europe/Berlin")
    assert parse_date("27.07.2026 12:00", "de", berlin) == at("2026-07-27T10:00")
    assert parse_date("2026-11-27 12:00", "de", berlin) == at("2026-11-27T11:00")
    assert parse_date("2026-11-27 12:00 GMT", "de", berlin) == at("2026-11-27T12:00")


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "2026-05-11"), ("en-US", "2026-05-11"), ("en_GB", "2026-11-05"), ("de", "2026-11-05"),
     ("", "2026-05-11"), ("c", "2026-05-11"), ("xx-YY", "2026-05-11")],
)  # fmt: skip
def test_the_language_of_the_source_decides_whether_the_day_comes_first(language, expected):
    assert parse_date("05/11/2026", language) == at(expected)


def test_every_zone_name_has_possible_offsets():
    assert all(-12 <= hours <= 14 for several in ZONE_HOURS.values() for hours in several)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "IST"])
def test_an_unknown_zone_is_named(name):
    with pytest.raises(InvalidInputError, match="zone"):
        read_zone(name)
