#!/usr/bin/env python
"""Measures the feed of readers whose history is cut to their last 0, 1, 2, 3, 5 and 10 clicks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import click
import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.arrays import Flags, Floats, Matrix
from feed.commands.errors import one_line_errors
from feed.config import RankingConfig
from feed.domain import parse_time
from feed.features.profile import Profile
from feed.models.ranker import LinearRanker, logistic
from feed.offline.datasets import read_dataset
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.methods import CLICKS_BY_AGE, clicks_by_age
from feed.offline.metric_values import ListFacts, MetricValues
from feed.offline.pool_protocol import find_pool_candidates
from feed.offline.ranking_metrics import sort_lists
from feed.offline.walk import Walk, WalkPlan
from feed.ranking.scoring import build_candidate_features, find_factors

CUTS = (0, 1, 2, 3, 5, 10)
_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("directory", type=_FOLDER)
@click.option("--dataset", type=click.Choice(["ebnerd", "mind"]), default="ebnerd")
@click.option("--from", "from_text", default="2023-05-23T07:00", show_default=True, metavar="TIME")
@click.option("--to", "to_text", default="2023-05-25T07:00", show_default=True, metavar="TIME")
@click.option("--every", default=5, show_default=True, help="Of so many lists one is measured.")
@click.option("--json", "json_path", type=_FOLDER, help="Write the figures.")
def main(
    directory: Path, dataset: str, from_text: str, to_text: str, every: int, json_path: Path | None
) -> None:
    """Print the pool nDCG@10 by the number of clicks that are left of each history.

    Every row is measured on the same lists: those of readers with at least as many clicks as the
    longest cut. Models learn from whole histories. The default days lie in the training week.
    """
    with one_line_errors(), Progress(transient=True) as bar:
        log, vectors = read_dataset(dataset, directory)
        plan = WalkPlan(
            start=parse_time("--from", from_text),
            end=parse_time("--to", to_text),
            heads=("pool",),
            pool_every=every,
        )
        book = CutBook(plan.ranking)
        task = bar.add_task("walking", total=1.0)
        with ThreadPoolExecutor(1) as trainer:
            walk = Walk(log, plan, vectors, book)
            walk.evaluate(trainer, lambda share: bar.update(task, completed=share))
            book.flush()
    found = book.figures()
    table = Table("clicks left", "nDCG@10", "95 % interval", "ahead of clicks over age", "lists")
    for name, (own, lead) in found.items():
        ahead = ""
        if lead is not None:
            ahead = f"{lead['mean']:+.4f} ({lead['low']:.4f} to {lead['high']:.4f})"
        interval = f"{own['low']:.4f} to {own['high']:.4f}"
        table.add_row(name, f"{own['mean']:.4f}", interval, ahead, f"{own['n']:,}")
    Console().print(table)
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


@dataclass(slots=True)
class _Waiting:
    """The lists of one cut that wait for the period's ranker."""

    features: list[Matrix] = field(default_factory=list)
    factors: list[Floats] = field(default_factory=list)
    clicked: list[Flags] = field(default_factory=list)


class CutBook:
    """Ranks the pool anew for each cut of a reader's history, and measures every cut.

    Args:
        config: how the pool is ranked.
    """

    def __init__(self, config: RankingConfig) -> None:
        self._config = config
        self._metrics = MetricValues()
        self._rankers: Rankers = {}
        self._entries: list[PoolList] = []
        self._waiting = {cut: _Waiting() for cut in CUTS}

    def add_slate(self, entry: SlateList) -> None:
        """Nothing: editors' lists are not measured here."""

    def add_pool(self, entry: PoolList) -> None:
        """Find the candidates of each cut, and their features."""
        context = entry.found.context
        if len(context.profile.clicked_rows) < max(CUTS):
            return
        self._entries.append(entry)
        for cut, waiting in self._waiting.items():
            cut_context = replace(context, profile=cut_profile(context.profile, cut))
            found = find_pool_candidates(cut_context, self._config)
            waiting.features.append(
                build_candidate_features(found.context, found.situation, found.rows, self._config)
            )
            factors = find_factors(found.context, found.rows, self._config).product
            waiting.factors.append(factors)
            waiting.clicked.append(np.isin(found.rows, entry.wanted))

    def use_rankers(self, rankers: Rankers) -> None:
        """Score what is added from now on with these, once they are trained."""
        self.flush()
        self._rankers = rankers

    def flush(self) -> None:
        """Score and measure everything that waits."""
        entries, all_waiting = self._entries, self._waiting
        self._entries, self._waiting = [], {cut: _Waiting() for cut in CUTS}
        if not entries:
            return
        trained = self._rankers["pool"].result() if "pool" in self._rankers else None
        ranker = LinearRanker() if trained is None else trained
        self._metrics.add_facts("pool", _facts(entries))
        wanted = [float(len(entry.wanted)) for entry in entries]
        for cut, waiting in all_waiting.items():
            features = np.concatenate(waiting.features)
            clicked = np.concatenate(waiting.clicked)
            sizes = [len(part) for part in waiting.clicked]
            served = logistic(ranker.margin(features)) * np.concatenate(waiting.factors)
            for name, scores in ((str(cut), served), (_rival(cut), clicks_by_age(features))):
                self._metrics.add("pool", name, sort_lists(scores, clicked, sizes, wanted))

    def figures(self) -> dict[str, tuple[dict[str, float], dict[str, float] | None]]:
        """Return each cut's nDCG@10, and its lead over clicks by age on the same candidates."""
        summary = self._metrics.summary("pool")
        found: dict[str, tuple[dict[str, float], dict[str, float] | None]] = {}
        for cut in CUTS:
            lead = self._metrics.leads("pool", str(cut), "ndcg@10")[_rival(cut)]
            found[str(cut)] = asdict(summary[str(cut)]["ndcg@10"]), asdict(lead)
        rival = asdict(summary[_rival(0)]["ndcg@10"])
        return found | {f"{CLICKS_BY_AGE}, of what 0 clicks propose": (rival, None)}


def cut_profile(profile: Profile, clicks: int) -> Profile:
    """Return the profile of a reader who had done nothing before their last clicks.

    What they have read stays out of the list, as it does with the whole history.
    """
    rows, times = profile.clicked_rows[:clicks], profile.clicked_at[:clicks]
    since = times.min(initial=np.inf)
    engaged = np.isin(profile.engaged_rows, rows)
    session = np.isin(profile.session_rows, rows)
    shown = profile.shown_last_at >= since
    return replace(
        profile,
        clicked_rows=rows,
        clicked_at=times,
        engaged_rows=profile.engaged_rows[engaged],
        weights=profile.weights[engaged],
        fold_in_weights=profile.fold_in_weights[engaged],
        session_rows=profile.session_rows[session],
        session_at=profile.session_at[session],
        shown_rows=profile.shown_rows[shown],
        shown_counts=profile.shown_counts[shown],
        shown_last_at=profile.shown_last_at[shown],
        n_events=int(engaged.sum()),
    )


def _rival(cut: int) -> str:
    return f"rival of {cut}"


def _facts(entries: Sequence[PoolList]) -> ListFacts:
    return ListFacts(
        users=np.array([entry.seen.user for entry in entries], np.int64),
        reader_clicks=np.array([entry.reader_clicks for entry in entries]),
        clicked_age_hours=np.full(len(entries), np.nan),
        at=np.array([entry.seen.at for entry in entries]),
        numbers=np.array([entry.seen.number for entry in entries]),
    )


if __name__ == "__main__":
    main()
