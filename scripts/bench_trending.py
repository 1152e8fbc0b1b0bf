#!/usr/bin/env python3
"""How often the trending label is false, and how soon it sees a planted burst, by simulation.

Three worlds of Poisson readers in which nothing trends: constant rates; rates that follow the
hour of the day; and constant rates on a site that replaces every article once a day. Then bursts:
one article's rate multiplied, for articles of several usual rates.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.domain import Article
from feed.features.counters import HALF_LIVES_S
from feed.features.pool import ArticlePool, PoolBuilder
from feed.features.trending import TrendingDetector, TrendingState

Floats = npt.NDArray[np.float64]

TICK_S = 30.0
DAY_S = 86400.0


class PoissonWorld:
    """Counters of a site whose readers come by known rates (readers per second, per article)."""

    def __init__(
        self, articles: int, seed: int, *, rhythm: float = 0.0, churn: bool = False
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.rates = self.draw_rates(articles)
        self.rhythm, self.churn = rhythm, churn
        self.sums = self.rates[:, None] * np.array(HALF_LIVES_S) / np.log(2)
        self.born = np.zeros(articles)
        if churn:
            self.born = self.rng.uniform(-DAY_S, 0, articles)
            self.sums *= 1 - np.exp2(self.born[:, None] / np.array(HALF_LIVES_S))
        else:
            self.born -= 30 * DAY_S
        self.now, self.began_at = 0.0, -30 * DAY_S
        self.pool = self.build_pool()

    def draw_rates(self, count: int) -> Floats:
        """Return usual rates: log-normal, median 4 readers an hour, 2 % above 100 an hour."""
        rates: Floats = np.exp(self.rng.normal(np.log(4 / 3600), 1.6, count))
        return rates

    def build_pool(self) -> ArticlePool:
        """Return the pool with the present ages."""
        builder = PoolBuilder()
        for number, born in enumerate(self.born):
            builder.add(
                Article(article_id=f"a{number}", title="", published_at=born), None, born or 1.0
            )
        return builder.snapshot()

    def step(self) -> None:
        """Let one tick pass."""
        self.now += TICK_S
        level = 1 + self.rhythm * np.sin(2 * np.pi * self.now / DAY_S)
        readers = self.rng.poisson(self.rates * level * TICK_S)
        self.sums *= np.exp2(-TICK_S / np.array(HALF_LIVES_S))
        self.sums += readers[:, None]
        if self.churn:
            self.replace_old()

    def replace_old(self) -> None:
        """Put a new article in the place of each that is a day old."""
        old = np.flatnonzero(self.now - self.born >= DAY_S)
        if old.size:
            self.sums[old], self.born[old] = 0.0, self.now
            self.rates[old] = self.draw_rates(old.size)
            self.pool.published_at[old] = self.pool.first_seen_at[old] = self.now

    def clicks(self, rows: npt.NDArray[np.int64], now: float) -> Floats:
        """Return the decayed readers of rows, as the counters would."""
        del now
        taken: Floats = self.sums[rows]
        return taken

    def site_clicks(self, now: float) -> Floats:
        """Return the decayed readers of the site, as the counters would."""
        del now
        total: Floats = self.sums.sum(axis=0)
        return total


def labels(state: TrendingState) -> set[str]:
    """Return the ids that carry the label."""
    return {entry.article_id for entry in state.entries if entry.labelled}


def measure_false_alarms(world: PoissonWorld, days: float) -> float:
    """Return new labels per day in a world where nothing trends."""
    detector, on, alarms = TrendingDetector(), set[str](), 0
    for _ in range(int(days * DAY_S / TICK_S)):
        world.step()
        now_on = labels(detector.update(world, world.pool, world.now))
        alarms += len(now_on - on)
        on = now_on
    return alarms / days


def measure_delay(per_hour: float, factor: float, seed: int) -> float | None:
    """Return minutes from the start of a burst to its label, None if four hours do not do."""
    world = PoissonWorld(500, seed)
    detector = TrendingDetector()
    world.rates[0] = per_hour / 3600
    world.sums[0] = world.rates[0] * np.array(HALF_LIVES_S) / np.log(2)
    for _ in range(240):
        world.step()
    world.rates[0] *= factor
    for tick in range(480):
        world.step()
        if "a0" in labels(detector.update(world, world.pool, world.now)):
            return (tick + 1) * TICK_S / 60
    return None


def measure(articles: int, days: float, bursts: int, seed: int) -> dict[str, Any]:
    """Return every figure, ready for JSON."""
    worlds = {
        "constant": PoissonWorld(articles, seed),
        "daily rhythm (x7 from night to day)": PoissonWorld(articles, seed, rhythm=0.75),
        "articles replaced daily": PoissonWorld(articles, seed, churn=True),
    }
    false_labels = {name: measure_false_alarms(world, days) for name, world in worlds.items()}
    delays = []
    for per_hour, factor in ((2, 20), (10, 5), (10, 10), (60, 3), (60, 5), (300, 3)):
        found = [measure_delay(per_hour, factor, seed + i) for i in range(bursts)]
        seen = [d for d in found if d is not None]
        delays.append(
            {
                "readers_per_hour": per_hour,
                "factor": factor,
                "found_share": len(seen) / bursts,
                "median_delay_minutes": float(np.median(seen)) if seen else None,
            }
        )
    return {
        "articles": articles,
        "days": days,
        "seed": seed,
        "false_labels_per_day": false_labels,
        "bursts": delays,
    }


def main() -> None:
    """Print the figures, and write them with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--articles", type=int, default=500, help="live articles (500)")
    parser.add_argument("--days", type=float, default=10, help="simulated days per world (10)")
    parser.add_argument("--bursts", type=int, default=20, help="bursts of each size (20)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    figures = measure(arguments.articles, arguments.days, arguments.bursts, arguments.seed)
    print(f"False labels a day, {arguments.articles} live articles, {arguments.days:g} days:")
    for name, rate in figures["false_labels_per_day"].items():
        print(f"  {name:38s} {rate:8.2f}")
    print("Planted bursts: usual readers/hour, factor, share found in 4 h, median delay")
    for burst in figures["bursts"]:
        delay = burst["median_delay_minutes"]
        print(
            f"  {burst['readers_per_hour']:5d}  x{burst['factor']:<3d} {burst['found_share']:6.0%}"
            f"   {'-' if delay is None else f'{delay:.1f} min'}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
