"""Texts without what their source repeats."""

from lab.bench.story_data import bare_texts

from feed.domain import Article

COLUMN = [
    Article(
        article_id=f"c{number}",
        source="Daily",
        title=f"Morning briefing: {subject}",
        standfirst=f"The {subject} are back. Sign up for our newsletter.",
        published_at=0.0,
    )
    for number, subject in enumerate(("storms", "elections", "trains"))
]


def test_what_three_articles_of_a_source_repeat_is_taken_out():
    assert bare_texts(COLUMN) == [
        "storms\nThe storms are back.",
        "elections\nThe elections are back.",
        "trains\nThe trains are back.",
    ]


def test_repetitions_are_found_in_what_came_before_alone():
    assert "Morning briefing" in bare_texts(COLUMN, COLUMN[:2])[0]
    assert bare_texts(COLUMN[:1], COLUMN) == ["storms\nThe storms are back."]
