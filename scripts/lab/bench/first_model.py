#!/usr/bin/env python3
"""Prints whether a first model is ever worse than the day-one weights it would replace.

A log is cut to its first part and a model learns from it, as by `feed retrain`. Then the model,
the day-one weights and popularity order the same later lists. The difference between model and
day-one weights is paired, with a 95 % interval over readers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import orjson
from rich import box
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from feed.arrays import Floats, Matrix
from feed.commands.demo_world import build_newsroom
from feed.commands.errors import one_line_errors
from feed.config import HOUR_S, RankingConfig
from feed.domain import EventKind, InvalidInputError, parse_time
from feed.features.embeddings import SentenceEncoder, article_text
from feed.models.ranker import LightGBMRanker, LinearRanker, Ranker
from feed.models.schema import feature_index
from feed.offline.archive_log import read_archive
from feed.offline.datasets import encode_catalogue, read_dataset
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.event_log import EventLog
from feed.offline.ranking_metrics import MeanEstimate, auc, bootstrap_mean, ndcg_at, sort_lists
from feed.offline.training import train
from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan
from feed.storage.archive import Archive
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import CatalogueChange, RecordType, StoredArticle, StreamRecord
from feed.training_config import TrainingConfig

NOW = 1_780_000_000.0
"""The end of the newsroom's log; what is drawn does not depend on the day the script runs."""
POPULARITY = {"pool ndcg@10": "clicks_30m", "slate auc": "clicks_6h"}
"""What is measured, and the popularity that is strongest there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured after a model had learnt from one share of a log.

    `trees` is 0 where no ranker was learnt; `difference` is learned less day-one weights.
    """

    world: str
    share: float
    learnt_from: int
    measure: str
    trees: int
    learned: MeanEstimate
    day_one: MeanEstimate
    popularity: MeanEstimate
    difference: MeanEstimate


