"""What every process of a training knows of the log: articles, merges, and its span."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feed.arrays import Column, Flags, Floats, Integers, Matrix, Rows
from feed.domain import Article
from feed.features.ids import IdMap
from feed.features.interactions import CLICK, KINDS, EventColumns
from feed.features.request_context import device_code
from feed.offline.event_log import EventLog, Impressions, ListPlaces, sort_events
from feed.offline.log_source import PART_S
from feed.offline.merged_log import MergeRow, make_merges
from feed.offline.merges import Merges


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """What does not grow with the events: it is sent to every process.

    Attributes:
        articles: Their numbering.
        catalogue: What is known of them.
        embeddings: Their vectors, f32 [articles, d].
        first_seen_at: When each first appeared, f64 [articles].
        merge_rows: The identity records.
        reader_of: Each merged id with the reader it is in the end.
        from_at: Begin of the window, epoch seconds.
        begins_at: Time of the first event or list.
        ends_at: Time of the last one.
        lists_from: Time of the first list, inf without any.
        knows_places: Whether the log says of any list how it was placed.
    """

    articles: IdMap
    catalogue: tuple[Article, ...]
    embeddings: Matrix | None
    first_seen_at: Floats
    merge_rows: tuple[MergeRow, ...]
    reader_of: Mapping[str, str]
    from_at: float
    begins_at: float
    ends_at: float
    lists_from: float
    knows_places: bool

    def part_of(self, times: Floats) -> Integers:
        """Return in which part of the log times lie, int64."""
        count = int((self.ends_at - self.begins_at) // PART_S) + 2
        cuts = self.begins_at + np.arange(count) * PART_S  # as `log_source.parts` makes them
        return np.searchsorted(cuts, times, "right") - 1

    def merges(self) -> Merges:
        """Return the identity records as merges of nobody: what they take back from counters."""
        return make_merges(self.merge_rows, IdMap(), self.articles, self.from_at)

    def merges_of(self, readers: Set[str]) -> list[MergeRow]:
        """Return the identity records that concern some readers, named as they are in the end."""
        return [row for row in self.merge_rows if self.reader_of.get(row[0], row[0]) in readers]


@dataclass(frozen=True, slots=True)
class ReaderShare:
    """The log of some readers under numbers of their own, in the order of their ids.

    The lists have their numbers in the whole log as keys; `viewers` int64 [lists] are the numbers
    of the readers whose lists are looked at, -1 for other lists. `facts` are those of the log.
    """

    log: EventLog
    viewers: Rows
    facts: LogFacts


def read_part(rows: pa.Table, facts: LogFacts) -> ReaderShare:
    """Return the part of the readers to whom rows belong.

    Args:
        rows: rows of `archive_rows.ROWS` with `reader`, and the `number` and `viewer` of lists.
        facts: of the whole log.
    """
    merges = facts.merges_of(set(rows["reader"].to_pylist()))
    named = {name for merge in merges for name in merge[:2] if name}
    users = IdMap(sorted(named | set(rows["who"].to_pylist())))
    is_list = pc.is_valid(rows["key"])
    lists = rows.filter(is_list).sort_by("number")
    events = rows.filter(pc.invert(is_list))
    codes = {kind.value: code for code, kind in enumerate(KINDS)}
    kinds = np.array([codes[kind] for kind in events["kind"].to_pylist()], np.int8)
    columns = EventColumns(
        users=users.rows(events["who"].to_pylist()),
        articles=facts.articles.rows(events["article_id"].to_pylist()),
        kinds=kinds,
        occurred_at=_floats(events["moment"]),
        dwell_s=_floats(events["dwell_s"]),
    )
    answers, on_page, first = (_flags(events[name]) for name in ("answers", "on_page", "first"))
    sorted_events = sort_events(columns, answers & (kinds == CLICK), on_page, first)
    log = EventLog(
        name="archive",
        articles=facts.articles,
        users=users,
        events=sorted_events.with_counted_first(),
        impressions=_impressions(lists, users, facts.articles),
        first_seen_at=facts.first_seen_at,
        merges=make_merges(merges, users, facts.articles, facts.from_at),
    )
    return ReaderShare(log, _integers(lists["viewer"]), facts)


def _impressions(lists: pa.Table, users: IdMap, articles: IdMap) -> Impressions:
    shown, clicked = (lists[name].combine_chunks() for name in ("shown", "clicked"))
    sizes = pc.list_value_length(shown).to_numpy(zero_copy_only=False)
    return Impressions(
        keys=_integers(lists["number"]),
        users=users.rows(lists["who"].to_pylist()),
        at=_floats(lists["moment"]),
        pages=articles.rows([page or "" for page in lists["page"].to_pylist()]),
        devices=np.array([device_code(d) for d in lists["device"].to_pylist()], np.int64),
        subscribers=np.full(len(lists), -1, np.int64),
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        shown=articles.rows(shown.flatten().to_pylist()),
        clicked=_flags(clicked.flatten()),
        placed=ListPlaces(
            places=_integers(_flat(lists["places"])),
            scores=_floats(_flat(lists["scores"])).astype(np.float32),
            drawn=_flags(_flat(lists["drawn"])),
        ),
    )


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values of a column of lists."""
    return pa.chunked_array([column.combine_chunks().flatten()])


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(pc.fill_null(column, np.nan).to_numpy(), np.float64)


def _integers(column: pa.ChunkedArray) -> Column:
    return np.asarray(pc.fill_null(column, -1).to_numpy(), np.int64)


def _flags(column: pa.ChunkedArray) -> Flags:
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), np.bool_)
