"""Times and changes as the desk's pages say them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from feed.service.desk.desk_words import (
    LONGEST,
    begin_sentence,
    describe_distance,
    describe_moment,
    list_changes,
)

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (-3, "just now"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (3 * 3600 + 50, "3 hours ago"),
        (86_400 * 2, "2 days ago"),
        (86_400 * 800, "2 years ago"),
        (-600, "in 10 minutes"),
    ],
)
def test_a_time_is_told_by_its_distance(seconds: float, text: str) -> None:
    assert describe_distance(NOW - seconds, NOW) == text


def test_changes_name_only_what_differs() -> None:
    before = {"slot": 3, "section": "sport", "until_midnight": True, "same": 1}
    after = {"slot": 4, "section": "", "until_midnight": False, "same": 1, "tags": ["a"]}
    assert list_changes(before, after) == [
        ("slot", "3", "4"),
        ("section", "sport", ""),
        ("until midnight", "yes", "no"),
        ("tags", "", "a"),
    ]
    assert list_changes(None, {"slot": 1}) == [("slot", "", "1")]
    assert list_changes(None, None) == []


def test_parts_of_a_thing_are_named_and_empty_ones_left_out() -> None:
    pins = [{"slot": 0, "section": "", "ends_at": "noon"}, {"slot": 1, "languages": ["de", "en"]}]
    assert list_changes({"pins": []}, {"pins": pins}) == [
        ("pins", "", "slot 1, ends at noon; slot 2, languages de, en")
    ]


def test_times_are_those_of_the_newsroom() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert describe_moment(NOW, berlin) == "21 Sep 2026, 16:13"
    after = {"steps": [{"at": "2026-11-28T00:46:40.269Z", "traffic": 1.0}]}
    assert list_changes(None, after, berlin) == [("steps", "", "at 28 Nov 2026, 01:46, traffic 1")]


def test_a_sentence_begins_with_a_capital_but_no_code_does() -> None:
    texts = ["share of clicks", "ln(1 + age)", "ctr_6h less the best"]
    assert [begin_sentence(text) for text in texts] == ["Share of clicks", *texts[1:]]


def test_a_long_value_is_cut() -> None:
    ((_, old, _),) = list_changes({"text": "a" * 500}, None)
    assert len(old) == LONGEST
    assert old.endswith("…")
