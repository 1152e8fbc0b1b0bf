"""What slots drawn by chance cost in clicks, and which good articles they find.

A newsroom without tastes: every article has one click rate, drawn when it is published and unknown
to the feed, which orders the articles of a day by what is known of their rates. Only the draw and
what it looks at differ between the arms, so that many newsrooms can be compared.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from feed.arrays import Floats, Rows
from feed.config import DAY_S, HOUR_S, RankingConfig
from feed.domain import Article
from feed.features.counters import Counters
from feed.features.ids import IdMap
from feed.features.pool import ArticlePool, PoolBuilder
from feed.ranking.exploration_need import exploration_need
from feed.ranking.explore import draw, plan_exploration
from feed.ranking.live_index import YOUNG_HOURS, build_index
from lab.simulation.feed_days import EYES, PAGE, START, TICK_S
from lab.simulation.position_bias import FOUND, FOUND_CLICKS, interval

RATE, SPREAD = 0.08, 0.8
"""Median click rate of an article that is looked at, and the deviation of its logarithm."""
WARM_DAYS = 1
"""Days at the begin that are not counted."""
NO_PINS: Rows = np.empty(0, np.int64)
ARMS: dict[str, tuple[int, bool]] = {
    "no slot": (0, False),
    "one slot": (1, False),
    "one slot by need": (1, True),
    "two slots": (2, False),
    "two slots by need": (2, True),
}
BASE = "one slot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Newsstand:
    """The articles of a newsroom, with the click rate of each, f64 [articles], and its visits."""

    pool: ArticlePool
    rates: Floats
    visits: Floats
    seed: int


def build_newsstand(seed: int, *, days: int, articles: int, visits: int) -> Newsstand:
    """Return a newsroom; visits and new articles are those of a day."""
    rng = np.random.default_rng(seed)
    builder = PoolBuilder(IdMap())
    for number, at in enumerate(np.sort(rng.uniform(-1, days, (days + 1) * articles)).tolist()):
        published_at = START + at * DAY_S
        builder.add(
            Article(article_id=f"a{number:05d}", title="", published_at=published_at),
            np.zeros(1, np.float32),
            published_at,
        )
    pool = builder.snapshot()
    rates = np.minimum(RATE * np.exp(SPREAD * rng.standard_normal(pool.size)), 0.9)
    times = START + np.sort(rng.uniform(0, days * DAY_S, days * visits))
    return Newsstand(pool=pool, rates=rates, visits=times, seed=seed)


def run_arm(stand: Newsstand, slots: int, *, by_need: bool) -> dict[str, float]:
    """Return clicks a visit, the share never shown, and that of the best quarter found."""
    config = RankingConfig(
        first_page=PAGE, slate_size=2 * PAGE, explore_slots=slots, explore_by_need=by_need
    )
    rng, counters = np.random.default_rng(stand.seed), Counters(stand.pool.ids)
    eyes = (1.0 + np.arange(PAGE)) ** -EYES
    looks, clicks, shown = np.zeros((3, stand.pool.size))
    counted = stand.visits >= START + WARM_DAYS * DAY_S
    gained, ticked_at = 0, -np.inf
    for number, now in enumerate(stand.visits.tolist()):
        if now >= ticked_at + TICK_S:
            index, ticked_at = build_index(stand.pool, counters, now), now
            young = index.newest[index.newest_at > now - YOUNG_HOURS * HOUR_S]
            usual = (clicks.sum() + 1.0) / (looks.sum() + 1.0 / RATE)
        known = (1.0 + clicks[young]) / (1.0 / usual + looks[young])
        ranked = young[np.argsort(-known, kind="stable")]
        pool = index.underexposed
        needs = exploration_need(counters, pool, now) if by_need else np.ones(len(pool))
        page = draw(plan_exploration(ranked, pool, needs, config, NO_PINS), rng, PAGE).rows
        lot = np.random.default_rng((stand.seed, number)).random((2, PAGE))[:, : len(page)]
        seen = eyes[: len(page)]
        clicked = page[(lot[0] < seen) & (lot[1] < stand.rates[page])]
        counters.add_impressions(page, np.full(len(page), now))
        counters.add_clicks(clicked, np.full(len(clicked), now + 1.0), from_feed=True)
        looks[page] += seen
        clicks[clicked] += 1
        shown[page] += 1
        gained += len(clicked) * counted[number]
    own = np.flatnonzero(stand.pool.published_at >= START + WARM_DAYS * DAY_S)
    own = own[stand.pool.published_at[own] < stand.visits[-1] - YOUNG_HOURS * HOUR_S]
    best = own[np.argsort(-stand.rates[own])][: round(FOUND * len(own))]
    return {
        "clicks a visit": gained / counted.sum(),
        "never shown": float((shown[own] == 0).mean()),
        "best quarter found": float((clicks[best] >= FOUND_CLICKS).mean()),
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=6)
    parser.add_argument("--articles", type=int, default=60, help="new ones a day")
    parser.add_argument("--visits", type=int, default=400, help="a day")
    parser.add_argument("--seeds", type=int, default=10, help="how many newsrooms")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for seed in range(options.seeds):
        stand = build_newsstand(
            seed, days=options.days, articles=options.articles, visits=options.visits
        )
        for name, (slots, by_need) in ARMS.items():
            found[name].append(run_arm(stand, slots, by_need=by_need))
    columns = list(found[BASE][0])
    print("| | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name, outcomes in found.items():
        means = [f"{np.mean([one[column] for one in outcomes]):.3f}" for column in columns]
        print(f"| {name} | " + " | ".join(means) + " |")
    print(f"\nLess '{BASE}', paired by newsroom:\n")
    print("| | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name, outcomes in found.items():
        if name != BASE:
            pairs = list(zip(outcomes, found[BASE], strict=True))
            less = [interval(np.array([a[c] - b[c] for a, b in pairs])) for c in columns]
            print(f"| {name} | " + " | ".join(less) + " |")


if __name__ == "__main__":
    main()
