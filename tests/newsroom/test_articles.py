"""The sample newsroom is complete, varied, labelled as generated and told twice only on purpose."""

import json
import re
from collections import Counter, defaultdict
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest

Row = dict[str, Any]

SECTIONS = {
    "business",
    "climate",
    "culture",
    "food",
    "health",
    "local",
    "politics",
    "science",
    "sport",
    "technology",
    "travel",
    "world",
}
DESKS = {"City desk", "Daily desk", "Science desk", "Weekend desk"}
FIELDS = {
    "ai_generated",
    "article_id",
    "author",
    "body",
    "human_reviewed",
    "image_url",
    "language",
    "published_hours_ago",
    "section",
    "source",
    "sponsored",
    "standfirst",
    "tags",
    "title",
    "url",
}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    text = files("feed.newsroom").joinpath("articles.jsonl").read_text(encoding="utf-8")
    return text.removesuffix("\n").split("\n")


@pytest.fixture(scope="module")
def rows(lines: list[str]) -> list[Row]:
    return [json.loads(line) for line in lines]


def word_runs(text: str, length: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def stories(rows: list[Row]) -> dict[str, list[Row]]:
    told: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for tag in row["tags"]:
            if tag.startswith("story:"):
                told[tag].append(row)
    return told


def test_every_line_is_one_article_in_the_canonical_form(lines: list[str]) -> None:
    for line in lines:
        row = json.loads(line)
        assert set(row) == FIELDS
        assert json.dumps(row, ensure_ascii=False, sort_keys=True) == line


def test_twelve_sections_hold_at_least_ten_articles_each(rows: list[Row]) -> None:
    counts = Counter(row["section"] for row in rows)
    assert set(counts) == SECTIONS
    assert min(counts.values()) >= 10
    assert 140 <= len(rows) <= 160


def test_every_section_is_mostly_english_and_has_three_other_languages(rows: list[Row]) -> None:
    counts = Counter((row["section"], row["language"]) for row in rows)
    assert {language for _, language in counts} == {"en", "de", "es", "fr"}
    for section in SECTIONS:
        assert all(counts[section, language] >= 1 for language in ("de", "es", "fr"))
        assert counts[section, "en"] >= 9


@pytest.mark.parametrize("field", ["article_id", "title", "standfirst", "body"])
def test_no_text_or_id_appears_twice(rows: list[Row], field: str) -> None:
    assert [value for value, n in Counter(row[field] for row in rows).items() if n > 1] == []


def test_no_two_bodies_share_eight_words_in_a_row(rows: list[Row]) -> None:
    first_use: dict[tuple[str, ...], str] = {}
    for row in rows:
        for run in word_runs(row["body"], 8):
            assert first_use.setdefault(run, row["article_id"]) == row["article_id"], " ".join(run)


def test_texts_have_the_length_of_short_news(rows: list[Row]) -> None:
    for row in rows:
        assert 60 <= len(row["body"].split()) <= 140, row["article_id"]
        assert len(row["body"].split("\n\n")) in {2, 3}, row["article_id"]
        assert row["standfirst"].endswith("."), row["article_id"]
        assert 10 <= len(row["title"]) <= 90, row["article_id"]
        assert all(row[f] == row[f].strip() for f in ("title", "standfirst", "body"))


def test_ids_are_ascii_slugs_and_tags_are_few_and_lowercase(rows: list[Row]) -> None:
    for row in rows:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", row["article_id"])
        assert 2 <= len(set(row["tags"])) == len(row["tags"]) <= 5
        assert all(re.fullmatch(r"(story:)?[a-z]+(-[a-z]+)*", tag) for tag in row["tags"])


def test_every_article_says_that_it_was_generated_and_not_reviewed(rows: list[Row]) -> None:
    for row in rows:
        assert row["ai_generated"] == "generated"
        assert row["human_reviewed"] is False
        assert row["author"] == "feed sample newsroom"
        assert row["source"] in DESKS
        assert row["url"] is None
        assert row["image_url"] is None


def test_two_or_three_articles_are_sponsored(rows: list[Row]) -> None:
    assert 2 <= sum(row["sponsored"] for row in rows) <= 3


def test_articles_are_spread_over_the_last_two_days(rows: list[Row]) -> None:
    ages = sorted(row["published_hours_ago"] for row in rows)
    assert ages[0] >= 0.2
    assert ages[-1] <= 47.5
    assert max(later - earlier for earlier, later in pairwise(ages)) <= 1.0


def test_some_stories_are_told_by_two_desks_within_a_day(rows: list[Row]) -> None:
    told = stories(rows)
    assert 4 <= len(told) <= 6
    for story, versions in told.items():
        first, second = versions
        assert first["source"] != second["source"], story
        assert first["language"] == second["language"], story
        assert abs(first["published_hours_ago"] - second["published_hours_ago"]) <= 24, story
