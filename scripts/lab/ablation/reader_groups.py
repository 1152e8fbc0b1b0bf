#!/usr/bin/env python
"""Measures whether a new reader is served better by what readers like them click."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.cluster.vq import kmeans2
from scipy.sparse import coo_array
from scipy.sparse.linalg import svds

from feed.arrays import Floats, Integers, Rows
from feed.commands.errors import one_line_errors
from feed.config import RankingConfig
from feed.domain import parse_time
from feed.features.counters import HALF_LIVES_S
from feed.features.decay import DecayedTable
from feed.features.interactions import CLICK
from feed.offline.ebnerd import read_ebnerd
from feed.offline.event_log import EventLog, Seen
from feed.offline.ranking_metrics import bootstrap_mean, ndcg_at, sort_lists
from feed.offline.replay import Replay
from feed.ranking.live_index import heat

GROUP_HALF_LIFE = 2
"""Which of the counters' half-lives the clicks of a group have: 6 hours."""
TASTES = 4
"""Groups of readers by what they had read before the first list."""
FIXED = (3.0, 30.0)
"""Numbers of clicks that the whole site's share counts for, beside the estimated one."""
NOTHING = "the whole site"


def estimate_strength(clicks: Floats, expected: Floats, share: float) -> float:
    """Return for how many clicks the site's rates must count beside those of a group.

    The clicks of a group on an article are Poisson around its expected clicks times a rate, and
    the rates are Gamma with mean 1 and this shape. Its estimate is by moments: what the clicks
    vary beyond chance is the variance of the rates. Decayed clicks vary less than Poisson's, so
    the estimate errs towards the site.

    Source: after DuMouchel: Bayesian Data Mining in Large Frequency Tables (1999), with one Gamma
    where the paper has a mixture of two, and moments in place of the likelihood.

    Args:
        clicks: of the group, f64 [articles].
        expected: of the group if it clicked as the whole site does, f64 [articles].
        share: the group's part of all clicks, 0 to 1.

    Returns:
        The shape; inf where the group differs from the site no more than by chance.
    """
    beyond = float(np.sum((clicks - expected) ** 2 - expected * (1.0 - share)))
    return float(np.sum(expected**2)) / beyond if beyond > 0 else np.inf


def lift(clicks: Floats, expected: Floats, strength: float) -> Floats:
    """Return the posterior mean of the rates, f64 [articles]: 1 where a group is like the site."""
    if np.isinf(strength):
        return np.ones(len(clicks))
    return np.asarray((clicks + strength) / (expected + strength), np.float64)


@dataclass(slots=True)
class Grouping:
    """One way to tell readers apart, and the decayed clicks of each group on each article."""

    of: Integers
    tables: dict[int, DecayedTable] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)

    def see(self, number: int, user: int) -> None:
        """Note the group of a reader who sees list `number`."""
        self.last[user] = int(self.of[number])

    def count(self, users: Rows, articles: Rows, at: Floats) -> None:
        """Count clicks for the groups that their readers were last seen in."""
        groups = np.array([self.last.get(user, -1) for user in users.tolist()], np.int64)
        for group in np.unique(groups[groups >= 0]).tolist():
            table = self.tables.setdefault(group, DecayedTable((HALF_LIVES_S[GROUP_HALF_LIFE],)))
            mine = groups == group
            table.add(articles[mine], at[mine])

    def lifts(self, number: int, rows: Rows, now: float) -> dict[str, Floats]:
        """Return the lifts of rows for whoever sees list `number`, by how they are shrunk."""
        everything = np.arange(max((t.size for t in self.tables.values()), default=0))
        sums = {g: t.read(everything, now)[:, 0] for g, t in self.tables.items()}
        site = np.sum([*sums.values(), np.zeros(len(everything))], axis=0)
        mine = sums.get(int(self.of[number]), np.zeros(len(everything)))
        share = float(mine.sum() / site.sum()) if site.sum() > 0 else 0.0
        known = rows < len(everything)
        clicks, expected = np.zeros(len(rows)), np.zeros(len(rows))
        clicks[known], expected[known] = mine[rows[known]], share * site[rows[known]]
        estimated = estimate_strength(mine, share * site, share)
        strengths = {"estimated": estimated} | {f"{s:g} clicks": s for s in FIXED}
        return {name: lift(clicks, expected, s) for name, s in strengths.items()}


