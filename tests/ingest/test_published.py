from __future__ import annotations

import numpy as np
import pytest

from feed.domain import Article, EventKind
from feed.features.ids import IdMap
from feed.features.interactions import CLICK, READ, EventColumns
from feed.ingest.published import END_MARGIN_S, documents_from_log
from feed.offline.event_log import EventLog, Impressions, sort_events

NOW = 1_790_000_000.0
END = 1_000_000.0
HOUR = 3600.0


@pytest.fixture
def log():
    """Three articles, two readers; one list, on which the second article was clicked."""
    columns = EventColumns(
        users=np.array([0, 0, 1, 0]),
        articles=np.array([0, 0, 1, 2]),
        kinds=np.array([CLICK, READ, CLICK, CLICK], np.int8),
        occurred_at=np.array([END - 30 * HOUR, END - 29.9 * HOUR, END - HOUR + 7, END - 9e5]),
        dwell_s=np.array([np.nan, 40.0, np.nan, np.nan]),
    )
    impressions = Impressions(
        keys=np.array([77]),
        users=np.array([1]),
        at=np.array([END - HOUR]),
        pages=np.array([-1]),
        devices=np.array([1]),
        subscribers=np.array([0]),
        starts=np.array([0, 2]),
        shown=np.array([0, 1]),
        clicked=np.array([False, True]),
    )
    events = sort_events(
        columns, np.array([False, False, True, False]), np.zeros(4, bool), np.ones(4, bool)
    )
    return EventLog(
        name="log",
        articles=IdMap(["a", "b", "c"]),
        users=IdMap(["u", "v"]),
        events=events,
        impressions=impressions,
        first_seen_at=np.array([END - 40 * HOUR, END - 2 * HOUR, END - 9e5]),
        catalogue=(Article(article_id="a", title="Known", section="local", published_at=0.0),),
    )


@pytest.fixture
def documents(log):
    return documents_from_log(log, NOW, event_days=2, impression_hours=24)


def test_the_log_is_moved_to_end_now(documents):
    last = documents.events[-1]
    assert last.occurred_at < NOW
    assert last.kind is EventKind.CLICK
    assert NOW - last.occurred_at == pytest.approx(END_MARGIN_S + 6.0)
    times = [e.occurred_at for e in documents.events]
    assert times == sorted(times)


def test_a_click_on_a_list_comes_once_with_its_list(documents):
    clicks = [e for e in documents.events if e.kind is EventKind.CLICK and e.user_id == "v"]
    assert [(e.article_id, e.request_id, e.position) for e in clicks] == [("b", "log-77", 1)]
    shown = [e.article_id for e in documents.events if e.kind is EventKind.IMPRESSION]
    assert shown == ["a", "b"]


def test_what_is_too_old_is_left_out_with_its_articles(documents):
    assert {e.article_id for e in documents.events} == {"a", "b"}
    assert {a.article_id for a in documents.articles} == {"a", "b"}


def test_an_article_without_text_says_so_and_has_no_vector(documents):
    known, unknown = documents.articles
    assert (known.title, known.embedding) == ("Known", None)
    assert "not in the data set" in unknown.title
    assert not any(unknown.embedding)
    shift = NOW - END_MARGIN_S - (END - HOUR + 7)
    assert unknown.published_at == pytest.approx(END - 2 * HOUR + shift)
