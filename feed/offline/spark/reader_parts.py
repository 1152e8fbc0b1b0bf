"""What is worked out reader by reader: earlier clicks, profiles, and weights of interactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from feed.arrays import Rows
from feed.config import DAY_S, RankingConfig
from feed.features.interactions import CLICK, EventColumns, build_interactions
from feed.offline.event_log import EventLog
from feed.offline.fitting import draw_ids
from feed.offline.reader_log import ReaderLog
from feed.offline.replay import PAIRS_S
from feed.offline.spark.log_facts import ReaderShare, read_part
from feed.offline.spark.process_exchange import to_bytes
from feed.training_config import TrainingConfig

Batches = Iterator[pa.RecordBatch]

EVENTS = (
    "part long, occurred_at double, follows boolean, who string, article int, kind byte,"
    " dwell_s double, from_feed boolean, on_page boolean, counted boolean, first boolean,"
    " previous array<int>, previous_at array<double>"
)
"""An engagement with the reader's clicks before it; sorted as a log is by its first columns."""
EVENT_ORDER = ("part", "occurred_at", "follows", "who", "article", "kind", "dwell_s")
LISTS = (
    "part long, number long, occurred_at double, viewer long, page int, device int,"
    " shown array<int>, clicked array<boolean>, places array<int>, scores array<float>,"
    " drawn array<boolean>"
)
PROFILES = "part long, viewer long, occurred_at double, profile binary"
WEIGHTS = "articles array<int>, weights array<double>"
ENGAGEMENTS = (
    "period int, reader string, who string, article int, kind byte, occurred_at double,"
    " dwell_s double"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one period's factors are fitted to: events before `until`, of a `share` of readers."""

    period: int
    until: float
    share: float


def apply_to_readers(
    frame: Any, facts: Any, schema: str, make: Callable[..., Batches], *arguments: Any
) -> Any:
    """Return what a function makes of the log of each partition's readers.

    Args:
        frame: DataFrame of the log's rows, each reader's in one partition.
        facts: broadcast `LogFacts`.
        schema: of what is made.
        make: called with the `ReaderShare` of a partition, and the arguments.
        arguments: for `make`.
    """

    def run(batches: Batches) -> Batches:
        found = list(batches)
        if found:
            rows = pa.Table.from_batches(found)
            yield from make(read_part(rows, facts.value), *arguments)

    return frame.mapInArrow(run, schema)


def make_events(part: ReaderShare, pairs_from: float) -> Batches:
    """Yield `EVENTS`; clicks from `pairs_from` on have the reader's clicks before them."""
    events, columns = part.log.events, part.log.events.columns
    readers = ReaderLog(part.log.late_until, part.log.merges)
    readers.take(part.log)
    clicks = np.flatnonzero(events.first & (columns.occurred_at >= pairs_from - PAIRS_S))
    rows, times, counts = readers.previous_of(events, clicks)
    sizes = np.zeros(len(events), np.int64)
    sizes[clicks] = counts
    users = pa.array(part.log.users.ids, pa.string())
    yield from _batches(
        part=part.facts.part_of(columns.occurred_at),
        occurred_at=columns.occurred_at,
        follows=columns.kinds != CLICK,
        who=users.take(pa.array(columns.users)),
        article=columns.articles.astype(np.int32),
        kind=columns.kinds,
        dwell_s=columns.dwell_s,
        from_feed=events.from_feed,
        on_page=events.on_page,
        counted=events.counted,
        first=events.first,
        previous=_lists(rows.astype(np.int32), sizes),
        previous_at=_lists(times, sizes),
    )


def make_lists(part: ReaderShare) -> Batches:
    """Yield `LISTS`."""
    views, placed = part.log.impressions, part.log.impressions.placed
    sizes = np.diff(views.starts)
    yield from _batches(
        part=part.facts.part_of(views.at),
        number=views.keys,
        occurred_at=views.at,
        viewer=part.viewers,
        page=views.pages.astype(np.int32),
        device=views.devices.astype(np.int32),
        shown=_lists(views.shown.astype(np.int32), sizes),
        clicked=_lists(views.clicked, sizes),
        places=_lists(placed.places.astype(np.int32), sizes),
        scores=_lists(placed.scores, sizes),
        drawn=_lists(placed.drawn, sizes),
    )


def make_profiles(part: ReaderShare, ranking: RankingConfig) -> Batches:
    """Yield `PROFILES`: what each list that is looked at was decided from."""
    readers = ReaderLog(part.log.late_until, part.log.merges)
    readers.take(part.log)
    wanted = np.flatnonzero(part.viewers >= 0)
    views = part.log.impressions
    profiles = [
        to_bytes(readers.profile(user, at, ranking))
        for user, at in zip(views.users[wanted].tolist(), views.at[wanted].tolist(), strict=True)
    ]
    yield from _batches(
        part=part.facts.part_of(views.at[wanted]),
        viewer=part.viewers[wanted],
        occurred_at=views.at[wanted],
        profile=pa.array(profiles, pa.binary()),
    )


def make_weights(part: ReaderShare, until: float, config: TrainingConfig) -> Batches:
    """Yield `WEIGHTS`: a reader's row of the interaction matrix, as it stands at `until`.

    Its articles are numbered among those that had appeared by then.
    """
    columns, users = _window(part.log, until, config)
    shape = (len(part.log.users), len(part.log.articles))
    matrix = build_interactions(_of(columns, users), shape, until, config)
    known = np.flatnonzero(part.facts.first_seen_at < until)
    matrix = matrix[np.diff(matrix.indptr) > 0][:, known].tocsr()
    sizes = np.diff(matrix.indptr)
    yield from _batches(
        articles=_lists(matrix.indices.astype(np.int32), sizes),
        weights=_lists(matrix.data, sizes),
    )


def make_samples(
    part: ReaderShare,
    samples: Sequence[Sample],
    config: TrainingConfig,
) -> Batches:
    """Yield `ENGAGEMENTS`: what the readers that a hash draws did before each period."""
    names = pa.array(part.log.users.ids, pa.string())
    for sample in samples:
        columns, readers = _window(part.log, sample.until, config)
        drawn = np.flatnonzero(draw_ids(part.log.users, sample.share)[readers])
        yield from _batches(
            period=np.full(len(drawn), sample.period, np.int32),
            reader=names.take(pa.array(readers[drawn])),
            who=names.take(pa.array(columns.users[drawn])),
            article=columns.articles[drawn].astype(np.int32),
            kind=columns.kinds[drawn],
            occurred_at=columns.occurred_at[drawn],
            dwell_s=columns.dwell_s[drawn],
        )


def _window(log: EventLog, until: float, config: TrainingConfig) -> tuple[EventColumns, Rows]:
    """Return what is learnt from at a moment, and whose it was known to be then."""
    columns = log.window(until - config.window_days * DAY_S, until).events.before(until)
    return columns, log.merges.one_reader_each(columns.users, until)


def _of(columns: EventColumns, users: Rows) -> EventColumns:
    return EventColumns(
        users=users,
        articles=columns.articles,
        kinds=columns.kinds,
        occurred_at=columns.occurred_at,
        dwell_s=columns.dwell_s,
    )


def _lists(values: Any, sizes: Rows) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values))


def _batches(**columns: Any) -> Batches:
    yield from pa.table({name: pa.array(values) for name, values in columns.items()}).to_batches()
