#!/usr/bin/env python3
"""How often the trending label is false, how soon it sees a burst and what buys it, by simulation.

Worlds of Poisson readers in which nothing trends: constant rates; rates that follow the hour of
the day; and constant rates on a site that replaces every article once a day, the last two also with
every four articles telling one story, whose popularity they share. Then bursts:
one article's rate multiplied, for articles of several usual rates. Readers come from networks:
five carriers with 10, 8, 6, 5 and 5 % of them, the others from 3,000 networks of Zipf-like sizes;
30 % of the usual readers are fresh (first seen moments ago), and 80 % of a burst's. Everything is
judged twice on the same readers, with the bound on networks and without. Last, attacks: anonymous
ids from a few networks read the same articles within minutes, each id one of the four articles of a
story where there are stories.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats
from feed.domain import Article
from feed.features.counters import HALF_LIVES_S
from feed.features.network_bound import NetworkBound
from feed.features.pool import ArticlePool, PoolBuilder
from feed.features.stories import Stories
from feed.features.trending import TrendingDetector, TrendingState

TICK_S = 30.0
DAY_S = 86400.0
CARRIERS = (0.10, 0.08, 0.06, 0.05, 0.05)
OTHER_NETWORKS = 3000
USUALLY_FRESH, FRESH_IN_BURST = 0.3, 0.8
WARM_UP_TICKS = 240
ATTACKED = (0.0, 2.0, 8.0, 30.0)
"""Usual readers an hour of the attacked articles."""
ATTACK_TICK_S = 5.0
ATTACK_S, WATCHED_S = 600.0, 1200.0
Readers = list[tuple[int, str, bool]]
"""Readers beside the usual ones: article row, network, whether they are fresh."""


class PoissonWorld:
    """Counters of a site whose readers come by known rates (readers per second, per article)."""

    def __init__(
        self,
        articles: int,
        seed: int,
        *,
        rhythm: float = 0.0,
        churn: bool = False,
        versions: int = 1,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.versions = versions
        self.first = np.arange(articles) // versions * versions
        self.rates = self.draw_rates(articles)
        self.rhythm, self.churn = rhythm, churn
        self.sums = self.rates[:, None] * np.array(HALF_LIVES_S) / np.log(2)
        self.born = np.zeros(articles)
        if churn:
            self.born = self.rng.uniform(-DAY_S, 0, articles)[self.first]
            self.sums *= 1 - np.exp2(self.born[:, None] / np.array(HALF_LIVES_S))
        else:
            self.born -= 30 * DAY_S
        self.now, self.began_at = 0.0, -30 * DAY_S
        self.pool = self.build_pool()
        self.site: Floats = self.sums.sum(axis=0)
        self.bound = NetworkBound(self.pool.ids)
        self.bound_rows = np.arange(articles)  # an article that replaces another is unknown to it
        tail = np.arange(1, OTHER_NETWORKS + 1) ** -0.9
        shares = np.concatenate([CARRIERS, tail * (1 - sum(CARRIERS)) / tail.sum()])
        self.shares_up_to = shares.cumsum()

    def draw_rates(self, count: int) -> Floats:
        """Return usual rates: log-normal, median 4 readers an hour, 2 % above 100 an hour.

        Of the variance of the logarithm, articles of one story share half.
        """
        spread = self.rng.normal(0, 1.6, count)
        if self.versions > 1:
            common = self.rng.normal(0, 1.6, count // self.versions + 1)
            spread = (spread + common[np.arange(count) // self.versions]) / np.sqrt(2)
        rates: Floats = np.exp(np.log(4 / 3600) + spread)
        return rates

    def build_pool(self) -> ArticlePool:
        """Return the pool with the present ages."""
        builder = PoolBuilder()
        for number, born in enumerate(self.born):
            builder.add(
                Article(article_id=f"a{number}", title="", published_at=born), None, born or 1.0
            )
        pool = builder.snapshot()
        if self.versions == 1:
            return pool
        several = np.ones(pool.size, np.bool_)
        rows = np.arange(pool.size)
        return replace(pool, stories=Stories(self.first, rows, np.full(pool.size, -1), several, {}))

    def step(self, others: Readers | None = None, tick_s: float = TICK_S) -> None:
        """Let one tick pass, with readers beside the usual ones."""
        self.now += tick_s
        level = 1 + self.rhythm * np.sin(2 * np.pi * self.now / DAY_S)
        usual = self.rng.poisson(self.rates * level * tick_s)
        rows = np.repeat(np.arange(usual.size), usual).tolist()
        came = list(zip(rows, *self.draw_origins(len(rows), USUALLY_FRESH), strict=True))
        came += others or []
        decay = np.exp2(-tick_s / np.array(HALF_LIVES_S))
        self.sums *= decay
        self.site = self.site * decay + len(came)
        if came:
            times = [self.now] * len(came)
            rows, networks, fresh = (list(column) for column in zip(*came, strict=True))
            np.add.at(self.sums, rows, 1.0)
            at, stories = self.bound_rows[rows], self.bound_rows[self.first[rows]]
            self.bound.add_readers(at.tolist(), networks, fresh, times, times, stories.tolist())
        if self.churn:
            self.replace_old()
        if int(self.now) % 60 < tick_s:
            self.bound.forget(self.now)

    def draw_origins(self, count: int, fresh: float) -> tuple[list[str], list[bool]]:
        """Return networks by their shares, and which of the readers are fresh."""
        drawn = self.rng.random(count) * self.shares_up_to[-1]
        networks = np.searchsorted(self.shares_up_to, drawn).tolist()
        return [f"n{n}" for n in networks], (self.rng.random(count) < fresh).tolist()

    def set_rate(self, row: int, per_hour: float) -> None:
        """Give an article a usual rate, and the past that goes with it."""
        self.rates[row] = per_hour / 3600
        self.site = self.site - self.sums[row]
        self.sums[row] = self.rates[row] * np.array(HALF_LIVES_S) / np.log(2)
        self.site = self.site + self.sums[row]

    def replace_old(self) -> None:
        """Put a new article in the place of each that is a day old."""
        old = np.flatnonzero(self.now - self.born >= DAY_S)
        if old.size:
            self.sums[old], self.born[old] = 0.0, self.now
            self.rates[old] = self.draw_rates(old.size)
            self.bound_rows[old] = self.bound_rows.max() + 1 + np.arange(old.size)
            self.pool.published_at[old] = self.pool.first_seen_at[old] = self.now

    def clicks(self, rows: npt.NDArray[np.int64], now: float) -> Floats:
        """Return the decayed readers of rows, as the counters would."""
        del now
        taken: Floats = self.sums[rows]
        return taken

    def site_clicks(self, now: float) -> Floats:
        """Return the decayed readers of the site, as the counters would."""
        del now
        return self.site

    def withheld(self, rows: npt.NDArray[np.int64], now: float) -> Floats:
        """Return the decayed readers of rows that do not count, as the bound would."""
        return self.bound.withheld(self.bound_rows[rows], now)

    def site_withheld(self, now: float) -> Floats:
        """Return the decayed readers of the site that do not count, as the bound would."""
        return self.bound.site_withheld(now)

    def readers(self, rows: npt.NDArray[np.int64], now: float) -> Floats:
        """Return the decayed readers of rows that were weighed, as the bound would."""
        return self.bound.readers(self.bound_rows[rows], now)


def labels(state: TrendingState) -> set[str]:
    """Return the ids that carry the label."""
    return {entry.article_id for entry in state.entries if entry.labelled}


class BothWays:
    """Two detectors on one world: with the bound on networks, and without."""

    def __init__(self, world: PoissonWorld) -> None:
        self.world = world
        self.bounded, self.plain = TrendingDetector(), TrendingDetector()

    def labels(self) -> tuple[set[str], set[str]]:
        """Return what is labelled now, with the bound and without."""
        world = self.world
        bounded = self.bounded.update(world, world.pool, world.now, world)
        return labels(bounded), labels(self.plain.update(world, world.pool, world.now))


def measure_false_alarms(world: PoissonWorld, days: float) -> dict[str, float]:
    """Return new labels per day in a world where nothing trends, with the bound and without."""
    judges, on, alarms = BothWays(world), (set[str](), set[str]()), [0, 0]
    for _ in range(int(days * DAY_S / TICK_S)):
        world.step()
        now_on = judges.labels()
        alarms = [n + len(new - old) for n, new, old in zip(alarms, now_on, on, strict=True)]
        on = now_on
    return {"bounded": alarms[0] / days, "unbounded": alarms[1] / days}


def measure_delays(per_hour: float, factor: float, seed: int) -> tuple[float | None, ...]:
    """Return minutes from the start of a burst to its label, with the bound and without.

    None where four hours do not do.
    """
    world = PoissonWorld(500, seed)
    judges = BothWays(world)
    world.set_rate(0, per_hour)
    for _ in range(WARM_UP_TICKS):
        world.step()
    judges.labels()
    found: list[float | None] = [None, None]
    for tick in range(480):
        more = int(world.rng.poisson(world.rates[0] * (factor - 1) * TICK_S))
        origins = world.draw_origins(more, FRESH_IN_BURST)
        world.step([(0, network, fresh) for network, fresh in zip(*origins, strict=True)])
        for way, on in enumerate(judges.labels()):
            if found[way] is None and "a0" in on:
                found[way] = (tick + 1) * TICK_S / 60
        if None not in found:
            break
    return tuple(found)


def measure_attack(
    ids: int, networks: int, seed: int, *, fresh: bool, versions: int
) -> dict[str, Any]:
    """Return how many attacked stories ever got the label, with the bound and without.

    Every id reads an article of every attacked story, spread over ten minutes; in every second run
    the networks take turns, else each id's network is drawn.
    """
    world = PoissonWorld(200 * versions, seed, versions=versions)
    for story, per_hour in enumerate(ATTACKED):
        for version in range(versions):
            world.set_rate(story * versions + version, per_hour / versions)
    for _ in range(WARM_UP_TICKS):
        world.step()
    judges, labelled = BothWays(world), (set[str](), set[str]())
    names = {f"a{row}" for row in range(len(ATTACKED) * versions)}
    drawn = world.rng.integers(networks, size=ids) if seed % 2 else np.arange(ids) % networks
    sent = 0
    for tick in range(int(WATCHED_S / ATTACK_TICK_S)):
        due = min(ids, round(ids * (tick + 1) * ATTACK_TICK_S / ATTACK_S))
        wave = [(n % versions, f"x{drawn[n]}") for n in range(sent, due)]
        sent = due
        attackers = [
            (story * versions + version, network, fresh)
            for version, network in wave
            for story in range(len(ATTACKED))
        ]
        world.step(attackers, ATTACK_TICK_S)
        for ever_on, on in zip(labelled, judges.labels(), strict=True):
            ever_on.update(f"story {int(name[1:]) // versions}" for name in on & names)
    return {"bounded": len(labelled[0]), "unbounded": len(labelled[1])}


def measure_attacks(ids: int, runs: int, seed: int) -> list[dict[str, Any]]:
    """Return which share of attacked stories got the label, by networks and age of the ids."""
    rows = []
    kinds = [(1, n) for n in (1, 3, 10, 30, 100)] + [(4, n) for n in (1, 3, 10, 20, 30)]
    for versions, networks in kinds:
        for fresh in (True, False):
            found = [
                measure_attack(ids, networks, seed + i, fresh=fresh, versions=versions)
                for i in range(runs)
            ]
            attacked = runs * len(ATTACKED)
            rows.append(
                {
                    "versions": versions,
                    "networks": networks,
                    "fresh": fresh,
                    "ids": ids,
                    **{
                        way: sum(f[way] for f in found) / attacked
                        for way in ("bounded", "unbounded")
                    },
                }
            )
    return rows


def measure_bursts(bursts: int, seed: int) -> list[dict[str, Any]]:
    """Return how many bursts are found and how soon, by usual rate and factor."""
    rows = []
    for per_hour, factor in ((2, 20), (10, 5), (10, 10), (60, 3), (60, 5), (300, 3)):
        found = [measure_delays(per_hour, factor, seed + i) for i in range(bursts)]
        row: dict[str, Any] = {"readers_per_hour": per_hour, "factor": factor}
        for way, delays in zip(("bounded", "unbounded"), zip(*found, strict=True), strict=True):
            seen = [delay for delay in delays if delay is not None]
            row[f"{way}_found_share"] = len(seen) / bursts
            row[f"{way}_median_delay_minutes"] = float(np.median(seen)) if seen else None
        rows.append(row)
    return rows


def measure(articles: int, days: float, bursts: int, attacks: int, seed: int) -> dict[str, Any]:
    """Return every figure, ready for JSON."""
    worlds = {
        "constant": PoissonWorld(articles, seed),
        "daily rhythm (x7 from night to day)": PoissonWorld(articles, seed, rhythm=0.75),
        "articles replaced daily": PoissonWorld(articles, seed, churn=True),
        "rhythm, stories of four": PoissonWorld(articles, seed, rhythm=0.75, versions=4),
        "replaced daily, stories of four": PoissonWorld(articles, seed, churn=True, versions=4),
    }
    return {
        "articles": articles,
        "days": days,
        "seed": seed,
        "false_labels_per_day": {n: measure_false_alarms(w, days) for n, w in worlds.items()},
        "bursts": measure_bursts(bursts, seed),
        "attacks": measure_attacks(1000, attacks, seed),
    }


def main() -> None:
    """Print the figures, and write them with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--articles", type=int, default=500, help="live articles (500)")
    parser.add_argument("--days", type=float, default=10, help="simulated days per world (10)")
    parser.add_argument("--bursts", type=int, default=20, help="bursts of each size (20)")
    parser.add_argument("--attacks", type=int, default=10, help="attacks of each kind (10)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    figures = measure(
        arguments.articles, arguments.days, arguments.bursts, arguments.attacks, arguments.seed
    )
    print_figures(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def print_figures(figures: dict[str, Any]) -> None:
    """Print three tables."""
    print(f"False labels a day, {figures['articles']} live articles, {figures['days']:g} days:")
    print(f"  {'':38s}  bounded  without the bound")
    for name, rates in figures["false_labels_per_day"].items():
        print(f"  {name:38s} {rates['bounded']:8.2f} {rates['unbounded']:8.2f}")
    print("Planted bursts: usual readers/hour, factor; share found in 4 h, median delay; the same")
    print("without the bound")
    for burst in figures["bursts"]:
        print(f"  {burst['readers_per_hour']:5d}  x{burst['factor']:<3d}", end="")
        for way in ("bounded", "unbounded"):
            delay = burst[f"{way}_median_delay_minutes"]
            text = "-" if delay is None else f"{delay:.1f} min"
            print(f"   {burst[f'{way}_found_share']:6.0%} {text:>9s}", end="")
        print()
    print("Attacks: ids, their networks, their age, articles of a story; share of attacked stories")
    print(f"(usually read by {ATTACKED} readers an hour) that got the label, with and without the")
    print("bound")
    for attack in figures["attacks"]:
        age = "moments" if attack["fresh"] else "an hour"
        print(
            f"  {attack['ids']} ids {attack['networks']:4d} networks, {age} old,"
            f" {attack['versions']} articles"
            f" {attack['bounded']:6.0%} {attack['unbounded']:6.0%}"
        )


if __name__ == "__main__":
    main()
