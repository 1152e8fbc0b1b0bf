"""A training on Spark learns what the local one learns, from the same archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lab.faults.object_server import ObjectServer
from reader_archive import write_archive

from feed.config import DAY_S, RankingConfig, Settings
from feed.domain import ArchiveError
from feed.features import pairs
from feed.offline.archive_log import read_archive
from feed.offline.event_log import EventLog
from feed.offline.gate import judge
from feed.offline.training import hold_out, train
from feed.offline.walk import Walk
from feed.storage.archive import Archive
from feed.storage.working_copy import object_place, prepare_data_dir, remote_of
from feed.training_config import TrainingConfig

pytest.importorskip("pyspark", reason="PySpark, the extra spark, is not installed")

from feed.offline.spark import window_files
from feed.offline.spark.example_blocks import ListWalk
from feed.offline.spark.prepared_log import PreparedLog
from feed.offline.spark.spark_log import SparkLog, open_log
from feed.offline.spark.spark_plan import SparkPlan, make_plan
from feed.offline.spark.spark_training import SparkTraining
from feed.offline.spark.window_files import FOOTER_BYTES, ArchiveFiles

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:pyspark")

SMALL = TrainingConfig(factors=4, iterations=3, ranker_trees=10, ranker_min_impressions=50)
RANKING = RankingConfig()
LISTS = 800
TABLES = ("events", "served")


@dataclass(frozen=True)
class World:
    """One archive, read from a directory by the local training and from objects by Spark."""

    log: EventLog
    embeddings: Any
    spark: SparkLog
    plan: SparkPlan
    training: SparkTraining

    @property
    def periods(self) -> list[tuple[float, Path]]:
        """The bundles that `learn` has fitted for the lists that teach."""
        paths = (self.spark.scratch / f"period-{n}" for n in range(len(self.plan.periods)))
        return list(zip(self.plan.periods, paths, strict=True))

    @property
    def prepared(self) -> PreparedLog:
        return PreparedLog(self.spark.scratch, self.spark.facts)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    directory = tmp_path_factory.mktemp("archive")
    write_archive(directory, lists=LISTS)
    return Archive(directory)


@pytest.fixture(scope="module")
def objects(
    archive: Archive, object_server: ObjectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Archive]:
    """The same archive in an object store, of which this machine has nothing."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in object_server.environment(object_server.port).items():
            environment.setenv(name, value)
        object_place.cache_clear()
        url = object_server.new_url()
        for machine in ("one", "other"):
            directory = tmp_path_factory.mktemp(machine)
            prepare_data_dir(replace(Settings(), data_dir=directory, data_url=url))
            if machine == "one":
                write_archive(directory / "archive", lists=LISTS)
        yield Archive(directory / "archive")
    object_place.cache_clear()


@pytest.fixture(scope="module")
def since(archive: Archive) -> float:
    span = archive.span()
    assert span is not None
    return span[1] - SMALL.window_days * DAY_S


