"""Simulated readers with known tastes, and their reactions to a list of articles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
import numpy.typing as npt

from feed.domain import Article, Event, EventKind

HOUR_S = 3600.0
SLATE_SIZE = 12
EXAMINATION_DECAY = 0.93
"""Chance that a reader who looked at one slot looks at the next one too."""
BURST_S = 25 * 60.0
"""How long before the end the story broke, seconds."""
BURST_APPEAL = 0.7
HOURLY_TRAFFIC = np.array(
    [2, 1, 1, 1, 1, 2, 5, 9, 10, 8, 7, 7, 9, 8, 7, 7, 8, 9, 9, 9, 8, 7, 5, 3], dtype=float
)
"""Relative number of visits by hour of the day, UTC."""


@dataclass(frozen=True, slots=True)
class SimulatedReader:
    """A reader whose tastes are known: what a recommender should find out.

    Args:
        user_id: the reader's id; begins with `simulated-`.
        sections: taste by section, 1 for the favourite one down to 0.
        tags: the tags this reader cares for most.
        languages: the languages this reader reads.
        visits_per_day: mean number of visits.
    """

    user_id: str
    sections: dict[str, float]
    tags: frozenset[str]
    languages: frozenset[str]
    visits_per_day: float

    @property
    def description(self) -> str:
        """What this reader likes, in a few words."""
        liked = sorted(self.sections, key=lambda s: -self.sections[s])[:3]
        return f"Simulated reader of {', '.join(liked)} ({'/'.join(sorted(self.languages))})"


def build_readers(
    articles: Sequence[Article], count: int, rng: np.random.Generator
) -> list[SimulatedReader]:
    """Return `count` readers with three favourite sections each and tags from those sections."""
    sections = sorted({a.section for a in articles})
    others = sorted({a.language for a in articles} - {"en"})
    readers = []
    for number in range(count):
        liked = [str(s) for s in rng.choice(sections, size=3, replace=False)]
        own = [a for a in articles if a.section in liked[:2]]
        tags = sorted({t for a in own for t in a.tags if not t.startswith("story:")})
        chosen: list[str] = list(rng.choice(tags, size=min(6, len(tags)), replace=False))
        second = {str(rng.choice(others))} if others and rng.random() < 0.25 else set()
        readers.append(
            SimulatedReader(
                user_id=f"simulated-{number:04d}",
                sections=dict(zip(liked, (1.0, 0.7, 0.4), strict=True)),
                tags=frozenset(str(t) for t in chosen),
                languages=frozenset({"en"} | second),
                visits_per_day=float(rng.gamma(2.0, 2.0)) + 0.5,
            )
        )
    return readers


def appeal(reader: SimulatedReader, article: Article, now: float) -> float:
    """Return the chance in [0, 1] that a reader who looks at an article's headline reads it."""
    if article.language and article.language not in reader.languages:
        return 0.0
    taste = 2.6 * reader.sections.get(article.section, 0.0)
    taste += 1.2 * min(2, len(reader.tags.intersection(article.tags)))
    freshness = exp(-max(0.0, now - article.published_at) / (18 * HOUR_S))
    return 1.0 / (1.0 + exp(3.6 - taste - 1.2 * freshness))


def react(
    reader: SimulatedReader,
    shown: Sequence[Article],
    now: float,
    request_id: str,
    rng: np.random.Generator,
    extra_appeal: dict[str, float] | None = None,
    first_position: int = 0,
) -> list[Event]:
    """Return what a reader does with a slate shown at `now`, in time order.

    The reader looks down the list and gives up with a constant chance at each slot; what is
    looked at is an impression, clicked with the article's appeal, read for a while, and now and
    then liked, saved or shared. `extra_appeal` is added to the chance of some articles.
    """
    events: list[Event] = []
    at = now
    for offset, article in enumerate(shown):
        if offset and rng.random() > EXAMINATION_DECAY:
            break
        at += float(rng.uniform(0.5, 2.0))
        chance = appeal(reader, article, now) + (extra_appeal or {}).get(article.article_id, 0.0)
        kinds: list[tuple[EventKind, float | None]] = [(EventKind.IMPRESSION, None)]
        if rng.random() < chance:
            kinds += _reading(chance, rng)
        for kind, dwell_s in kinds:
            events.append(
                Event(
                    event_id=f"{request_id}-{first_position + offset}-{kind.value}",
                    user_id=reader.user_id,
                    article_id=article.article_id,
                    kind=kind,
                    occurred_at=at,
                    dwell_s=dwell_s,
                    request_id=request_id,
                    position=first_position + offset,
                    context={"platform": "simulated", "device": "mobile"},
                )
            )
            at += dwell_s or 0.2
    return events


