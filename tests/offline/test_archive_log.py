"""An installation's archive as an event log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import orjson
import pytest

from feed.domain import ArchiveError, Article, EventKind
from feed.features.interactions import CLICK, KIND_CODE
from feed.offline.archive_log import encoder_of, read_archive
from feed.offline.event_log import EventLog
from feed.offline.replay import build_log_pool
from feed.storage.archive import Archive
from feed.storage.archive_files import table_files
from feed.storage.archive_writer import ArchiveWriter, Batch
from feed.storage.records import CatalogueChange, RecordType, StoredArticle, StreamRecord

NOW = 1_780_000_000.0


class Shelf:
    """Writes an archive as the worker would."""

    def __init__(self, directory: Path) -> None:
        self.archive = Archive(directory)
        self._writer = ArchiveWriter(directory, "me")
        self._writer.recover(lambda *_: [])
        self._number = 0

    def event(self, kind, article, user="u", at=NOW, **fields) -> StreamRecord:
        self._number += 1
        payload = {
            "event_id": f"e{self._number}",
            "user_id": user,
            "article_id": article,
            "kind": kind,
            "occurred_at": at,
            "received_at": at,
            "dwell_s": None,
            "position": None,
            "context": {},
            "request_id": "r",
            "first": kind == "click",
            "previous": [],
            "likes": 0,
            "dislikes": 0,
            **fields,
        }
        return StreamRecord(f"{self._number}-0", RecordType.EVENT, orjson.dumps(payload))

    def feed(self, articles, user="u", at=NOW, context=None, request_id="r") -> StreamRecord:
        self._number += 1
        count = len(articles)
        payload = {
            "request_id": request_id,
            "user_id": user,
            "served_at": at,
            "mode": "personalized",
            "rung": "personalized",
            "personalized": True,
            "model_version": "none",
            "experiments": {},
            "section": "",
            "language": "",
            "latency_ms": 1.0,
            "counters_at": "1-0",
            "context": context or {},
            "positions": list(range(count)),
            "article_ids": list(articles),
            "scores": [0.5] * count,
            "sources_lists": ["fresh"] * count,
            "reasons": [""] * count,
            "are_trending": [False] * count,
            "are_explored": [False] * count,
            "are_pinned": [False] * count,
            "propensities": [1.0] * count,
        }
        return StreamRecord(f"{self._number}-0", RecordType.SERVED, orjson.dumps(payload))

    def commit(
        self, records: Sequence[StreamRecord], changes: Sequence[CatalogueChange] = ()
    ) -> None:
        self._writer.commit(Batch({0: records}, changes, "1-0", NOW))

    def log(self, from_at: float = 0.0, to_at: float = 1e11) -> EventLog:
        return read_archive(self.archive, from_at, to_at)[0]


def added(article_id, vector=(), published_at=NOW - 600, encoder="e", **fields) -> CatalogueChange:
    article = Article(article_id=article_id, title="T", published_at=published_at, **fields)
    stored = StoredArticle(article, np.array(vector, np.float32), encoder, "h", NOW - 60)
    return CatalogueChange(article_id, stored)


def lists_of(log: EventLog) -> list[tuple[str, float, list[str], list[str]]]:
    """Return each list as reader, time, articles shown, articles clicked."""
    views, ids = log.impressions, log.articles.ids
    found = []
    for i in range(len(views)):
        part = slice(views.starts[i], views.starts[i + 1])
        shown = views.shown[part]
        found.append(
            (
                log.users.ids[views.users[i]],
                float(views.at[i]),
                [ids[r] for r in shown.tolist()],
                [ids[r] for r in shown[views.clicked[part]].tolist()],
            )
        )
    return found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "archive")


def test_what_came_into_view_of_a_request_is_a_list_at_the_time_it_was_served(shelf):
    shelf.commit(
        [
            shelf.feed(["a", "b", "c", "d"], at=NOW - 5),
            *[shelf.event("impression", a, at=NOW + i) for i, a in enumerate("abc")],
            shelf.event("click", "b", at=NOW + 9),
        ]
    )
    assert lists_of(shelf.log()) == [("u", NOW - 5, ["a", "b", "c"], ["b"])]


def test_a_list_knows_how_the_feed_placed_it(shelf):
    record = shelf.feed(["c", "a", "d", "b"], at=NOW - 5)
    payload = orjson.loads(record.payload)
    payload |= {
        "scores": [0.9, 0.8, 0.1, 0.7],
        "are_explored": [False, False, True, False],
        "are_pinned": [True, False, False, False],
    }
    record = StreamRecord(record.stream_id, RecordType.SERVED, orjson.dumps(payload))
    shelf.commit([record, *[shelf.event("impression", a) for a in "abcdx"]])
    placed = shelf.log().impressions.placed
    assert placed.places.tolist() == [1, 3, 0, 2, -1]
    assert placed.drawn.tolist() == [False, False, False, True, False]
    assert np.allclose(placed.scores, [0.8, 0.7, np.nan, np.nan, np.nan], equal_nan=True)


def test_places_are_those_of_the_readers_own_feed(shelf):
    shelf.commit(
        [
            shelf.feed(["a", "b"], user="v"),
            shelf.feed(["b", "a"], user="u"),
            shelf.event("impression", "a", user="u"),
            shelf.event("impression", "a", user="v"),
        ]
    )
    log = shelf.log()
    places = log.impressions.placed.places.tolist()
    readers = [log.users.ids[user] for user in log.impressions.users.tolist()]
    assert dict(zip(readers, places, strict=True)) == {"u": 1, "v": 0}


def test_a_log_without_served_feeds_places_nothing(shelf):
    shelf.commit([shelf.event("impression", "b"), shelf.event("impression", "a")])
    placed = shelf.log().impressions.placed
    assert not len(placed.places)
    assert not len(placed.scores)


def test_without_a_served_record_a_list_stands_at_its_first_impression(shelf):
    shelf.commit([shelf.event("impression", "b", at=NOW + 2), shelf.event("impression", "a")])
    assert lists_of(shelf.log()) == [("u", NOW, ["a", "b"], [])]


def test_the_same_request_id_of_two_readers_is_two_lists(shelf):
    shelf.commit(
        [
            shelf.event("impression", "a"),
            shelf.event("impression", "a", user="v", at=NOW + 1),
            shelf.event("click", "a", user="v", at=NOW + 2),
        ]
    )
    assert lists_of(shelf.log()) == [("u", NOW, ["a"], []), ("v", NOW + 1, ["a"], ["a"])]


def test_a_click_that_names_no_request_counts_but_answers_no_list(shelf):
    shelf.commit(
        [
            shelf.event("impression", "a"),
            shelf.event("click", "a", at=NOW + 1, request_id=None),
            shelf.event("click", "b", at=NOW + 2),
        ]
    )
    log = shelf.log()
    assert lists_of(log) == [("u", NOW, ["a"], [])]
    assert log.events.from_feed.tolist() == [False, True]
    assert log.events.columns.kinds.tolist() == [CLICK, CLICK]


def test_impressions_without_a_request_are_lists_of_one(shelf):
    shelf.commit([shelf.event("impression", a, request_id=None) for a in "ab"])
    assert [shown for _, _, shown, _ in lists_of(shelf.log())] == [["a"], ["b"]]


def test_events_of_readers_without_personalisation_are_never_joined(shelf):
    shelf.commit(
        [
            shelf.event("impression", "a", user="", request_id=""),
            shelf.event("click", "a", user="", request_id="", at=NOW + 1),
            shelf.event("click", "a", user="", request_id="", at=NOW + 2, first=False),
        ]
    )
    log = shelf.log()
    assert len(set(log.users.ids)) == 3
    assert log.events.counted.tolist() == [True, False]


def test_two_of_them_may_have_given_the_same_event_id(shelf):
    same = {"user": "", "request_id": "", "event_id": "1"}
    shelf.commit(
        [shelf.event("impression", "a", **same), shelf.event("impression", "a", at=NOW + 1, **same)]
    )
    assert len(set(shelf.log().users.ids)) == 2


def test_the_page_and_the_device_of_a_request_are_numbered_as_the_service_does(shelf):
    context = {"page_article_id": "p", "device": "tablet"}
    shelf.commit(
        [
            shelf.feed(["a"], context=context),
            shelf.event("impression", "a", context={"page_article_id": "p"}),
            shelf.event("click", "a", at=NOW + 1, context={"page_article_id": "p"}),
        ]
    )
    log = shelf.log()
    assert log.impressions.devices.tolist() == [3]
    assert log.impressions.pages.tolist() == [log.articles.row("p")]
    assert log.events.on_page.tolist() == [True]


def test_every_kind_of_engagement_comes_back_undo_included(shelf):
    others = {EventKind.IMPRESSION, EventKind.CUSTOM}
    kinds = [kind.value for kind in EventKind if kind not in others]
    shelf.commit([shelf.event(kind, "a", at=NOW + i) for i, kind in enumerate(kinds)])
    assert shelf.log().events.columns.kinds.tolist() == [KIND_CODE[EventKind(k)] for k in kinds]


def test_custom_events_are_no_part_of_the_log(shelf):
    custom = {"name": "subscribed", "value": 1.0, "context": {"page_article_id": "p"}}
    shelf.commit([shelf.event("custom", "", **custom), shelf.event("custom", "b", user="v")])
    with pytest.raises(ArchiveError, match="no events"):
        shelf.log()
    shelf.commit([shelf.event("click", "a")])
    log = shelf.log()
    assert (len(log.events), log.articles.ids, log.users.ids) == (1, ["a"], ["u"])


def test_the_window_is_half_open(shelf):
    shelf.commit([shelf.event("click", a, at=NOW + i) for i, a in enumerate("abc")])
    assert shelf.log(NOW, NOW + 2).events.columns.occurred_at.tolist() == [NOW, NOW + 1]


def test_the_catalogue_comes_with_vectors_of_the_commonest_length(shelf):
    shelf.commit(
        [shelf.event("click", "a"), shelf.event("click", "x", at=NOW + 1)],
        [
            added("a", [1.0, 0.0], section="s"),
            added("b", [0.0, 1.0], retracted=True),
            added("c", [1.0, 2.0, 3.0]),
        ],
    )
    log, embeddings = read_archive(shelf.archive)
    assert {a.article_id: (a.section, a.retracted) for a in log.catalogue} == {
        "a": ("s", False),
        "b": ("", True),
        "c": ("", False),
    }
    assert embeddings is not None
    rows = log.articles.rows(["a", "b", "c", "x"])
    assert embeddings[rows].tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_vectors_of_two_encoders_are_not_mixed(shelf):
    shelf.commit(
        [shelf.event("click", "a")],
        [added("a", [1.0, 0.0]), added("b", [0.0, 1.0]), added("c", [0.6, 0.8], encoder="other")],
    )
    log, embeddings = read_archive(shelf.archive)
    assert embeddings is not None
    assert embeddings[log.articles.rows(["a", "b", "c"])].tolist() == [[1, 0], [0, 1], [0, 0]]
    assert encoder_of(shelf.archive) == "e"


def test_aliases_name_the_section_that_is_meant(shelf):
    shelf.commit(
        [shelf.event("click", "a")],
        [added("a", section="Football"), added("b", section="Chess")],
    )
    log, _ = read_archive(shelf.archive, section_aliases={"football": "Sport"})
    assert {a.article_id: a.section for a in log.catalogue} == {"a": "Sport", "b": "Chess"}


def test_an_article_is_first_seen_when_published_added_or_read_whichever_was_first(shelf):
    shelf.commit(
        [shelf.event("click", "early", at=NOW - 900), shelf.event("click", "unlisted")],
        [added("published"), added("timeless", published_at=0.0), added("early")],
    )
    log = shelf.log()
    seen = log.first_seen_at[log.articles.rows(["published", "timeless", "early", "unlisted"])]
    assert seen.tolist() == [NOW - 600, NOW - 60, NOW - 900, NOW]


def test_age_counts_as_it_did_live_and_in_older_files_from_the_publication(shelf):
    live = added("live")
    changed = replace(live, stored=replace(live.stored, fresh_at=NOW - 5))
    shelf.commit([shelf.event("click", "live")], [changed])
    pool = build_log_pool(shelf.log())
    assert (pool.published_at.tolist(), pool.fresh_at.tolist()) == ([NOW - 600], [NOW - 5])
    (path,) = table_files(shelf.archive._dir, "articles")
    older = path.with_suffix(".older")
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT * EXCLUDE fresh_at FROM '{path}') TO '{older}' (FORMAT parquet)")
    older.replace(path)
    assert build_log_pool(shelf.log()).fresh_at.tolist() == [NOW - 600]


def test_an_empty_archive_or_window_is_an_error(shelf):
    with pytest.raises(ArchiveError, match="no events"):
        read_archive(shelf.archive)
    shelf.commit([shelf.event("click", "a")])
    with pytest.raises(ArchiveError, match="no events in this window"):
        read_archive(shelf.archive, NOW + 1)