@pytest.fixture(scope="module")
def world(
    archive: Archive,
    objects: Archive,
    since: float,
    spark: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> World:
    log, embeddings = read_archive(archive, since)
    opened = open_log(spark, objects, tmp_path_factory.mktemp("scratch"), since, {})
    plan = make_plan(opened, float("-inf"), SMALL, RANKING)
    return World(log, embeddings, opened, plan, SparkTraining(opened, plan))


@pytest.fixture(scope="module")
def candidate(world: World) -> Any:
    return world.training.learn("on-spark", lambda _: None)


def test_the_log_is_the_one_that_the_local_training_reads(world, candidate):
    log, whole = world.log, world.prepared.window(-np.inf, np.inf)
    assert len(log.merges) > 3
    assert (log.impressions.pages >= 0).any()
    for name in ("articles", "kinds", "occurred_at", "dwell_s"):
        expected = getattr(log.events.columns, name)
        np.testing.assert_array_equal(getattr(whole.events.columns, name), expected)
    for name in ("from_feed", "on_page", "counted", "first"):
        np.testing.assert_array_equal(getattr(whole.events, name), getattr(log.events, name))
    for name in ("at", "pages", "devices", "starts", "shown", "clicked"):
        expected = getattr(log.impressions, name)
        np.testing.assert_array_equal(getattr(whole.impressions, name), expected)
    for name in ("places", "scores", "drawn"):
        expected = getattr(log.impressions.placed, name)
        np.testing.assert_array_equal(getattr(whole.impressions.placed, name), expected)
    some = log.impressions.placed
    assert (some.places < 0).any()
    assert (some.places >= 0).any()
    assert some.drawn.any()
    np.testing.assert_array_equal(world.prepared.first_seen_at, log.first_seen_at)
    assert world.plan.window == hold_out(log)


def test_the_examples_are_those_of_the_local_walk_bit_for_bit(world, candidate):
    walk = Walk(world.log, world.plan.walk, world.embeddings)
    walk.learn()
    for head, found in world.training.examples(world.periods).items():
        expected = walk.examples(head, world.plan.window.start)
        assert len(expected) > 50
        np.testing.assert_array_equal(found.features, expected.features)
        np.testing.assert_array_equal(found.clicked, expected.clicked)
        np.testing.assert_array_equal(found.sizes, expected.sizes)
        np.testing.assert_array_equal(found.places, expected.places)
        assert (found.places >= 0).any()


@pytest.mark.parametrize("blocks", [1, 7])
def test_blocks_go_on_from_the_state_that_counting_left(world, candidate, monkeypatch, blocks):
    """However few pairs wait before they are put into their lists."""
    monkeypatch.setattr(pairs, "_LEAST_PENDING", 20)
    plan, facts = world.plan, world.spark.facts

    def examples(firsts: list[int]) -> list[Any]:
        walk = ListWalk(world.prepared, facts, plan.walk, world.periods)
        states = list(walk.count(plan.learn_from, firsts))
        ends = [*firsts[1:], None]
        return [
            one
            for state, first, end in zip(states, firsts, ends, strict=True)
            for one in ListWalk(world.prepared, facts, plan.walk, world.periods).examples(
                state, first, end
            )
        ]

    teaching = [one.number for one in examples([0]) if one.head == "slate"]
    parts = [int(some[0]) for some in np.array_split(teaching, blocks)]
    walk = Walk(world.log, plan.walk, world.embeddings)
    walk.learn()
    found = [one for one in examples(parts) if one.head == "slate"]
    expected = walk.examples("slate", plan.window.start)
    assert len(found) == len(expected)
    np.testing.assert_array_equal(np.concatenate([f.features for f in found]), expected.features)


def test_the_bundle_is_the_local_one_but_for_the_rounding_of_its_factors(world, candidate):
    local = train(world.log, world.plan.window.start, SMALL, RANKING, embeddings=world.embeddings)
    for name in ("window", "events", "lists", "clicked_lists", "readers", "interactions", "data"):
        assert candidate.manifest[name] == local.manifest[name]
    assert candidate.manifest["engine"] == "spark"
    assert candidate.manifest["examination"] == local.manifest["examination"]
    assert candidate.article_ids.ids == local.article_ids.ids
    np.testing.assert_array_equal(candidate.readers, local.readers)
    assert candidate.regularization == pytest.approx(local.regularization)
    np.testing.assert_allclose(candidate.neighbour_weights, local.neighbour_weights, rtol=1e-6)
    same = candidate.neighbour_index == local.neighbour_index
    ties = np.isclose(local.neighbour_weights[:, :-1], local.neighbour_weights[:, 1:], rtol=1e-6)
    tied = np.pad(ties, ((0, 0), (0, 1))) | np.pad(ties, ((0, 0), (1, 0)))
    assert (same | tied)[:, :-1].all()
    assert candidate.content_map.shape == local.content_map.shape
    assert candidate.ranker is not None


def test_the_gate_says_what_it_says_of_the_same_candidate_locally(world, candidate):
    found = world.training.judge(candidate, None)
    expected = judge(
        world.log, candidate, None, world.plan.window, SMALL.gate_margin, RANKING,
        embeddings=world.embeddings,
    )  # fmt: skip
    assert found.to_dict() == expected.to_dict()
    assert found.notes == expected.notes
    assert found.candidate.n > 50


def test_an_archive_without_events_in_the_window_is_refused(archive, spark, tmp_path):
    with pytest.raises(ArchiveError, match="no events in this window"):
        open_log(spark, archive, tmp_path, 2_000_000_000.0, {})


def test_the_driver_fetches_neither_events_nor_lists(world, objects):
    copies = [path.relative_to(objects.directory) for path in objects.directory.rglob("*.parquet")]
    assert {path.parts[0] for path in copies} == {"articles", "identities"}


def test_a_directory_has_the_same_rows_as_objects(world, archive, since, spark, tmp_path):
    opened = open_log(spark, archive, tmp_path, since, {})
    for name in ("engagements", "lists"):
        here, there = (
            sorted(map(repr, getattr(one, name).collect())) for one in (opened, world.spark)
        )
        assert len(here) > 100
        assert here == there
    np.testing.assert_array_equal(opened.facts.embeddings, world.spark.facts.embeddings)
    assert opened.facts.catalogue == world.spark.facts.catalogue


@pytest.mark.parametrize("bytes_at_first", [9, FOOTER_BYTES])
def test_the_ends_of_files_say_how_many_events_there_are_and_until_when(
    archive, objects, monkeypatch, bytes_at_first
):
    monkeypatch.setattr(window_files, "FOOTER_BYTES", bytes_at_first)
    span = archive.span()
    assert span is not None
    with archive.query() as db:
        (count,) = db.execute("SELECT count(*) FROM events").fetchone()
    for one in (archive, objects):
        files = ArchiveFiles.listed(one, float("-inf"))
        assert (files.count_events(), files.last_event_at()) == (count, span[1])


@pytest.fixture
def list_also(monkeypatch: pytest.MonkeyPatch) -> Any:
    """List files that are not those of the archive, each the next time that all are listed."""
    listed, late = ArchiveFiles.listed, []

    def list_late(archive: Archive, from_at: float) -> ArchiveFiles:
        files = listed(archive, from_at)
        if not late:
            return files
        name = late.pop(0)
        table = name.partition("/")[0]
        return replace(files, names={**files.names, table: [*files.names[table], name]})

    monkeypatch.setattr(ArchiveFiles, "listed", list_late)
    return late


def test_files_that_are_replaced_meanwhile_are_listed_again(
    world, objects, since, spark, tmp_path, list_also
):
    list_also += [f"{name}/day=2026-05-28/1.0123456789abcdef.parquet" for name in TABLES]
    opened = open_log(spark, objects, tmp_path, since, {})
    assert list_also == []
    assert opened.count_rows() == world.spark.count_rows()


def test_a_damaged_object_ends_the_training_in_one_line(objects, since, spark, tmp_path, list_also):
    damaged = "served/day=2026-05-28/1.0123456789abcdef.parquet"
    remote_of(objects.directory).create(damaged, b"not the content of this name")
    list_also += [damaged]
    with pytest.raises(ArchiveError, match=f"{damaged} does not have the content") as caught:
        open_log(spark, objects, tmp_path, since, {})
    assert "\n" not in str(caught.value)
