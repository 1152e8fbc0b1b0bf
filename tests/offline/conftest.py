"""Worlds whose answer is known, as event logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from feed.domain import Article
from feed.features.ids import IdMap
from feed.features.interactions import CLICK, EventColumns
from feed.offline.event_log import EventLog, Impressions, first_appearance, kinds_of, sort_events

T0 = 1_700_000_000.0
HOUR = 3600.0


@pytest.fixture(scope="session")
def make_world() -> Callable[..., EventLog]:
    """Return the maker of worlds."""
    return build_world


def build_world(
    *,
    seed: int = 0,
    readers: int = 60,
    lists: int = 900,
    length: int = 8,
    hours: float = 48.0,
    taste: float = 3.0,
    appeal: float = 0.0,
) -> EventLog:
    """Return a log in which each reader likes one of two sections.

    Every list shows `length` of the 40 newest articles; one is clicked, with odds
    `exp(taste * own_section + appeal * quality of the article)`. Without taste and appeal every
    click is drawn evenly.
    """
    rng = np.random.default_rng(seed)
    articles = IdMap(f"a{i}" for i in range(160))
    sections = np.arange(160) % 2
    quality = rng.normal(size=160)
    published = T0 + np.linspace(-10 * HOUR, hours * HOUR, 160)
    at = np.sort(T0 + rng.uniform(0, hours * HOUR, lists))
    users = rng.integers(readers, size=lists)
    shown = np.empty((lists, length), np.int64)
    clicked = np.zeros((lists, length), bool)
    for i in range(lists):
        there = np.flatnonzero(published <= at[i])[-40:]
        shown[i] = rng.choice(there, length, replace=False)
        odds = np.exp(taste * (sections[shown[i]] == users[i] % 2) + appeal * quality[shown[i]])
        clicked[i, rng.choice(length, p=odds / odds.sum())] = True
    impressions = Impressions(
        keys=np.arange(lists) + 1000,
        users=users,
        at=at,
        pages=np.full(lists, -1, np.int64),
        devices=np.zeros(lists, np.int64),
        subscribers=np.full(lists, -1, np.int64),
        starts=np.arange(lists + 1) * length,
        shown=shown.ravel(),
        clicked=clicked.ravel(),
    )
    columns = EventColumns(
        users=users,
        articles=shown[clicked],
        kinds=kinds_of(lists, CLICK),
        occurred_at=at + 20.0,
        dwell_s=np.full(lists, np.nan),
    )
    yes, no = np.ones(lists, bool), np.zeros(lists, bool)
    catalogue = tuple(
        Article(
            article_id=f"a{i}",
            title="",
            published_at=float(published[i]),
            section=["red", "blue"][i % 2],
        )
        for i in range(160)
    )
    return EventLog(
        name="world",
        articles=articles,
        users=IdMap(f"u{i}" for i in range(readers)),
        events=sort_events(columns, yes, no, yes),
        impressions=impressions,
        first_seen_at=first_appearance(
            160, impressions, columns, dict(enumerate(published.tolist()))
        ),
        catalogue=catalogue,
    )


@pytest.fixture(scope="session")
def scramble_future() -> Callable[[EventLog, float, int], EventLog]:
    """Return what permutes everything that happens at or after a moment."""
    return scramble


def scramble(log: EventLog, at: float, seed: int) -> EventLog:
    """Return the log with users, articles and clicks of everything from `at` on permuted."""
    rng = np.random.default_rng(seed)
    views, columns = log.impressions, log.events.columns
    first = int(np.searchsorted(views.at, at))
    later = np.arange(views.starts[first], views.starts[-1])
    mixed = rng.permutation(later)
    shown, clicked, users = views.shown.copy(), views.clicked.copy(), views.users.copy()
    shown[later], clicked[later] = shown[mixed], clicked[rng.permutation(later)]
    users[first:] = rng.permutation(users[first:])
    event = np.flatnonzero(columns.occurred_at >= at)
    articles, people = columns.articles.copy(), columns.users.copy()
    articles[event] = rng.permutation(articles[event])
    people[event] = rng.permutation(people[event])
    return replace(
        log,
        impressions=replace(views, shown=shown, clicked=clicked, users=users),
        events=replace(log.events, columns=replace(columns, articles=articles, users=people)),
    )
