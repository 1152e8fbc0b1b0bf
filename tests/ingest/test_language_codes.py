from __future__ import annotations

import pytest

from feed.ingest.language_codes import language_tag


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("English", "en"),
        ("English (United Kingdom)", "en"),
        ("en_GB", "en-gb"),
        ("eng-GB", "en-gb"),
        ("zh-Hant-TW", "zh-hant-tw"),
        ("ger", "de"),
        ("fil", "fil"),
        ("und", ""),
        ("mul", ""),
        ("default", ""),
        ("c", ""),
        ("", ""),
    ],
)
def test_a_language_is_known_by_its_codes_and_its_names(text, tag):
    assert language_tag(text) == tag
