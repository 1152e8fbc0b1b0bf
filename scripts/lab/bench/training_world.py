"""A generated site's archive for the benchmark of training: news that is read while it is fresh."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson

from feed.arrays import Floats, Matrix, Rows
from feed.config import DAY_S, HOUR_S
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import CatalogueChange, RecordType, StreamRecord
from lab.bench.world import SECTIONS, clustered_vectors, stored_article

DAYS = 14.0
END = 1_780_000_000.0
"""The end of the generated log; what is drawn does not depend on the day the script runs."""
LEAD_DAYS = 2.0
"""Articles are published from this long before the log begins."""
MEAN_AGE_S = 8 * HOUR_S
"""Mean age of what is shown; ages are distributed exponentially."""
CONSIDERED = 4
"""Articles of which a reader opens the one that appeals most, at a draw."""
LIST_SIZE = 10
CLICKS_OF_A_READER = 100
WRITTEN_AT_ONCE = 100_000


def write_archive(archive_dir: Path, clicks: int, articles: int, lists: int) -> float:
    """Write the generated archive; return how long it took, seconds."""
    rng = np.random.default_rng(7)
    writer, began = ArchiveWriter(archive_dir, "bench"), time.perf_counter()
    writer.recover(lambda *_: [])
    writer.commit(Batch({}, _catalogue(clustered_vectors(rng, articles)), "1-0", END))
    pending: list[StreamRecord] = []
    for number, payload in enumerate(events(rng, clicks, articles, lists), start=1):
        pending.append(StreamRecord(f"{number}-0", RecordType.EVENT, orjson.dumps(payload)))
        if len(pending) >= WRITTEN_AT_ONCE:
            writer.commit(Batch({0: pending}, (), "1-0", END))
            pending = []
    writer.commit(Batch({0: pending}, (), "1-0", END))
    return time.perf_counter() - began


def published_at(articles: int) -> Floats:
    """Return when each article is published, in time order, f64 [articles]."""
    return np.linspace(END - (DAYS + LEAD_DAYS) * DAY_S, END, articles, endpoint=False)


def events(
    rng: np.random.Generator, clicks: int, articles: int, lists: int
) -> Iterator[dict[str, object]]:
    """Yield clicks in time order, those of a feed after the impressions of its articles."""
    readers = max(clicks // CLICKS_OF_A_READER, 1)
    published, appeal = published_at(articles), rng.standard_normal(articles)
    taste = rng.integers(0, SECTIONS, (readers, 2))
    answers = np.zeros(clicks, np.bool_)
    answers[rng.choice(clicks, lists, replace=False)] = True
    times = np.linspace(END - DAYS * DAY_S, END - 1.0, clicks)
    for start in range(0, clicks, WRITTEN_AT_ONCE):
        part = times[start : start + WRITTEN_AT_ONCE]
        users = rng.integers(0, readers, len(part))
        rows = _opened(rng, _shown(rng, part, published, CONSIDERED), appeal)
        own = rng.random(len(part)) < 2 / 3
        rows[own] = _of_section(rows, taste[users, rng.integers(0, 2, len(part))])[own]
        others = _shown(rng, part, published, LIST_SIZE - 1)
        columns = (users, rows, part, answers[start : start + len(part)])
        for place, (user, row, at, answer) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            number = start + place
            event = {"user_id": f"r{user}", "occurred_at": at, "received_at": at, "context": {}}
            if answer:
                event["request_id"] = f"q{number}"
                for slot, shown in enumerate(sorted({row, *others[place].tolist()})):
                    yield event | {
                        "event_id": f"i{number}-{slot}",
                        "article_id": f"a{shown}",
                        "kind": "impression",
                    }
            yield event | {
                "event_id": f"c{number}",
                "article_id": f"a{row}",
                "kind": "click",
                "first": True,
            }


def _catalogue(vectors: Matrix) -> list[CatalogueChange]:
    times = published_at(len(vectors)).tolist()
    changes = []
    for row, (at, vector) in enumerate(zip(times, vectors, strict=True)):
        stored = stored_article(f"a{row}", row, vector, END, len(vectors))
        stored = replace(stored, article=replace(stored.article, published_at=at), added_at=at)
        changes.append(CatalogueChange(f"a{row}", stored))
    return changes


def _shown(rng: np.random.Generator, times: Floats, published: Floats, count: int) -> Rows:
    """Return articles by age at some times, int64 [k, count]."""
    newest = np.searchsorted(published, times, "right") - 1
    gap_s = published[1] - published[0]
    ages = rng.exponential(MEAN_AGE_S / gap_s, (len(times), count)).astype(np.int64)
    rows: Rows = np.maximum(newest[:, None] - ages, 0)
    return rows


def _opened(rng: np.random.Generator, shown: Rows, appeal: Floats) -> Rows:
    """Return the article of each row of `shown` that appeals most at this draw, int64 [k]."""
    liking = appeal[shown] + rng.gumbel(size=shown.shape)
    rows: Rows = shown[np.arange(len(shown)), liking.argmax(axis=1)]
    return rows


def _of_section(rows: Rows, sections: Rows) -> Rows:
    """Return the newest article of a section that is no newer than each of `rows`."""
    older: Rows = rows - (rows - sections) % SECTIONS
    return np.where(older >= 0, older, rows)