def _reading(chance: float, rng: np.random.Generator) -> list[tuple[EventKind, float | None]]:
    dwell_s = float(rng.lognormal(3.0 + chance, 0.8))
    kinds: list[tuple[EventKind, float | None]] = [
        (EventKind.CLICK, None),
        (EventKind.READ, round(dwell_s, 1)),
    ]
    mood = rng.random()
    if mood < 0.12 * (0.5 + chance):
        kinds.append((EventKind.LIKE, None))
    elif mood > 0.99:
        kinds.append((EventKind.DISLIKE, None))
    if rng.random() < 0.04:
        kinds.append((EventKind.SAVE, None))
    if rng.random() < 0.02:
        kinds.append((EventKind.SHARE, None))
    return kinds


def simulate_history(
    articles: Sequence[Article],
    readers: Sequence[SimulatedReader],
    start: float,
    end: float,
    rng: np.random.Generator,
    burst_article_id: str | None = None,
) -> list[Event]:
    """Return what the readers did in [start, end) with an editor's front page, oldest first.

    The front page is a draw among the articles published by then, fresh and much-read ones
    first. If `burst_article_id` is given, a story breaks `BURST_S` before `end`: many readers
    come by just for it, and look at little else.
    """
    visits = sorted(
        (at, index, False)
        for index, reader in enumerate(readers)
        for at in _visit_times(reader, start, end, rng)
    )
    if burst_article_id is not None:
        called = rng.integers(len(readers), size=max(60, len(readers) // 4))
        times = rng.uniform(end - BURST_S, end - 60, size=len(called))
        visits = sorted(
            visits + [(float(t), int(i), True) for t, i in zip(times, called, strict=True)]
        )
    desk = _FrontPage(articles)
    read: set[tuple[int, str]] = set()
    events: list[Event] = []
    for number, (at, index, came_for_it) in enumerate(visits):
        top = burst_article_id if came_for_it else None
        page = [
            a
            for a in desk.draw(at, readers[index].languages, top, rng)
            if (index, a.article_id) not in read
        ]
        lift = {top: BURST_APPEAL} if top else None
        done = react(readers[index], page, at, f"simulated-{number:06d}", rng, lift)
        done = [e for e in done if e.occurred_at < end]
        clicks = [e.article_id for e in done if e.kind is EventKind.CLICK]
        read.update((index, article_id) for article_id in clicks)
        desk.count(clicks)
        events += done
    return sorted(events, key=lambda e: e.occurred_at)


def _visit_times(
    reader: SimulatedReader, start: float, end: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    mean = reader.visits_per_day * (end - start) / (24 * HOUR_S)
    peak = float(HOURLY_TRAFFIC.max() / HOURLY_TRAFFIC.mean())
    times = rng.uniform(start, end, size=rng.poisson(mean * peak))
    hours = (times // HOUR_S % 24).astype(int)
    kept: npt.NDArray[np.float64] = times[
        rng.random(times.size) < HOURLY_TRAFFIC[hours] / HOURLY_TRAFFIC.max()
    ]
    return kept


class _FrontPage:
    """An editor's front page: a random draw that prefers fresh and much-read articles."""

    def __init__(self, articles: Sequence[Article]) -> None:
        self._articles = list(articles)
        self._published = np.array([a.published_at for a in articles])
        self._clicks = np.zeros(len(articles))
        self._rows = {a.article_id: row for row, a in enumerate(articles)}
        self._languages = np.array([a.language for a in articles])

    def count(self, article_ids: Sequence[str]) -> None:
        for article_id in article_ids:
            self._clicks[self._rows[article_id]] += 1

    def draw(
        self, at: float, languages: frozenset[str], top: str | None, rng: np.random.Generator
    ) -> list[Article]:
        readable = np.isin(self._languages, sorted(languages)) & (self._published < at)
        age = np.maximum(0.0, at - self._published)
        worth = np.exp(-age / (10 * HOUR_S)) * (1.0 + 0.05 * self._clicks) + 0.02
        noisy = np.log(worth) + rng.gumbel(size=worth.size)
        noisy[~readable] = -np.inf
        order = np.argsort(-noisy)[: min(SLATE_SIZE, int(readable.sum()))]
        page = [self._articles[row] for row in order]
        if top is not None and self._articles[self._rows[top]].published_at < at:
            lead = self._articles[self._rows[top]]
            page = [lead, *(a for a in page if a.article_id != top)][:3]
        return page