def group_readers(log: EventLog, seed: int) -> dict[str, Integers]:
    """Return the group of the reader of every list, by how readers are told apart.

    Two say what the method itself can do: random halves differ by nothing, and readers grouped by
    what they read before the first list differ by their taste, which a new reader's group is not.
    """
    views, rng = log.impressions, np.random.default_rng(seed)
    return {
        "device": views.devices,
        "subscriber or not": views.subscribers,
        "front page or below an article": (views.pages >= 0).astype(np.int64),
        "halves drawn at random": rng.integers(2, size=len(log.users))[views.users],
        "what they read before": _tastes(log, rng)[views.users],
    }


def _tastes(log: EventLog, rng: np.random.Generator) -> Integers:
    columns = log.events.before(log.lists_from)
    clicks = columns.kinds == CLICK
    users, articles = columns.users[clicks], columns.articles[clicks]
    shape = len(log.users), len(log.articles)
    matrix = coo_array((np.ones(len(users)), (users, articles)), shape).tocsr()
    matrix.data = np.minimum(matrix.data, 1.0)
    left, values, _ = svds(matrix, k=8, rng=rng)
    places = left * values
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-12)
    return np.asarray(kmeans2(places, TASTES, minit="++", rng=rng)[1], np.int64)


def measure(
    log: EventLog, start: float, end: float, every: int, groupings: Mapping[str, Grouping]
) -> tuple[dict[tuple[str, str], list[float]], list[int]]:
    """Return the nDCG@10 of each list by (grouping, shrinkage), and the lists' readers.

    The order is clicks over age (`ranking.live_index.heat`) times the lift, over the pool less
    what the reader has clicked.
    """
    replay, found, users = Replay(log), dict[tuple[str, str], list[float]](), list[int]()
    events, counted = log.events, 0
    counts = events.counted & events.first & events.from_feed
    for number, seen in enumerate(track(list(log.impressions), transient=True)):
        if seen.at >= end:
            break
        until = int(np.searchsorted(events.columns.occurred_at, seen.at, "left"))
        part = np.flatnonzero(counts[counted:until]) + counted
        counted = until
        columns = events.columns
        for grouping in groupings.values():
            grouping.count(columns.users[part], columns.articles[part], columns.occurred_at[part])
            grouping.see(number, seen.user)
        if seen.at < start or number % every or not seen.clicked.any():
            continue
        users.append(seen.user)
        for name, value in _measure_one(replay, seen, number, groupings).items():
            found.setdefault(name, []).append(value)
    return found, users


def _measure_one(
    replay: Replay, seen: Seen, number: int, groupings: Mapping[str, Grouping]
) -> dict[tuple[str, str], float]:
    now = seen.at
    replay.advance(now)
    profile = replay.readers.profile(seen.user, now, RankingConfig())
    rows = np.setdiff1d(replay.pool_rows(), profile.clicked_rows)
    wanted = seen.shown[seen.clicked]
    clicked = np.isin(rows, wanted)
    clicks = replay.signals.counters.clicks(rows, now)[:, 0]
    base = heat(clicks, now - replay.log.first_seen_at[rows])
    scores = {(NOTHING, ""): base}
    for name, grouping in groupings.items():
        for shrunk, factor in grouping.lifts(number, rows, now).items():
            scores[name, shrunk] = base * factor
    size, wish = [len(rows)], [float(len(wanted))]
    return {
        key: float(ndcg_at(sort_lists(score, clicked, size, wish), 10)[0])
        for key, score in scores.items()
    }


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--from", "from_text", default="2023-05-20T07:00", show_default=True, metavar="TIME")
@click.option("--to", "to_text", default="2023-05-25T07:00", show_default=True, metavar="TIME")
@click.option("--every", default=2, show_default=True, help="Of so many lists one is measured.")
@click.option("--seed", default=7, show_default=True, help="Of the groups that are drawn.")
def main(directory: Path, from_text: str, to_text: str, every: int, seed: int) -> None:
    """Print the pool nDCG@10 of clicks over age with the clicks of a reader's group in EB-NeRD.

    The order knows nothing of a reader but the group, as if each were new. The default days lie
    in the training week.
    """
    with one_line_errors():
        log = read_ebnerd(directory)
        start, end = parse_time("--from", from_text), parse_time("--to", to_text)
        groupings = {name: Grouping(of) for name, of in group_readers(log, seed).items()}
        found, users = measure(log, start, end, every, groupings)
        base, readers = np.array(found[NOTHING, ""]), np.array(users)
        table = Table("readers grouped by", "shrunk by", "nDCG@10", "gain", "lists")
        for (name, shrunk), values in found.items():
            gain = bootstrap_mean(np.array(values) - base, readers)
            shown = f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
            is_base = name == NOTHING
            table.add_row(
                name, shrunk, f"{np.mean(values):.4f}", "" if is_base else shown, f"{gain.n:,}"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
