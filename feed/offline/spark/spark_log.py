"""The log of an archive as Spark holds it: its rows, their numbers, and facts about all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import LongType, StructField, StructType

from feed.arrays import Floats
from feed.domain import ArchiveError
from feed.features.ids import IdMap
from feed.offline.archive_log import CATALOGUE, read_catalogue, read_embeddings
from feed.offline.merged_log import read_merge_rows
from feed.offline.spark.archive_rows import read_rows
from feed.offline.spark.log_facts import LogFacts
from feed.offline.spark.spark_session import file_address, tasks_of
from feed.offline.spark.window_files import ArchiveFiles, FileReplacedError
from feed.storage.archive import Archive
from feed.storage.archive_identities import put_together, read_merges
from feed.storage.archive_schema import ARTICLES, IDENTITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIES = 5
"""How often the files are listed, because others were put in their place."""
MOST_ROWS = 1_000_000
"""Archived events of the readers that one process holds at a time, about."""

_RAISED = re.compile(r"\bfeed[\w.]*\.(?P<kind>\w+Error): (?P<message>.+)")
"""One of our errors, in the text of one of Spark's."""


@dataclass(frozen=True, slots=True)
class SparkLog:
    """A log whose rows are in Parquet files of a scratch directory.

    Attributes:
        session: The Spark session.
        scratch: A directory that every process sees under the same path.
        facts: What does not grow with the events.
        sent: The same, broadcast.
        engagements: DataFrame of `archive_rows.ROWS` with `reader`.
        lists: The same of lists, with their `number` in time order.
        partitions: Into how many parts the readers are cut, so that each fits into memory.
    """

    session: Any
    scratch: Path
    facts: LogFacts
    sent: Any
    engagements: Any
    lists: Any
    partitions: int

    def lists_between(self, start: float, end: float) -> Any:
        """Return the lists that were served in [start, end)."""
        return self.lists.where(_inside(start, end))

    def clicked_times(self, start: float, end: float, most: int) -> Floats:
        """Return when the newest lists with a click in [start, end) were served, in time order."""
        clicked = self.lists_between(start, end).where("array_contains(clicked, true)")
        newest = clicked.select("moment").orderBy("moment", ascending=False).limit(most).toArrow()
        return np.sort(newest["moment"].to_numpy())

    def count_lists(self, start: float, end: float, *, clicked: bool = False) -> int:
        """Return how many lists were served in [start, end), or how many of these were clicked."""
        found = self.lists_between(start, end)
        return int((found.where("array_contains(clicked, true)") if clicked else found).count())

    def count_events(self, start: float, end: float) -> int:
        """Return how many engagements there were in [start, end)."""
        return int(self.engagements.where(_inside(start, end)).count())

    def count_rows(self) -> int:
        """Return how many engagements and places of lists were read."""
        shown = self.lists.selectExpr("coalesce(sum(size(shown)), 0) AS shown").first()["shown"]
        return self.count_events(-np.inf, np.inf) + int(shown)


def _inside(start: float, end: float) -> Any:
    """Return the condition that a row's moment lies in [start, end)."""
    return (F.col("moment") >= start) & (F.col("moment") < end)