@click.command()
@click.argument("world", type=click.Choice(["newsroom", "ebnerd", "mind"]))
@click.argument("directory", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--from", "from_text", metavar="TIME", help="First list measured, ISO 8601.")
@click.option("--to", "to_text", metavar="TIME", help="End of the measured window.")
@click.option("--shares", default="1,3,10,30,100", show_default=True, help="Percentages learnt.")
@click.option("--every", default=1, show_default=True, help="Measure every n-th list.")
@click.option("--seed", default=7, show_default=True, help="Of the newsroom that is drawn.")
@click.option("--slate/--no-slate", default=True, help="Measure the order of slates, too.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures.")
def bench_first_model(
    world: str,
    directory: Path | None,
    from_text: str | None,
    to_text: str | None,
    shares: str,
    every: int,
    seed: int,
    json_path: Path | None,
    *,
    slate: bool,
) -> None:
    """Measure first models on WORLD: the demo's newsroom, or a published log in DIRECTORY.

    A model learns from the first part of the lists before --from (default: 12 hours before the
    end), and is measured from --from to --to.
    """
    console, rows = Console(), list[Row]()
    with one_line_errors(), Progress(console=console, transient=True) as bar:
        log, vectors = read_world(world, directory, seed)
        end = parse_time("--to", to_text) if to_text else log.ends_at + 1.0
        start = parse_time("--from", from_text) if from_text else end - 12 * HOUR_S
        heads = ("slate", "pool") if slate else ("pool",)
        plan = WalkPlan(
            start=start,
            end=end,
            pool_every=every,
            learn_pool_every=max(1, len(log.impressions)),
            heads=heads,
            training=replace(TrainingConfig(), ranker_days=0.0),
        )
        for share in (float(text) / 100.0 for text in shares.split(",")):
            task = bar.add_task(f"{share:.0%}", total=2.0)

            def show(done: float, task: TaskID = task) -> None:
                bar.update(task, completed=done)

            rows += measure_share(world, log, vectors, share, plan, show)
    console.print(as_table(rows))
    if json_path is not None:
        json_path.write_bytes(orjson.dumps([asdict(row) for row in rows]))


def read_world(name: str, directory: Path | None, seed: int) -> tuple[EventLog, Matrix | None]:
    """Return a world's log and its articles' vectors, None where articles have no text.

    Raises:
        InvalidInputError: a published log is named without its directory.
    """
    if name == "newsroom":
        return draw_newsroom(seed)
    if directory is None:
        raise InvalidInputError("DIRECTORY", f"must be given for {name}")
    log, _ = read_dataset(name, directory)
    return log, encode_catalogue(log, SentenceEncoder()) if log.catalogue else None


def draw_newsroom(seed: int, readers: int = 600) -> tuple[EventLog, Matrix | None]:
    """Return the log that the demo's newsroom and its simulated readers leave in the archive."""
    world = build_newsroom(NOW, readers, seed)
    vectors = SentenceEncoder().encode([article_text(a) for a in world.articles])
    changes = [
        CatalogueChange(article.article_id, StoredArticle(article, vector, "sentence", "", NOW))
        for article, vector in zip(world.articles, vectors, strict=True)
    ]
    clicked: set[tuple[str, str]] = set()
    records = []
    for number, event in enumerate(world.events, start=1):
        payload = asdict(event) | {"kind": event.kind.value, "received_at": event.occurred_at}
        if event.kind is EventKind.CLICK:
            pair = (event.user_id, event.article_id)
            payload["first"] = pair not in clicked
            clicked.add(pair)
        records.append(StreamRecord(f"{number}-0", RecordType.EVENT, _as_json(payload)))
    with tempfile.TemporaryDirectory(prefix="feed-newsroom-") as directory:
        writer = ArchiveWriter(Path(directory), "bench")
        writer.recover(lambda *_: [])
        writer.commit(Batch({0: records}, changes, "1-0", NOW))
        return read_archive(Archive(Path(directory)))


def measure_share(
    world: str,
    log: EventLog,
    vectors: Matrix | None,
    share: float,
    plan: WalkPlan,
    progress: Callable[[float], None],
) -> list[Row]:
    """Return the rows of one share: learn from the first lists before the plan, then measure."""
    before = log.impressions.at[: log.impressions.between(-np.inf, plan.start).stop]
    learnt_from = round(share * len(before))
    until = plan.start if share >= 1.0 else float(before[learnt_from])
    bundle = train(
        log, until, TrainingConfig(), plan.ranking, embeddings=vectors, progress=progress
    )
    rankers = {"pool ndcg@10": bundle.ranker, "slate auc": bundle.slate_ranker}
    book = FirstModelBook(plan.ranking, rankers, plan.pool_every)
    walk = Walk(log, plan, vectors, book)
    walk.measure(bundle, lambda done: progress(1.0 + done))
    rows = []
    for measure, values in book.values.items():
        if not values:
            continue
        learned, day_one, popularity, users = np.array(values).T
        who = users.astype(np.int64)
        ranker = rankers[measure]
        rows.append(
            Row(
                world=world,
                share=share,
                learnt_from=learnt_from,
                measure=measure,
                trees=ranker.trees if isinstance(ranker, LightGBMRanker) else 0,
                learned=bootstrap_mean(learned, who),
                day_one=bootstrap_mean(day_one, who),
                popularity=bootstrap_mean(popularity, who),
                difference=bootstrap_mean(learned - day_one, who),
            )
        )
    return rows


class FirstModelBook:
    """Keeps four numbers of each list: learned, day-one weights, popularity, and its reader."""

    def __init__(
        self, ranking: RankingConfig, learned: Mapping[str, Ranker | None], slate_every: int
    ) -> None:
        self._learned, self._slate_every = learned, slate_every
        self._day_one = LinearRanker(ranking.weights)
        self.values: dict[str, list[tuple[float, float, float, int]]] = {m: [] for m in POPULARITY}

    def add_pool(self, entry: PoolList) -> None:
        """Take one list of the pool, ordered as the feed would: score times factors."""
        size, wanted = len(entry.found.rows), float(len(entry.wanted))

        def measure(scores: Floats) -> float:
            return float(ndcg_at(sort_lists(scores, entry.clicked, [size], [wanted]), 10)[0])

        learned, day_one = self._rankers("pool ndcg@10")
        self._add(
            "pool ndcg@10",
            measure(learned.score(entry.features) * entry.factors),
            measure(day_one.score(entry.features) * entry.factors),
            entry.features,
            measure,
            entry.seen.user,
        )

    def add_slate(self, entry: SlateList) -> None:
        """Take one list that editors showed."""
        if entry.seen.number % self._slate_every:
            return

        def measure(scores: Floats) -> float:
            return float(auc(sort_lists(scores, entry.seen.clicked, [len(scores)]))[0])

        learned, day_one = self._rankers("slate auc")
        self._add(
            "slate auc",
            measure(learned.margin(entry.features)),
            measure(day_one.margin(entry.features)),
            entry.features,
            measure,
            entry.seen.user,
        )

    def use_rankers(self, rankers: Rankers) -> None:
        """The rankers are given."""

    def flush(self) -> None:
        """Nothing waits."""

    def _rankers(self, measure: str) -> tuple[Ranker, Ranker]:
        return self._learned[measure] or self._day_one, self._day_one

    def _add(
        self,
        name: str,
        learned: float,
        day_one: float,
        features: Matrix,
        measure: Callable[[Floats], float],
        user: int,
    ) -> None:
        clicks = features[:, feature_index()[POPULARITY[name]]].astype(np.float64)
        self.values[name].append((learned, day_one, measure(clicks), user))


def as_table(rows: list[Row]) -> Table:
    """Return the rows as a table for the terminal."""
    headings = ("world", "learnt", "lists", "measure", "trees", "learned", "day-one", "popularity")
    table = Table(*headings, "learned less day-one", "n", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for row in rows:
        gain = row.difference
        means = (f"{i.mean:.4f}" for i in (row.learned, row.day_one, row.popularity))
        table.add_row(
            row.world,
            f"{row.share:.0%}",
            f"{row.learnt_from:,}",
            row.measure,
            str(row.trees),
            *means,
            f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})",
            f"{gain.n:,}",
        )
    return table


def _as_json(payload: dict[str, object]) -> bytes:
    return orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY)


if __name__ == "__main__":
    bench_first_model()
