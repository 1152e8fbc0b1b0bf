"""What the demo loads and its readers: the built-in newsroom, or a published data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from feed.domain import Article, Event, EventKind
from feed.ingest.documents import Documents
from feed.ingest.published import documents_from_log
from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import HOUR_S, SimulatedReader, build_readers, react, simulate_history
from feed.offline.datasets import read_dataset

Respond = Callable[[str, Sequence[str], float, str, np.random.Generator], list[Event]]
"""(user_id, article ids shown, now, request_id, rng) -> what the visitor does."""

HISTORY_HOURS = 48.0
VISITOR_CLICKS = 0.1
EVENT_DAYS = 10.0
IMPRESSION_HOURS = 48.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A newsroom for the demo.

    `readers` maps user ids to what is known of them; `tour_reader` reads `tour_reads` in the
    tour; `respond` simulates a visit; `about` says where all of it comes from. `dataset` is the
    layout and directory that the offline comparison reads (None: the service's own log).
    """

    about: str
    articles: list[Article]
    events: list[Event]
    readers: dict[str, str]
    tour_reader: str
    tour_reads: tuple[str, ...]
    respond: Respond
    dataset: tuple[str, str] | None = None


def build_newsroom(now: float, reader_count: int, seed: int = 7) -> World:
    """Return the built-in newsroom, two days of simulated reading behind it."""
    rng = np.random.default_rng(seed)
    articles = load_articles(now)
    readers = build_readers(articles, reader_count, rng)
    burst = _breaking_story(articles, now)
    start = now - HISTORY_HOURS * HOUR_S
    events = simulate_history(articles, readers, start, now, rng, burst.article_id)
    tour = _quiet_reader(readers, events)
    return World(
        about=f"{len(articles)} sample articles, made with generative AI, "
        f"and {len(readers)} simulated readers",
        articles=articles,
        events=events,
        readers={r.user_id: r.description for r in readers},
        tour_reader=tour.user_id,
        tour_reads=_new_interest(articles, tour),
        respond=_newsroom_response(articles, readers),
    )


def read_published(name: str, directory: Path, now: float) -> World:
    """Return the world of a published data set in a directory.

    Raises:
        ArchiveError: the directory does not hold such a data set.
    """
    log, _ = read_dataset(name, directory)
    documents = documents_from_log(
        log, now, event_days=EVENT_DAYS, impression_hours=IMPRESSION_HOURS
    )
    about = (
        f"{name}: {len(documents.articles)} articles and {len(documents.events)} events, the last "
        f"{EVENT_DAYS:g} days of the data set, moved in time to end now"
    )
    return replace(build_published(about, documents, now), dataset=(name, str(directory)))


def build_published(about: str, documents: Documents, now: float) -> World:
    """Return a world of a published data set's articles and events.

    Its readers really read; visits during the tour are simulated: a visitor looks down the page
    and clicks with the same small chance whatever stands there.
    """
    clicks = [e for e in documents.events if e.kind is EventKind.CLICK]
    counts = Counter(e.user_id for e in clicks)
    tour = min(counts, key=lambda user_id: (abs(counts[user_id] - 20), user_id))
    last = {e.user_id: e.occurred_at for e in documents.events}
    active = sorted(last, key=lambda user_id: -last[user_id])[:400]
    readers = {u: f"Reader {u} of the data set, {counts[u]} clicks" for u in {*active, tour}}
    return World(
        about=about,
        articles=documents.articles,
        events=documents.events,
        readers=readers,
        tour_reader=tour,
        tour_reads=_unread_of_one_kind(documents.articles, clicks, tour, now),
        respond=_indifferent_visitor,
    )


def _unread_of_one_kind(
    articles: Sequence[Article], clicks: Sequence[Event], reader: str, now: float
) -> tuple[str, ...]:
    """Three recent articles, read by others, of a section new to the reader where there are any."""
    read = {e.article_id for e in clicks if e.user_id == reader}
    known = {a.section for a in articles if a.article_id in read and a.section}
    popularity = Counter(e.article_id for e in clicks)
    fresh = [
        a
        for a in articles
        if a.article_id not in read and now - a.published_at < HISTORY_HOURS * HOUR_S
    ]
    sections = Counter(a.section for a in fresh if a.section and a.section not in known)
    if sections:
        section = sections.most_common(1)[0][0]
        fresh = [a for a in fresh if a.section == section]
    fresh.sort(key=lambda a: (-popularity[a.article_id], a.article_id))
    return tuple(a.article_id for a in fresh[10:13] or fresh[:3])


def _indifferent_visitor(
    user_id: str, shown: Sequence[str], now: float, request_id: str, rng: np.random.Generator
) -> list[Event]:
    events = []
    for position, article_id in enumerate(shown):
        kinds: list[tuple[EventKind, float | None]] = [(EventKind.IMPRESSION, None)]
        if rng.random() < VISITOR_CLICKS:
            kinds += [(EventKind.CLICK, None), (EventKind.READ, float(rng.lognormal(3.0, 1.0)))]
        events += [
            Event(
                event_id=f"{request_id}-{position}-{kind.value}",
                user_id=user_id,
                article_id=article_id,
                kind=kind,
                occurred_at=now,
                dwell_s=dwell_s,
                request_id=request_id,
                position=position,
                context={"platform": "simulated"},
            )
            for kind, dwell_s in kinds
        ]
    return events


def _breaking_story(articles: Sequence[Article], now: float) -> Article:
    """The English article published nearest to an hour and a half ago."""
    english = [a for a in articles if a.language == "en"]
    return min(english, key=lambda a: abs(now - a.published_at - 1.5 * HOUR_S))


def _quiet_reader(readers: Sequence[SimulatedReader], events: Sequence[Event]) -> SimulatedReader:
    """A reader with few events: on whom three articles make a difference that shows."""
    counts = {r.user_id: 0 for r in readers}
    for event in events:
        counts[event.user_id] += 1
    return min(readers, key=lambda r: abs(counts[r.user_id] - 20))


def _new_interest(articles: Sequence[Article], reader: SimulatedReader) -> tuple[str, ...]:
    """Three older articles of one section that the reader did not care for until now."""
    readable = [a for a in articles if a.language == "en" and a.section not in reader.sections]
    section = min(a.section for a in readable)
    oldest = sorted((a for a in readable if a.section == section), key=lambda a: a.published_at)
    return tuple(a.article_id for a in oldest[:3])


def _newsroom_response(articles: Sequence[Article], readers: Sequence[SimulatedReader]) -> Respond:
    by_id = {a.article_id: a for a in articles}
    by_user = {r.user_id: r for r in readers}

    def respond(
        user_id: str, shown: Sequence[str], now: float, request_id: str, rng: np.random.Generator
    ) -> list[Event]:
        page = [by_id[article_id] for article_id in shown if article_id in by_id]
        return react(by_user[user_id], page, now, request_id, rng)

    return respond
