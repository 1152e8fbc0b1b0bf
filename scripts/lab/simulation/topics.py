#!/usr/bin/env python
"""Measures what choosing topics is worth to new readers: their first pages with and without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from feed.arrays import Floats
from feed.config import DAY_S, HOUR_S, RankingConfig
from feed.domain import EventKind
from feed.features.profile import PreferenceCodes, with_preferences
from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import (
    EXAMINATION_DECAY,
    SimulatedReader,
    appeal,
    build_readers,
    react,
)
from lab.simulation.bubble import ROUNDS_S, START, Moment, Past, World
from lab.simulation.position_bias import interval

DEPTH = 10
"""Places that nDCG looks at."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How many sections a new reader chooses, the best liked first; each is wrong by chance."""

    name: str
    topics: int
    wrong: float = 0.0


CHOICES = (
    Choice("nothing: skipped", 0),
    Choice("the favourite section", 1),
    Choice("two sections", 2),
    Choice("three sections", 3),
    Choice("two, each wrong by 1/3", 2, 1 / 3),
)


def visit(
    world: World, moment: Moment, reader: SimulatedReader, past: Past, sections: Sequence[str]
) -> tuple[float, float]:
    """Let a reader who follows some sections read a page; return clicks and nDCG to be expected.

    Clicks are the sum over the page of the chance that the reader looks at a place times that of
    reading what stands there; the gain of an article in nDCG is the latter, and the ideal page has
    the best of all live articles. The reader's chance depends on reader and visit alone.
    """
    codes = moment.view.pool.sections.rows([*sections])
    followed = PreferenceCodes(followed_sections=codes[codes >= 0])
    profile = with_preferences(world.profile(past, moment.now), followed)
    page = world.articles(world.page(moment, profile))
    live = np.flatnonzero(moment.view.pool.published_at < moment.now)
    gains = np.array([appeal(reader, article, moment.now) for article in page])
    best = np.array([appeal(reader, article, moment.now) for article in world.articles(live)])
    chance = np.random.default_rng([int(reader.user_id[-4:]), int(moment.now)])
    for event in react(reader, page, moment.now, f"{reader.user_id}-{moment.now:.0f}", chance):
        if event.kind is EventKind.CLICK:
            past.clicks[event.article_id] = event.occurred_at
        if event.kind is not EventKind.IMPRESSION:
            past.events.append(event)
    return float(gains @ EXAMINATION_DECAY ** np.arange(len(gains))), _ndcg(gains, best)


def _ndcg(gains: Floats, best: Floats) -> float:
    ideal = -np.sort(-best)[:DEPTH]
    discounts = 1.0 / np.log2(np.arange(DEPTH) + 2.0)
    found = gains[:DEPTH]
    return float(found @ discounts[: len(found)] / (ideal @ discounts[: len(ideal)]))


def choose(reader: SimulatedReader, choice: Choice) -> list[str]:
    """Return the sections that a reader chooses."""
    lot = np.random.default_rng(int(reader.user_id[-4:]))
    liked = sorted(reader.sections, key=lambda name: -reader.sections[name])[: choice.topics]
    others = sorted({a.section for a in load_articles(START)} - set(reader.sections))
    return [str(lot.choice(others)) if lot.random() < choice.wrong else name for name in liked]


def run_newsroom(seed: int, days: int, newcomers: int) -> Floats:
    """Return the mean clicks and nDCG of each visit, f64 [choices, visits, 2].

    A newsroom that has served its own readers for some days gets new ones, of whom none changes
    what the others get.

    Args:
        seed: of the newsroom.
        days: before the new readers come.
        newcomers: how many.
    """
    world = World(RankingConfig(), readers=30, per_day=150, seed=seed)
    for day in range(days):
        world.run_day(day)
    world.publish(days)
    samples = [a for a in load_articles(START) if a.language == "en"]
    people = build_readers(samples, newcomers, np.random.default_rng(seed + 100))
    pasts = {(choice, one.user_id): Past() for choice in CHOICES for one in people}
    found = np.zeros((len(CHOICES), len(ROUNDS_S), 2))
    for v, offset in enumerate(ROUNDS_S):
        at = START + days * DAY_S + offset
        world.run_round(world.moment(at), defaultdict(list))
        moment = world.moment(at + HOUR_S)
        for i, choice in enumerate(CHOICES):
            for one in people:
                past, sections = pasts[choice, one.user_id], choose(one, choice)
                found[i, v] += visit(world, moment, one, past, sections)
    return found / len(people)


@click.command()
@click.option("--newsrooms", default=20, show_default=True, help="Newsrooms, seeds 1, 2 ...")
@click.option("--days", default=3, show_default=True, help="Days before the new readers come.")
@click.option("--newcomers", default=30, show_default=True, help="New readers in each newsroom.")
def main(newsrooms: int, days: int, newcomers: int) -> None:
    """Print clicks and nDCG of new readers' first pages by what they chose.

    Differences are paired; their 95 % intervals are over newsrooms, by Student's t.
    """
    found = np.array([run_newsroom(1 + n, days, newcomers) for n in range(newsrooms)])
    table = Table("chosen", "page", "clicks", "more than skipped", f"nDCG@{DEPTH}", "more")
    for i, choice in enumerate(CHOICES):
        for v in range(len(ROUNDS_S)):
            row = [choice.name, str(v + 1)]
            for measure in range(2):
                own = found[:, i, v, measure]
                row += [f"{own.mean():.3f}", interval(own - found[:, 0, v, measure]) if i else ""]
            table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
