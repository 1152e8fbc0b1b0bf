"""The level of a pair of articles: twins, one story, one series, or nothing in common."""

from __future__ import annotations

import math
from typing import Any

import pytest
from lab.bench.story_data import invented_articles

from feed.domain import Article
from feed.features.story_pairs import Level, Pair, PairJudge
from feed.features.story_text import BOILERPLATE_FROM, read_text

ARTICLES, _ = invented_articles()


def text(title: str, standfirst: str = "", **fields: Any) -> Any:
    given = {"source": "paper", "language": "en", **fields}
    article = Article(article_id="a", title=title, standfirst=standfirst, published_at=0.0, **given)
    return read_text(article)


FERRY = text("Ferry Lone rams pier in Holt", "Twenty-two were hurt at noon.")


def level(one: Any, other: Any, cosine: float = 0.75, hours: float = 1.0) -> Level:
    judge = PairJudge()
    for article in ARTICLES:
        judge.learn(read_text(article))
    for one_text in (one, other):
        judge.learn(one_text)
    return judge.level(Pair(one, other, cosine, hours))


@pytest.mark.parametrize("hours", [1.0, 30.0, math.nan])
def test_the_same_text_elsewhere_is_a_twin(hours: float) -> None:
    copy = text("Ferry Lone rams pier in Holt!", "Twenty-two were hurt at noon", source="wire")
    assert level(FERRY, copy, 1.0, hours) is Level.TWIN


def test_the_same_text_of_the_same_source_a_day_later_is_another_edition() -> None:
    assert level(FERRY, FERRY, 1.0, 2.0) is Level.TWIN
    assert level(FERRY, FERRY, 1.0, 24.0) is Level.STORY


def test_a_copy_with_a_few_other_words_is_a_twin_only_within_hours_and_with_the_same_numbers() -> (
    None
):
    copy = text("Ferry Lone rams pier in Holt", "Holt. Twenty-two were hurt at noon.", source="w")
    assert level(FERRY, copy, 0.96) is Level.TWIN
    assert level(FERRY, copy, 0.9) is not Level.TWIN
    assert level(FERRY, copy, 0.96, hours=20.0) is not Level.TWIN
    numbered = text("Ferry Lone 2 rams pier in Holt", "Twenty-two were hurt at noon.", source="w")
    assert level(FERRY, numbered, 0.96) is not Level.TWIN


@pytest.mark.parametrize(
    ("one", "other", "hours"),
    [
        (("Today in History: April 2",), ("Today in History: April 3",), 24.0),
        (("Week in photos for Oct. 21-25",), ("Week in photos for Nov. 4-8",), math.nan),
        (("Your forecast for Holt", "Will it rain?"), ("Rain in Tolk", "Will it rain?"), 1.0),
        (("Trailer: The Glass Ferry",), ("Trailer: Uncle Mango",), 1.0),
    ],
)
@pytest.mark.parametrize("cosine", [0.7, 0.99])
def test_editions_of_a_column_are_a_series(
    one: Any, other: Any, hours: float, cosine: float
) -> None:
    assert level(text(*one), text(*other), cosine, hours) is Level.SERIES


def test_two_reports_of_one_event_are_a_story_and_other_events_are_not() -> None:
    report = text("Engine fault blamed after Lone rams Holt pier", "The captain spoke.", source="w")
    other = text("Ferry Runa runs aground near Tolk", "Nobody was hurt at night.", source="w")
    assert level(FERRY, report) is Level.STORY
    assert level(FERRY, other) is Level.NONE
    assert level(FERRY, report, hours=70.0) is Level.NONE


def test_names_and_numbers_join_reports_in_different_languages() -> None:
    danish = text(
        "Færgen Lone påsejler mole i Holt", "22 kvæstet.", source="avis", language="da-DK"
    )
    english = text("Lone rams pier in Holt", "22 were hurt on the ferry.")
    assert level(english, danish, 0.5) is Level.STORY


def test_boilerplate_of_a_source_does_not_count() -> None:
    judge = PairJudge()
    phrase = "Read Quibble Extra in our Zebra app."
    for number in range(BOILERPLATE_FROM):
        judge.learn(text(f"Article {number}", phrase, source="x"))
    one, other = text("Tax for Holt", phrase, source="x"), text("Snow in Tolk", phrase, source="y")
    judge.learn(other)
    pair = Pair(one, other, 0.5, 1.0)
    assert judge.features(pair)[3] == 0.0
    before = PairJudge()
    before.learn(one)
    before.learn(other)
    assert before.features(pair)[3] > 0.5


def test_pairs_of_characters_are_the_words_of_scripts_without_spaces() -> None:
    one = text("地震で橋が閉鎖", language="ja")
    assert {"地震", "閉鎖"} <= one.title[0].words


REPORTS = [
    ("Ferry Lone sinks off Holt: {} dead", "The Lone capsized near Holt on its way to Tolk."),
    ("{} verletzt bei Zugunglück in Altmark", "Der Regionalzug entgleiste bei Stendal."),
    ("Séisme à Valmer : {} morts", "Le maire de Valmer, Luc Arnaud, demande de l'aide."),
]
"""Titles with a number that rises during the day, and what the texts go on to say."""
LATER = [
    "Divers found more bodies in the Lone, which capsized near Holt.",
    "Bei Stendal entgleiste ein Regionalzug; Helfer bergen weitere Menschen.",
    "À Valmer, les secours de Luc Arnaud cherchent encore.",
]


@pytest.mark.parametrize("source", ["paper", "wire"])
@pytest.mark.parametrize("report", [0, 1, 2])
def test_another_number_of_dead_on_the_same_day_is_the_same_story(report: int, source: str) -> None:
    title, first = REPORTS[report]
    one = text(title.format(12), first)
    other = text(title.format(15), LATER[report], source=source)
    assert level(one, other, 0.9, hours=2.0) is Level.STORY
    assert level(one, text(title.format(15), first, source=source), 0.97, 2.0) is Level.STORY


@pytest.mark.parametrize("hours", [30.0, math.nan])
def test_the_same_form_on_another_day_or_at_an_unknown_time_is_a_series(hours: float) -> None:
    title, first = REPORTS[0]
    assert level(text(title.format(12), first), text(title.format(15), first), 0.97, hours) is (
        Level.SERIES
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            ("The short quiz: 12", "Who wrote Moby Dick?"),
            ("The short quiz: 13", "Where is Titicaca?"),
        ),
        (("The short quiz: 12", ""), ("The short quiz: 13", "")),
        (("5 songs from 1975", "By Queen and Bowie."), ("5 songs from 1983", "By Toto and Sade.")),
        (("Homes in Holt for 900", "Rent in Holt."), ("Homes in Tolk for 700", "Rent in Tolk.")),
        (("What we did in the 1970s", "Here it is."), ("What we did in the 1980s", "Here it is.")),
    ],
)
def test_editions_of_the_same_day_are_no_updates(one: Any, other: Any) -> None:
    assert level(text(*one), text(*other), 0.9, hours=2.0) in {Level.SERIES, Level.NONE}
