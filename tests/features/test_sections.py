"""All spellings of a section are one section; what is shown is what was written."""

from __future__ import annotations

import html

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.domain import Article, InvalidInputError
from feed.features.pool import PoolBuilder
from feed.features.sections import SectionVocabulary, read_aliases, section_key

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)


@pytest.mark.parametrize(
    "spelling",
    ["Arts & Culture", "arts & culture", " ARTS  &\tCulture ", "Arts &amp; Culture"],
)
def test_spellings_of_one_section_have_one_key(spelling: str) -> None:
    assert section_key(spelling) == "arts & culture"


@pytest.mark.parametrize(
    ("one", "other"),
    [("Stra\u00dfe", "STRASSE"), ("\uff33port", "sport"), ("Arts &amp;amp; Life", "Arts & Life")],
)
def test_case_width_and_double_escapes_make_no_difference(one: str, other: str) -> None:
    assert section_key(one) == section_key(other)


def test_different_sections_stay_different() -> None:
    names = ["Sport", "Sports", "Wintersport", "Kultur", "Kultur & Sport", "Économie", "Economie"]
    assert len({section_key(name) for name in names}) == len(names)


@given(NAMES)
def test_a_key_is_the_key_of_its_own_spellings(name: str) -> None:
    key = section_key(html.escape(name))
    assert section_key(f"  {html.escape(name)} ") == key
    assert section_key(html.escape(html.escape(name).upper().lower())) == section_key(
        html.escape(name).upper().lower()
    )


def test_a_vocabulary_numbers_sections_once_and_remembers_the_first_spelling() -> None:
    sections = SectionVocabulary(read_aliases("football = Sport, soccer=Sport"))
    written = ["News", "soccer", "sport", " SPORT ", "Football", "news", ""]
    assert [sections.add(name) for name in written] == [0, 1, 1, 1, 1, 0, -1]
    assert sections.ids == ["News", "Sport"]
    assert sections.rows(["NEWS", "football", "nowhere", ""]).tolist() == [0, 1, -1, -1]
    assert "Soccer" in sections
    assert "tennis" not in sections


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("football", "must be pairs such as"),
        ("football=", "must be pairs such as"),
        ("=Sport", "must be pairs such as"),
        ("a=b=c", "must be pairs such as"),
        ("football=Sport, Football=News", "must not give Football two meanings"),
        ("football=Sport, sport=News", "must not name Sport, which is an alias itself"),
    ],
)
def test_wrong_aliases_are_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^FEED_SECTION_ALIASES: {rule}"):
        read_aliases(text)


def test_no_aliases_are_none() -> None:
    assert read_aliases("") == read_aliases(" , ") == {}


def article(article_id: str, section: str, *others: str) -> Article:
    return Article(
        article_id=article_id,
        title=article_id,
        published_at=1.0,
        section=section,
        other_sections=others,
    )


def test_a_pool_keeps_the_code_and_the_spelling_of_each_article() -> None:
    builder = PoolBuilder()
    for article_id, section in [("a", "sport"), ("b", "Sport"), ("c", "News"), ("d", "")]:
        builder.add(article(article_id, section))
    pool = builder.snapshot()
    assert pool.section.tolist() == [0, 0, 1, -1]
    assert [pool.section_names.ids[code] for code in pool.section_name[:3]] == [
        "sport",
        "Sport",
        "News",
    ]


def test_a_pool_finds_articles_by_their_other_sections_as_they_are_now() -> None:
    builder = PoolBuilder()
    builder.add(article("a", "News", "Sport", "Money", "news"))
    builder.add(article("b", "Sport"))
    before = builder.snapshot()
    sport, money = before.sections.rows(["sport", "money"]).tolist()
    rows = np.arange(2)
    assert before.stand_in(rows, [sport]).tolist() == [True, True]
    assert before.stand_in(rows, [money]).tolist() == [True, False]
    assert before.sections.row("news") not in before.also_in
    builder.add(article("a", "News", "Money"))
    builder.add(article("b", "Sport", "Money"))
    after = builder.snapshot()
    assert after.stand_in(rows, [sport]).tolist() == [False, True]
    assert after.stand_in(rows, [money]).tolist() == [True, True]
    assert before.stand_in(rows, [sport, money]).tolist() == [True, True]
    assert before.stand_in(rows, [money]).tolist() == [True, False]
