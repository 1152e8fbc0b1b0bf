#!/usr/bin/env python
"""Measures the filter bubble over simulated months: how varied is what readers see, day by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from feed.arrays import Floats, Rows
from feed.config import DAY_S, HOUR_S, RankingConfig
from feed.domain import Article, Event, EventKind, Mode
from feed.features.interactions import KIND_CODE
from feed.features.pool import PoolBuilder
from feed.features.profile import Profile, build_profile
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.features.trending import TrendingDetector, TrendingState
from feed.models.bundle import empty_bundle
from feed.models.view import RankingView, build_view
from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import SimulatedReader, build_readers, react
from feed.ranking.calibration import divergence, section_entropy
from feed.ranking.context import RankingContext
from feed.ranking.live_index import LiveIndex, build_index
from feed.ranking.pipeline import recommend

START = 1_700_000_000.0
ROUNDS_S = (8 * HOUR_S, 13 * HOUR_S, 20 * HOUR_S)
"""When readers come, counted from the beginning of the day."""
HISTORY, PREVIOUS = 200, 10
"""Events of a reader that count, and clicks before a click that it is paired with."""
WINDOW_DAYS = 7
"""A row of the table is about so many days."""


@dataclass(slots=True)
class Past:
    """What one reader has done: events but impressions, oldest first, and clicks."""

    events: list[Event] = field(default_factory=list)
    clicks: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """What all feeds of a moment have in common; `now` in epoch seconds."""

    now: float
    view: RankingView
    trending: TrendingState
    index: LiveIndex


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What one day's pages were like.

    Attributes:
        own: entropy of the sections that one reader saw that day, nats, mean over readers.
        all: entropy of the sections that all of them saw together.
        apart: KL of what a reader saw from that reader's true taste, nats, mean over readers.
        clicks: per page.
    """

    own: float
    all: float
    apart: float
    clicks: float


