"""Which articles match a language that a reader asks for."""

from __future__ import annotations

import pytest

from feed.features.ids import Vocabulary
from feed.features.languages import matches, matching_codes
from feed.features.request_context import NOWHERE, asked_languages


@pytest.mark.parametrize(
    ("tag", "wanted", "answers"),
    [
        ("en", "en", True),
        ("en-gb", "en", True),
        ("en", "en-gb", True),
        ("en-us", "en-gb", False),
        ("zh-hant-tw", "zh-hant", True),
        ("zh-hant", "zh-hant-tw", True),
        ("zh-hans", "zh-hant", False),
        ("eng", "en", False),
        ("en", "eng", False),
        ("da", "en", False),
    ],
)
def test_a_tag_matches_its_own_range_and_narrower_ones(tag, wanted, answers):
    assert matches(tag, wanted) is answers


def test_every_matching_language_counts_once_whatever_its_case():
    languages = Vocabulary(["da", "en-gb", "en", "fr"])
    assert matching_codes(languages, ["EN", "en-GB", "fr"]).tolist() == [1, 2, 3]
    assert matching_codes(languages, []).tolist() == []


def test_a_language_that_nothing_has_is_not_every_language():
    languages = Vocabulary(["da", "en-gb"])
    assert asked_languages(languages, "") == ()
    assert asked_languages(languages, "en") == (1,)
    assert asked_languages(languages, "fr") == (NOWHERE,)
