"""Trains a model on Spark: what the local training learns, from the same archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import StorageLevel
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from feed.config import DAY_S
from feed.features.ids import IdMap
from feed.features.interactions import EventColumns
from feed.models.bundle import ModelBundle, load_bundle, save_bundle
from feed.models.factors import scale_to_readers
from feed.offline.bundle_rankers import with_rankers
from feed.offline.event_log import EventLog, Impressions, sort_events
from feed.offline.examination import Examination
from feed.offline.examples import Examples, ExampleStore, sample_negatives
from feed.offline.fitting import assemble_bundle, fit_bundle
from feed.offline.gate import GateVerdict, judge
from feed.offline.spark.example_blocks import ListWalk
from feed.offline.spark.log_facts import LogFacts
from feed.offline.spark.prepared_log import PreparedLog, PreparedReaders
from feed.offline.spark.process_exchange import from_bytes, to_bytes
from feed.offline.spark.reader_parts import (
    ENGAGEMENTS,
    EVENT_ORDER,
    EVENTS,
    LISTS,
    PROFILES,
    WEIGHTS,
    Sample,
    apply_to_readers,
    make_events,
    make_lists,
    make_profiles,
    make_samples,
    make_weights,
)
from feed.offline.spark.spark_factors import find_neighbours, fit_factors, sum_articles
from feed.offline.spark.spark_log import SparkLog
from feed.offline.spark.spark_plan import SparkPlan
from feed.offline.spark.spark_session import file_address, tasks_of
from feed.offline.training import TimeSpan, describe_training
from feed.offline.walk_plan import HEADS

_EXAMPLES = "head string, number long, at double, features binary, clicked binary, places binary"


class SparkTraining:
    """One training: its steps, in the order of `learn`, over the readers' rows of a log."""

    def __init__(self, log: SparkLog, plan: SparkPlan) -> None:
        self._log, self._plan = log, plan
        self._session, self._scratch = log.session, log.scratch
        self._tasks = tasks_of(log.session)
        self._config = plan.walk.training
        self._rows = self._deal_out()

    def learn(self, version: str, progress: Callable[[float], None]) -> ModelBundle:
        """Return the candidate, learnt from what happened before the plan's window.

        Args:
            version: its name.
            progress: called with the share done.
        """
        self._write_log()
        progress(0.3)
        periods = self._fit_periods()
        progress(0.5)
        examples = self.examples(periods)
        progress(0.8)
        plan, log = self._plan, self._log
        until = plan.window.start
        eyes = self.examine(periods)
        bundle = with_rankers(self.fit(), examples, plan.walk.training, plan.walk.threads, eyes)
        counts = describe_training(
            bundle,
            TimeSpan(plan.walk.learn_from, until),
            self._config,
            log_begins_at=log.facts.begins_at,
            events=log.count_events(-np.inf, until),
            lists=log.count_lists(-np.inf, until),
            clicked_lists=log.count_lists(-np.inf, until, clicked=True),
            data="archive",
        )
        progress(1.0)
        manifest = bundle.manifest | counts | {"engine": "spark"}
        return replace(bundle, version=version, manifest=manifest)

    def judge(self, candidate: ModelBundle, live: ModelBundle | None) -> GateVerdict:
        """Return the gate's verdict, from one process that reads the log part by part."""
        path = self._save(candidate, "candidate")
        live_path = None if live is None else self._save(live, "live")
        sent, scratch, plan = self._log.sent, self._scratch, self._plan

        def decide(batches: Any) -> Any:
            del batches
            facts: LogFacts = sent.value
            log = PreparedLog(scratch, facts)
            verdict = judge(
                log,
                load_bundle(path),
                None if live_path is None else load_bundle(live_path),
                plan.window,
                plan.walk.training.gate_margin,
                plan.walk.ranking,
                embeddings=facts.embeddings,
                readers=PreparedReaders(log),
            )
            yield pa.record_batch({"verdict": [to_bytes(verdict)]})

        found = self._session.range(0, 1, 1, 1).mapInArrow(decide, "verdict binary").collect()
        verdict: GateVerdict = from_bytes(found[0]["verdict"])
        return verdict

    def fit(self) -> ModelBundle:
        """Return the bundle without rankers of everything before the window."""
        facts, until = self._log.facts, self._plan.window.start
        known = np.flatnonzero(facts.first_seen_at < until)
        weights = apply_to_readers(
            self._rows, self._log.sent, WEIGHTS, make_weights, until, self._config
        )
        weights = weights.coalesce(self._tasks).persist()  # each part sends all equations
        totals = sum_articles(weights, len(known))
        config = scale_to_readers(totals.readers, self._config)
        bundle = assemble_bundle(
            facts.articles,
            known,
            until,
            config,
            factors=fit_factors(weights, totals, config, self._tasks),
            readers=totals.readers,
            neighbours=find_neighbours(weights, totals, config.neighbours, self._tasks),
            interactions=totals.interactions,
            people=totals.people,
            embeddings=facts.embeddings,
        )
        weights.unpersist()
        return bundle

    def examples(self, periods: list[tuple[float, Path]]) -> dict[str, Examples]:
        """Return the examples of each head, equal to those that the local training rebuilds."""
        numbers = np.sort(self._teaching().select("number").toArrow()["number"].to_numpy())
        blocks = [int(some[0]) for some in np.array_split(numbers, self._tasks) if len(some)]
        if not blocks:
            empty = ExampleStore(0.0).collect(0.0)
            return dict.fromkeys(HEADS, empty)
        open_walk = self._walk_opener(periods)
        states, learn_from = self._scratch / "states", self._plan.learn_from
        states.mkdir(exist_ok=True)

        def count(batches: Any) -> Any:
            del batches
            for number, state in enumerate(open_walk().count(learn_from, blocks)):
                (states / f"{number}.state").write_bytes(state)
            yield pa.record_batch({"done": [True]})

        def rebuild(batches: Any) -> Any:
            for number in (n for batch in batches for n in batch.column("id").to_pylist()):
                end = blocks[number + 1] if number + 1 < len(blocks) else None
                state = (states / f"{number}.state").read_bytes()
                for one in open_walk().examples(state, blocks[number], end):
                    yield pa.record_batch(
                        {
                            "head": [one.head],
                            "number": [one.number],
                            "at": [one.at],
                            "features": [one.features.tobytes()],
                            "clicked": [one.clicked.tobytes()],
                            "places": [one.places.tobytes()],
                        }
                    )

        self._session.range(0, 1, 1, 1).mapInArrow(count, "done boolean").collect()
        found = self._session.range(0, len(blocks), 1, len(blocks)).mapInArrow(rebuild, _EXAMPLES)
        found = found.persist()
        examples = {head: self._gather(found.where(f"head = '{head}'"), head) for head in HEADS}
        found.unpersist()
        return examples

    def examine(self, periods: list[tuple[float, Path]]) -> Examination | None:
        """Return how readily readers look at each place, from one process that reads the lists."""
        open_walk, learn_from = self._walk_opener(periods), self._plan.learn_from

        def look(batches: Any) -> Any:
            del batches
            yield pa.record_batch({"found": [to_bytes(open_walk().examine(learn_from))]})

        found = self._session.range(0, 1, 1, 1).mapInArrow(look, "found binary").collect()
        examination: Examination | None = from_bytes(found[0]["found"])
        return examination

    def _gather(self, found: Any, head: str) -> Examples:
        """Return a head's examples; of candidates that were not clicked only some.

        Which ones of a list without places depends on all lists before, so it is drawn here, from
        the clicks alone.
        """
        walk = self._plan.walk
        kept: dict[int, Any] = {}
        if head == "pool":
            rng = np.random.default_rng(self._config.seed)
            drawn_from = found.where("length(places) = 0").select("number", "clicked")
            flags = drawn_from.toArrow().sort_by("number")
            pairs = zip(flags["number"].to_pylist(), flags["clicked"].to_pylist(), strict=True)
            for number, data in pairs:
                clicked = np.frombuffer(data, np.bool_)
                kept[number] = sample_negatives(clicked, walk.negatives, rng)
        sent = self._session.sparkContext.broadcast(kept)

        def choose(batches: Any) -> Any:
            for batch in batches:
                table = pa.Table.from_batches([batch])
                for row in table.to_pylist():
                    places = sent.value.get(row["number"])
                    if places is not None:
                        clicked = np.frombuffer(row["clicked"], np.bool_)
                        features = np.frombuffer(row["features"], np.float32)
                        row["features"] = features.reshape(len(clicked), -1)[places].tobytes()
                        row["clicked"] = clicked[places].tobytes()
                    yield pa.RecordBatch.from_pylist([row], batch.schema)

        store = ExampleStore(self._config.ranker_days * DAY_S)
        for row in found.mapInArrow(choose, _EXAMPLES).toArrow().sort_by("number").to_pylist():
            clicked = np.frombuffer(row["clicked"], np.bool_)
            features = np.frombuffer(row["features"], np.float32).reshape(len(clicked), -1)
            store.add(features, clicked, row["at"], np.frombuffer(row["places"], np.int64))
        return store.collect(self._plan.window.start)

    def _fit_periods(self) -> list[tuple[float, Path]]:
        """Return when each period begins and where its bundle lies, fitted as locally."""
        log, walk, config = self._log, self._plan.walk, self._config
        samples = []
        for number, until in enumerate(self._plan.periods):
            count = log.count_events(until - config.window_days * DAY_S, until)
            most = walk.most_engagements or count
            samples.append(Sample(number, until, most / count if count > most else 1.0))
        drawn = apply_to_readers(
            self._rows, log.sent, ENGAGEMENTS, make_samples, samples, config
        ).toArrow()
        found = []
        for sample in samples:
            own = drawn.filter(pc.equal(drawn["period"], sample.period))
            bundle = fit_bundle(
                _sampled_log(own, log.facts),
                sample.until,
                config,
                embeddings=log.facts.embeddings,
                threads=walk.threads,
            )
            found.append((sample.until, self._save(bundle, f"period-{sample.period}")))
        return found

    def _walk_opener(self, periods: list[tuple[float, Path]]) -> Callable[[], ListWalk]:
        sent, scratch, walk = self._log.sent, self._scratch, self._plan.walk
        return lambda: ListWalk(PreparedLog(scratch, sent.value), sent.value, walk, periods)

    def _teaching(self) -> Any:
        """Return the lists that teach."""
        walk, until = self._plan.walk, self._plan.window.start
        due = [
            f"number div {walk.learn_run} % {every} = 0"
            for every in (walk.learn_pool_every, walk.learn_slate_every)
        ]
        return self._log.lists_between(self._plan.learn_from, until).where(
            f"array_contains(clicked, true) AND"
            f" ({due[0]} OR {due[1]} AND array_contains(clicked, false))"
        )

    def _judged(self) -> Any:
        """Return the lists that the gate judges by."""
        window = self._plan.window
        return self._log.lists_between(window.start, window.end).where(
            f"array_contains(clicked, true) AND number % {self._plan.judged_every} = 0"
        )

    def _deal_out(self) -> Any:
        """Return all rows of the log, each reader's in one partition."""
        looked_at = self._teaching().union(self._judged()).select("number", "who").persist()
        names = sorted(looked_at.select("who").distinct().toArrow()["who"].to_pylist())
        viewers = self._session.createDataFrame(
            pa.table({"who": pa.array(names, pa.string()), "viewer": np.arange(len(names))})
        )
        looked_at = looked_at.join(F.broadcast(viewers), "who").select("number", "viewer")
        lists = self._log.lists.join(looked_at, "number", "left")
        rows = self._log.engagements.unionByName(lists, allowMissingColumns=True)
        return rows.repartition(self._log.partitions, "reader").persist(StorageLevel.DISK_ONLY)

    def _write_log(self) -> None:
        """Write events, lists and profiles as `PreparedLog` reads them."""
        plan, sent = self._plan, self._log.sent
        lists = self._rows.where("key IS NOT NULL")
        for folder, schema, rows, order, make, arguments in (
            ("events", EVENTS, self._rows, EVENT_ORDER, make_events, (plan.learn_from,)),
            ("lists", LISTS, lists, ("part", "number"), make_lists, ()),
            ("profiles", PROFILES, self._rows, ("part",), make_profiles, (plan.walk.ranking,)),
        ):
            found = apply_to_readers(rows, sent, schema, make, *arguments)
            sorted_rows = found.repartition(self._tasks, "part").sortWithinPartitions(*order)
            target = file_address(self._scratch / folder)
            sorted_rows.drop("who", "follows").write.partitionBy("part").parquet(target)

    def _save(self, bundle: ModelBundle, name: str) -> Path:
        path = self._scratch / name
        save_bundle(bundle, path)
        return path


def _sampled_log(rows: pa.Table, facts: LogFacts) -> EventLog:
    """Return the log of one period's engagements, whose merges are done."""
    users = IdMap(sorted(set(rows["reader"].to_pylist())))
    count = len(rows)
    columns = EventColumns(
        users=users.rows(rows["reader"].to_pylist()),
        articles=np.asarray(rows["article"].to_numpy(), np.int64),
        kinds=np.asarray(rows["kind"].to_numpy(), np.int8),
        occurred_at=np.asarray(rows["occurred_at"].to_numpy(), np.float64),
        dwell_s=np.asarray(rows["dwell_s"].to_numpy(), np.float64),
    )
    no = np.zeros(count, np.bool_)
    return EventLog(
        name="archive",
        articles=facts.articles,
        users=users,
        events=sort_events(columns, no, no, no),
        impressions=Impressions.none(),
        first_seen_at=facts.first_seen_at,
        catalogue=facts.catalogue,
    )