class World:
    """A newsroom and its readers, served by the ranking itself day after day.

    The day-one weights rank, and each reader's history and the counters are what the feed itself
    brought about. Each day has `per_day` articles, drawn from the sample articles in English and
    given new names; they have no vectors, so a taste can only be found in sections, sources and
    what is read together.

    Args:
        config: how feeds are ranked.
        readers: how many.
        per_day: articles a day.
        seed: of the newsroom, the tastes, and the readers' chance.
    """

    def __init__(self, config: RankingConfig, readers: int, per_day: int, seed: int) -> None:
        self._config, self._per_day = config, per_day
        self._desk, self._rng = np.random.default_rng(seed), np.random.default_rng(seed + 2)
        samples = [a for a in load_articles(START) if a.language == "en"]
        self._samples = [replace(a, expires_at=None) for a in samples]
        people = build_readers(samples, readers, np.random.default_rng(seed + 1))
        self._readers = [replace(one, languages=frozenset({"en"})) for one in people]
        self._pasts = {one.user_id: Past() for one in self._readers}
        self._builder = PoolBuilder()
        self._signals = LiveSignals(self._builder.ids)
        self._detector = TrendingDetector(config)
        self._articles: dict[str, Article] = {}

    def run_day(self, day: int) -> DayFigures:
        """Publish a day's articles, serve every reader, and let them read."""
        self.publish(day)
        seen: dict[str, list[Rows]] = defaultdict(list)
        clicks = 0
        for offset in ROUNDS_S:
            moment = self.moment(START + day * DAY_S + offset)
            clicks += self.run_round(moment, seen)
        pages = len(ROUNDS_S) * len(self._readers)
        return self._figures(moment.view, seen, clicks / pages)

    def run_round(self, moment: Moment, seen: dict[str, list[Rows]]) -> int:
        """Serve every reader once and let them read; return how many articles were clicked.

        Args:
            moment: when.
            seen: pages by reader, to which this round's are added.
        """
        clicks = 0
        for reader in self._readers:
            page = self.page(moment, self.profile(self._pasts[reader.user_id], moment.now))
            clicks += self._read(reader, page, moment.now)
            seen[reader.user_id].append(page)
        return clicks

    def moment(self, now: float) -> Moment:
        """Return what all feeds of a moment (epoch seconds) have in common."""
        view = build_view(self._builder.snapshot(now), empty_bundle())
        trending = self._detector.update(self._signals.counters, view.pool, now)
        return Moment(now, view, trending, build_index(view.pool, self._signals.counters, now))

    def page(self, moment: Moment, profile: Profile) -> Rows:
        """Return the first page of a reader, rows of the pool."""
        context = RankingContext(
            view=moment.view,
            signals=self._signals,
            trending=moment.trending,
            request=RequestContext(now=moment.now, mode=Mode.PERSONALIZED),
            rng=self._rng,
            profile=profile,
            index=moment.index,
            with_reasons=False,
        )
        return recommend(context, self._config).rows[: self._config.first_page]

    def articles(self, rows: Rows) -> list[Article]:
        """Return the articles of some rows of the pool."""
        return [self._articles[self._builder.ids.ids[row]] for row in rows.tolist()]

    def publish(self, day: int) -> None:
        """Add a day's articles, which come in the course of it."""
        start = START + day * DAY_S
        for number in range(self._per_day):
            sample = self._samples[int(self._desk.integers(len(self._samples)))]
            at = start + float(self._desk.uniform(-4 * HOUR_S, 20 * HOUR_S))
            article = replace(sample, article_id=f"day{day}-{number}", published_at=at)
            self._articles[article.article_id] = article
            self._builder.add(article, added_at=at)

    def profile(self, past: Past, now: float) -> Profile:
        """Return what ranking knows of a reader with a past."""
        events, ids = past.events[-HISTORY:], self._builder.ids
        return build_profile(
            ids.rows([e.article_id for e in events]),
            np.array([KIND_CODE[e.kind] for e in events], np.int8),
            np.array([e.occurred_at for e in events], np.float64),
            np.array([np.nan if e.dwell_s is None else e.dwell_s for e in events]),
            now=now,
            config=self._config,
            read_rows=ids.rows([*past.clicks]),
        )

    def _read(self, reader: SimulatedReader, page: Rows, now: float) -> int:
        """Let a reader look at a page; return how many articles of it they clicked."""
        shown = self.articles(page)
        request_id = f"{reader.user_id}-{now:.0f}"
        events = react(reader, shown, now, request_id, self._rng)
        past, payloads, clicks = self._pasts[reader.user_id], [], 0
        for event in events:
            payload = {
                "kind": event.kind,
                "article_id": event.article_id,
                "occurred_at": event.occurred_at,
                "dwell_s": event.dwell_s,
                "request_id": event.request_id,
            }
            if event.kind is EventKind.CLICK:
                clicks += 1
                payload |= {"first": True, "previous": [*past.clicks.items()][: -PREVIOUS - 1 : -1]}
                past.clicks[event.article_id] = event.occurred_at
            if event.kind is not EventKind.IMPRESSION:
                past.events.append(event)
            payloads.append(payload)
        self._signals.apply_events(payloads)
        return clicks

    def _figures(self, view: RankingView, seen: dict[str, list[Rows]], clicks: float) -> DayFigures:
        pool, size = view.pool, len(view.pool.sections)
        counts = {
            user: np.bincount(pool.section[np.concatenate(pages)], minlength=size).astype(float)
            for user, pages in seen.items()
        }
        apart = [
            divergence(pool.section[np.concatenate(pages)], self._taste(user, view))
            for user, pages in seen.items()
        ]
        return DayFigures(
            own=float(np.mean([section_entropy(one) for one in counts.values()])),
            all=section_entropy(np.sum([*counts.values()], axis=0)),
            apart=float(np.mean(apart)),
            clicks=clicks,
        )

    def _taste(self, user: str, view: RankingView) -> Floats:
        """Return the shares that a reader's true taste gives the sections."""
        reader = next(one for one in self._readers if one.user_id == user)
        tastes = np.zeros(len(view.pool.sections))
        for name, taste in reader.sections.items():
            code = view.pool.sections.row(name)
            if code >= 0:
                tastes[code] = taste
        shares: Floats = tastes / tastes.sum()
        return shares


@click.command()
@click.option("--days", default=90, show_default=True, help="Days simulated.")
@click.option("--readers", default=30, show_default=True, help="Readers, three pages a day each.")
@click.option("--per-day", default=150, show_default=True, help="Articles a day.")
@click.option("--weights", default="0,0.1,0.3", show_default=True, help="Weights of calibration.")
@click.option("--seed", default=7, show_default=True, help="Of newsroom and readers.")
def main(days: int, readers: int, per_day: int, weights: str, seed: int) -> None:
    """Print what readers see over simulated months, with and without calibration.

    A row is the mean of a week's days. Every weight has the same newsroom and readers.
    """
    table = Table(
        "calibration", "days", "entropy, one reader", "entropy, all", "KL from taste", "clicks/page"
    )
    for weight in map(float, weights.split(",")):
        world = World(RankingConfig(calibration=weight), readers, per_day, seed)
        figures = [world.run_day(day) for day in range(days)]
        for first in _weeks(days):
            table.add_row(f"{weight:g}", *_row(first, figures[first : first + WINDOW_DAYS]))
    Console().print(table)


def _weeks(days: int) -> list[int]:
    """Return the first days of the first week, of one in the middle of each month, of the last."""
    last = max(days - WINDOW_DAYS, 0)
    return sorted({0, *range(14, last, 30), last})


def _row(first: int, days: Sequence[DayFigures]) -> tuple[str, ...]:
    def mean(name: str) -> str:
        return f"{np.mean([getattr(day, name) for day in days]):.3f}"

    span = f"{first + 1} to {first + len(days)}"
    return span, mean("own"), mean("all"), mean("apart"), mean("clicks")


if __name__ == "__main__":
    main()
