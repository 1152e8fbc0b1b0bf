#!/usr/bin/env python3
"""What the trending label and the trending boost are worth on real clicks, by replay of EB-NeRD.

The label: of the articles labelled at a full hour, how many are among the 5 % most read of the
pool in the next hour, beside as many articles taken by clicks with a half-life of 6 h. The boost:
pool nDCG@10, coverage and the share of the first ten that trends, by strength and half-life, with
the default linear ranker (the trees know the trend by themselves).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feed.config import RankingConfig
from feed.features.trending import TrendingDetector
from feed.models.bundle import empty_bundle
from feed.models.ranker import LinearRanker
from feed.models.view import build_view
from feed.offline.ebnerd import read_ebnerd
from feed.offline.event_log import EventLog
from feed.offline.pool_protocol import PoolProtocol
from feed.offline.reader_log import first_clicks
from feed.offline.replay import Replay, build_log_pool
from feed.ranking.scoring import score_candidates

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HOUR_S = 3600.0
WARM_UP_S = 3 * 24 * HOUR_S
STEP_S = 600.0
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
HALF_LIVES_MINUTES = (30.0, 120.0)


def measure_label(log: EventLog) -> dict[str, Any]:
    """Return the precision of the label, and of as many articles by clicks of the last hours."""
    pool, replay, detector = build_log_pool(log), Replay(log), TrendingDetector()
    clicks, at = _first_clicks(log)
    start, end = log.impressions.at[0] + WARM_UP_S, log.impressions.at[-1] - HOUR_S
    replay.start(start)
    labels = hits = rival_hits = fresh = 0
    on: set[int] = set()
    for step, now in enumerate(np.arange(start, end, STEP_S)):
        replay.advance(float(now))
        live = np.zeros(pool.size, np.bool_)
        live[replay.pool_rows()] = True
        state = detector.update(replay.signals.counters, replace(pool, live=live), float(now))
        rows = state.ranked_rows[[entry.labelled for entry in state.entries]]
        fresh += len(set(rows.tolist()) - on)
        on = set(rows.tolist())
        if step % round(HOUR_S / STEP_S) or not rows.size:
            continue
        low, high = np.searchsorted(at, [now, now + HOUR_S])
        read = np.bincount(clicks[low:high], minlength=pool.size)
        there = np.flatnonzero(live)
        bar = max(np.sort(read[there])[-max(len(there) // 20, 1)], 1)
        recent = replay.signals.counters.clicks(there, float(now))[:, 2]
        rivals = there[np.argsort(-recent, kind="stable")[: len(rows)]]
        labels += len(rows)
        hits += int((read[rows] >= bar).sum())
        rival_hits += int((read[rivals] >= bar).sum())
    return {
        "days": float((end - start) / (24 * HOUR_S)),
        "labelled_hours": labels,
        "new_labels_per_day": float(fresh / ((end - start) / (24 * HOUR_S))),
        "precision": hits / max(labels, 1),
        "precision_of_clicks_6h": rival_hits / max(labels, 1),
    }


def sweep_boost(log: EventLog, sample: int, seed: int) -> list[dict[str, float]]:
    """Return what each half-life and strength leads to, on impressions drawn at random."""
    replay, config = Replay(log), RankingConfig()
    view = build_view(build_log_pool(log), empty_bundle())
    views = log.impressions
    start = views.at[0] + WARM_UP_S
    replay.start(start)
    drawn = np.arange(np.searchsorted(views.at, start), len(views))
    drawn = np.sort(np.random.default_rng(seed).choice(drawn, min(sample, len(drawn)), False))
    protocols = {
        minutes: PoolProtocol(replay, replace(config, trending_half_life_minutes=minutes))
        for minutes in HALF_LIVES_MINUTES
    }
    tally = {(m, s): _Tally() for m in HALF_LIVES_MINUTES for s in STRENGTHS}
    for i in drawn.tolist():
        replay.advance(float(views.at[i]))
        profile = replay.readers.profile(int(views.users[i]), replay.now, config)
        found = protocols[HALF_LIVES_MINUTES[0]].candidates(view, profile, replay.context(i))
        part = slice(views.starts[i], views.starts[i + 1])
        clicked = views.shown[part][views.clicked[part]]
        base = score_candidates(
            found.context, found.situation, found.rows, LinearRanker(), config
        ).base
        for minutes, protocol in protocols.items():
            trend = protocol.context(view, profile, replay.context(i)).trending.score(found.rows)
            for strength in STRENGTHS:
                order = np.argsort(-base * (1 + strength * trend), kind="stable")[:10]
                tally[minutes, strength].add(found.rows[order], trend[order], clicked)
    return [
        {"half_life_minutes": m, "boost": s, **tally[m, s].figures(len(drawn))}
        for m in HALF_LIVES_MINUTES
        for s in STRENGTHS
    ]


class _Tally:
    """Sums over impressions for one setting."""

    def __init__(self) -> None:
        self._ndcg = 0.0
        self._trending = 0.0
        self._shown: set[int] = set()

    def add(self, rows: Rows, trend: Floats, clicked: Rows) -> None:
        gains = np.isin(rows, clicked) / np.log2(np.arange(2, len(rows) + 2))
        ideal = (1 / np.log2(np.arange(2, min(len(clicked), 10) + 2))).sum()
        self._ndcg += float(gains.sum() / ideal) if ideal else 0.0
        self._trending += float((trend > 0.1).mean()) if len(rows) else 0.0
        self._shown.update(rows.tolist())

    def figures(self, count: int) -> dict[str, float]:
        return {
            "ndcg_at_10": self._ndcg / count,
            "coverage_articles": float(len(self._shown)),
            "trending_share": self._trending / count,
        }


def _first_clicks(log: EventLog) -> tuple[Rows, Floats]:
    counted = first_clicks(log) & log.events.counted
    columns = log.events.columns
    return columns.articles[counted], columns.occurred_at[counted]


def main() -> None:
    """Print the figures, and write them with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="EB-NeRD directory with train and validation")
    parser.add_argument("--sample", type=int, default=3000, help="impressions of the sweep (3000)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    log = read_ebnerd(arguments.directory)
    label = measure_label(log)
    print(
        f"Label: {label['labelled_hours']} labelled articles at full hours of "
        f"{label['days']:.1f} days, {label['new_labels_per_day']:.1f} new a day.\n"
        f"Among the 5 % most read of the next hour: {label['precision']:.0%}; "
        f"as many by clicks, half-life 6 h: {label['precision_of_clicks_6h']:.0%}."
    )
    sweep = sweep_boost(log, arguments.sample, arguments.seed)
    print(f"{'half-life':>9s} {'boost':>6s} {'nDCG@10':>8s} {'articles':>9s} {'trending':>9s}")
    for row in sweep:
        print(
            f"{row['half_life_minutes']:5.0f} min {row['boost']:6.1f} {row['ndcg_at_10']:8.4f} "
            f"{row['coverage_articles']:9.0f} {row['trending_share']:9.1%}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"label": label, "boost": sweep}, indent=2) + "\n")


if __name__ == "__main__":
    main()