def open_log(
    session: Any,
    archive: Archive,
    scratch: Path,
    from_at: float,
    section_aliases: Mapping[str, str],
) -> SparkLog:
    """Return the log of an archive from a time (epoch seconds) on.

    The driver reads the catalogue and the identity records; the rest it only counts. If a file is
    replaced after it was listed, all are listed again.

    Raises:
        ArchiveError: the archive cannot be read, or holds no event in the window.
    """
    with archive.query(from_at, tables=(ARTICLES, IDENTITIES)) as db:
        merge_rows = tuple(read_merge_rows(db))
        reader_of = put_together(read_merges(db)).reader_of
        readers = session.createDataFrame(
            pa.table(
                {
                    "id": pa.array(reader_of.keys(), pa.string()),
                    "reader": pa.array(reader_of.values(), pa.string()),
                }
            )
        ).persist()
        partitions = _write_rows(session, archive, scratch / "rows", readers, from_at)
        rows = session.read.parquet(file_address(scratch / "rows"))
        if rows.isEmpty():
            raise ArchiveError(f"the archive in {archive.directory} holds no events in this window")
        db.execute(CATALOGUE)
        known = [row[0] for row in db.execute("SELECT article_id FROM catalogue").fetchall()]
        articles = IdMap(sorted({*known, *_article_ids(rows)}))
        db.register(
            "article_rows",
            pa.table({"article_id": articles.ids, "number": np.arange(len(articles))}),
        )
        catalogue, added_at = read_catalogue(db, section_aliases)
        embeddings = read_embeddings(db, articles)
    named = rows.join(
        F.broadcast(readers.withColumnRenamed("reader", "merged")), rows.who == readers.id, "left"
    )
    named = named.withColumn("reader", F.coalesce("merged", "who")).drop("id", "merged")
    is_list = F.col("key").isNotNull()
    span = rows.agg(
        F.min("moment"),
        F.max("moment"),
        F.min(F.when(is_list, F.col("moment"))),
        F.max(F.expr("exists(places, place -> place >= 0)")),
    ).first()
    seen_at = _first_seen(rows, articles)
    places = articles.rows([article.article_id for article in catalogue])
    np.minimum.at(seen_at, places, added_at)
    facts = LogFacts(
        articles=articles,
        catalogue=catalogue,
        embeddings=embeddings,
        first_seen_at=np.where(np.isfinite(seen_at), seen_at, 0.0),
        merge_rows=merge_rows,
        reader_of=dict(reader_of),
        from_at=from_at,
        begins_at=span[0],
        ends_at=span[1],
        lists_from=np.inf if span[2] is None else span[2],
        knows_places=bool(span[3]),
    )
    return SparkLog(
        session=session,
        scratch=scratch,
        facts=facts,
        sent=session.sparkContext.broadcast(facts),
        engagements=named.where(~is_list),
        lists=_numbered(named.where(is_list), ("moment", "key", "who")).persist(),
        partitions=partitions,
    )


def _write_rows(session: Any, archive: Archive, target: Path, readers: Any, from_at: float) -> int:
    """Write the rows of the log; return into how many parts the readers are cut."""
    for left in reversed(range(TRIES)):
        try:
            files = ArchiveFiles.listed(archive, from_at)
            partitions = max(tasks_of(session), -(-files.count_events() // MOST_ROWS))
            rows = read_rows(session, files, readers, from_at, partitions)
            rows.write.mode("overwrite").parquet(file_address(target))
        except Exception as error:  # what another process raised comes as text in one of Java's
            said = _RAISED.search(f"{type(error).__module__}.{type(error).__name__}: {error}")
            if said is None:
                raise
            if said["kind"] != FileReplacedError.__name__ or not left:
                raise ArchiveError(said["message"]) from error
        else:
            return partitions
    raise AssertionError


def _article_ids(rows: Any) -> list[str]:
    shown = rows.select(F.explode("shown").alias("article_id"))
    below = rows.select(F.col("page").alias("article_id"))
    every = rows.select("article_id").union(shown).union(below)
    found = every.where("article_id IS NOT NULL AND article_id <> ''").distinct().toArrow()
    return list(found["article_id"].to_pylist())


def _first_seen(rows: Any, articles: IdMap) -> Floats:
    """Return when each article first appeared in the log, f64 [articles], inf if never."""
    done = rows.where("key IS NULL").select("article_id", "moment")
    shown = rows.where("key IS NOT NULL").select(F.explode("shown").alias("article_id"), "moment")
    found = done.union(shown).groupBy("article_id").agg(F.min("moment").alias("at")).toArrow()
    seen_at = np.full(len(articles), np.inf)
    seen_at[articles.rows(found["article_id"].to_pylist())] = found["at"].to_numpy()
    return seen_at


def _numbered(frame: Any, order: tuple[str, ...]) -> Any:
    """Return the rows with their place in an order as `number`, from 0 on."""
    parts = frame.repartitionByRange(*order).sortWithinPartitions(*order)
    parts = parts.withColumn("cut", F.spark_partition_id()).persist()
    sizes = {row["cut"]: row["count"] for row in parts.groupBy("cut").count().collect()}
    starts, total = {}, 0
    for cut in sorted(sizes):
        starts[cut] = total
        total += sizes[cut]

    def number(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        done = 0
        for batch in batches:
            if batch.num_rows:
                first = starts[batch.column("cut")[0].as_py()] + done
                done += batch.num_rows
                numbers = pa.array(np.arange(first, first + batch.num_rows))
                yield batch.append_column("number", numbers)

    schema = StructType([*parts.schema.fields, StructField("number", LongType())])
    return parts.mapInArrow(number, schema).drop("cut")
