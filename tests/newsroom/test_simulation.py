from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from feed.domain import EventKind
from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import HOUR_S, appeal, build_readers, react, simulate_history

NOW = 1_790_000_000.0


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(3)
    articles = load_articles(NOW)
    readers = build_readers(articles, 150, rng)
    burst = next(a for a in articles if a.language == "en" and NOW - a.published_at < 2 * HOUR_S)
    start = NOW - 48 * HOUR_S
    events = simulate_history(articles, readers, start, NOW, rng, burst.article_id)
    return articles, readers, burst, events


def test_the_sample_articles_say_that_they_are_generated(world):
    articles, *_ = world
    assert {a.ai_generated.value for a in articles} == {"generated"}
    assert all(NOW - 48 * HOUR_S < a.published_at < NOW for a in articles)


def test_every_simulated_reader_is_called_simulated(world):
    _, readers, _, _ = world
    assert all(r.user_id.startswith("simulated-") for r in readers)
    assert all(r.description.startswith("Simulated") for r in readers)


def test_a_tag_that_marks_one_story_is_no_taste(world):
    _, readers, _, _ = world
    assert not [t for r in readers for t in r.tags if t.startswith("story:")]


def test_event_ids_are_unique_and_times_lie_in_the_window(world):
    *_, events = world
    assert len({e.event_id for e in events}) == len(events)
    times = [e.occurred_at for e in events]
    assert times == sorted(times)
    assert NOW - 48 * HOUR_S <= times[0] < times[-1] < NOW


def test_no_article_is_seen_before_it_is_published(world):
    articles, _, _, events = world
    published = {a.article_id: a.published_at for a in articles}
    assert all(e.occurred_at >= published[e.article_id] for e in events)


def test_readers_click_what_they_like(world):
    articles, readers, _, events = world
    section = {a.article_id: a.section for a in articles}
    favourite = {r.user_id: max(r.sections, key=lambda s: r.sections[s]) for r in readers}
    shown, clicked = Counter(), Counter()
    for event in events:
        is_favourite = section[event.article_id] == favourite[event.user_id]
        if event.kind is EventKind.IMPRESSION:
            shown[is_favourite] += 1
        elif event.kind is EventKind.CLICK:
            clicked[is_favourite] += 1
    assert clicked[True] / shown[True] > 2 * clicked[False] / shown[False]


def test_the_story_that_breaks_is_read_most_in_the_last_minutes(world):
    *_, burst, events = world
    late = Counter(
        e.article_id
        for e in events
        if e.kind is EventKind.CLICK and e.occurred_at > NOW - 0.5 * HOUR_S
    )
    assert late.most_common(1)[0][0] == burst.article_id


def test_an_article_in_a_language_the_reader_does_not_read_has_no_appeal(world):
    articles, readers, _, _ = world
    german = next(a for a in articles if a.language == "de")
    reader = next(r for r in readers if "de" not in r.languages)
    assert appeal(reader, german, NOW) == 0.0


def test_the_same_seed_gives_the_same_reaction(world):
    articles, readers, _, _ = world
    first, second = (
        react(readers[0], articles[:10], NOW, "r", np.random.default_rng(5)) for _ in range(2)
    )
    assert first == second
    assert first[0].kind is EventKind.IMPRESSION
