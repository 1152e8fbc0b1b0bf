"""The worker on a real store: counters, archive, trimming, and taking over."""

import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from slates import make_slots

from feed.domain import Article, Event, EventKind, FeedError, Mode, Rung, ServedFeed
from feed.features.ids import IdMap
from feed.features.trend_tests import TrendTests
from feed.features.trending import TrendingState
from feed.storage.archive import Archive
from feed.storage.archive_files import table_files
from feed.storage.records import StoredArticle
from feed.storage.redis_store import RedisStore
from feed.worker.archiving import ArchiveFeeder
from feed.worker.loop import Worker, run_worker
from feed.worker.signals_follower import SignalsFollower

NOW = 1_780_000_000.0
DAY = 86_400.0


def clicks(first, count, article_id="a"):
    return [
        Event(
            event_id=f"e{n}",
            user_id=f"u{n}",
            article_id=article_id,
            kind=EventKind.CLICK,
            occurred_at=NOW,
            received_at=NOW,
        )
        for n in range(first, first + count)
    ]


def an_article(article_id, published_at=NOW, added_at=NOW):
    article = Article(article_id=article_id, title="T", published_at=published_at)
    return StoredArticle(article, np.zeros(0, np.float32), "none", "h", added_at)


def a_feed():
    return ServedFeed(
        request_id="r",
        user_id="u",
        served_at=NOW,
        mode=Mode.PERSONALIZED,
        rung=Rung.PERSONALIZED,
        personalized=True,
        model_version="",
        experiments={},
        slots=make_slots([]),
        shown_from=0,
        shown_to=0,
    )


def archived_ids(settings):
    columns = Archive(settings.data_dir / "archive").event_columns(0, 1e11, ["event_id"])
    return sorted(columns["event_id"].tolist())


def readers_of(signals, article_id="a"):
    return signals.counters.readers(signals.ids.rows([article_id]))[0]


@pytest.fixture
def worker(store, store_settings):
    return Worker(store, store_settings, "first")


def test_events_reach_counters_and_archive_and_leave_the_stream(store, store_settings, worker):
    store.append_events(clicks(0, 50))
    progress = worker.tick(NOW)
    assert (progress.counted, progress.archived) == (50, 50)
    follower = SignalsFollower(store, IdMap())
    assert follower.follow()
    assert readers_of(follower.signals) == 50
    assert archived_ids(store_settings) == sorted(f"e{n}" for n in range(50))
    worker.stop(NOW)
    assert sum(store.stream_lengths()) == 0


def test_a_follower_is_kept_up_by_deltas(store, worker):
    follower = SignalsFollower(store, IdMap())
    assert not follower.follow()
    worker.tick(NOW)
    follower.follow()
    before = follower.signals
    for round_number in range(3):
        store.append_events(clicks(10 * round_number, 10))
        worker.tick(NOW + round_number)
        assert follower.follow()
        assert readers_of(follower.signals) == 10 * (round_number + 1)
    assert not follower.follow()
    assert len(before.ids) == 0 or readers_of(before) == 0
    assert follower.at == NOW + 2


def test_feeds_given_out_change_no_signal(store, worker):
    follower = SignalsFollower(store, IdMap())
    store.append_events(clicks(0, 3))
    worker.tick(NOW)
    follower.follow()
    signals, before = follower.signals, follower.delta_id
    store.save_served(a_feed(), new_slate=True)
    assert worker.tick(NOW + 1).counted == 1
    assert not follower.follow()
    assert follower.signals is signals
    assert (follower.delta_id > before, follower.at) == (True, NOW + 1)
    store.append_events(clicks(3, 1))
    worker.tick(NOW + 2)
    assert follower.follow()
    assert readers_of(follower.signals) == 4


def test_nothing_is_trimmed_before_it_is_archived_and_checkpointed(store, worker):
    worker.tick(NOW)
    store.append_events(clicks(0, 20))
    assert worker.tick(NOW + 1).archived == 0
    assert worker.tick(NOW + 6).archived == 20
    assert sum(store.stream_lengths()) == 20
    worker.tick(NOW + 40)
    assert sum(store.stream_lengths()) == 0


def test_a_killed_workers_heir_counts_and_archives_everything_once(store, store_settings, worker):
    store.append_events(clicks(0, 30))
    worker.tick(NOW)
    store.append_events(clicks(30, 30))
    worker.tick(NOW + 1)
    store.append_events(clicks(60, 30))
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    store.leave_workers("first")
    heir = Worker(store, store_settings, "heir")
    heir.tick(NOW + 20)
    assert readers_of(heir.publisher.signals) == 90
    follower.follow()
    assert readers_of(follower.signals) == 90
    assert archived_ids(store_settings) == sorted(f"e{n}" for n in range(90))


def test_a_follower_that_fell_behind_loads_the_checkpoint(store, worker):
    follower = SignalsFollower(store, IdMap())
    worker.tick(NOW)
    worker.publisher.deltas_kept = 2
    follower.follow()
    for n in range(5):
        store.append_events(clicks(10 * n, 10))
        worker.tick(NOW + n)
    follower.follow()
    worker.tick(NOW + 60)
    follower.follow()
    assert readers_of(follower.signals) == 50


def test_deltas_are_kept_back_to_the_last_checkpoint_but_one(store, worker):
    worker.tick(NOW)
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    for n in range(1, 5):
        store.append_events(clicks(10 * n, 10))
        worker.tick(NOW + 20 * n)
        assert len(store.read_deltas("0-0")) <= 4
        if n % 2 == 0:
            follower.follow()
            assert readers_of(follower.signals) == 10 * n


def test_an_archive_that_cannot_be_written_stops_neither_counting_nor_the_stream(
    store, store_settings, worker
):
    obstacle = store_settings.data_dir / "archive"
    obstacle.write_text("not a directory")
    store.append_events(clicks(0, 10))
    assert worker.tick(NOW).counted == 10
    store.append_events(clicks(10, 10))
    assert worker.tick(NOW + 40).counted == 10
    assert worker.feeder.failing
    assert sum(store.stream_lengths()) == 20
    obstacle.unlink()
    worker.tick(NOW + 46)
    assert archived_ids(store_settings) == sorted(f"e{n}" for n in range(20))
    assert not worker.feeder.failing


def test_a_clock_set_back_an_hour_stops_nothing(store, store_settings, worker):
    worker.tick(NOW)
    store.append_events(clicks(0, 10))
    progress = worker.tick(NOW - 3600)
    assert (progress.counted, progress.archived) == (10, 10)


def test_a_backlog_is_archived_in_bounded_commits(store, store_settings):
    small = replace(store_settings, archive_events=32)
    worker = Worker(store, small, "small")
    store.append_events(clicks(0, 200))
    while worker.tick(NOW).archived:
        pass
    assert archived_ids(small) == sorted(f"e{n}" for n in range(200))


class BusyStore(RedisStore):
    """A store into which another event comes whenever its streams are read."""

    arrivals = 0

    def read_streams(self, after_ids, count):
        found = super().read_streams(after_ids, count)
        self.append_events(clicks(1000 + self.arrivals, 1))
        self.arrivals += 1
        return found


def test_what_comes_while_a_file_is_written_waits_for_the_next_one(store, store_settings):
    settings = replace(store_settings, archive_events=800)
    store.append_events(clicks(0, 10))
    with closing(BusyStore(settings)) as busy:
        feeder = ArchiveFeeder(busy, settings, "busy")
        assert feeder.tick(NOW) == 10
        assert feeder.tick(NOW + 1) == 0
        assert feeder.tick(NOW + 10) == 1
        assert len(table_files(settings.data_dir / "archive", "events")) == 2


def test_articles_long_forgotten_leave_the_signals(store, worker):
    store.append_events(clicks(0, 5, "old"))
    later = NOW + 91 * DAY
    fresh = [
        replace(click, occurred_at=later, event_id=f"f{n}", user_id="u0")
        for n, click in enumerate(clicks(0, 1, "new"))
    ]
    worker.tick(NOW)
    store.append_events(fresh)
    worker.tick(later)  # more than a day after it began to lead: it starts anew
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    assert readers_of(follower.signals, "new") == 1
    assert follower.signals.ids.row("old") == -1
    assert readers_of(worker.publisher.signals, "new") == 1


def test_trending_is_published(store, worker):
    others = [an_article(f"b{n}", NOW - 3600, NOW - 3600) for n in range(20)]
    store.write_articles([an_article("a", NOW - 3600, NOW - 3600), *others])
    store.append_events(clicks(0, 200))
    worker.tick(NOW + 2)
    data = store.read_blob("trending")
    ids = IdMap()
    ids.add("a")
    state = TrendingState.from_bytes(data, ids)
    assert [entry.article_id for entry in state.entries if entry.labelled] == ["a"]


def test_a_large_catalogue_is_archived_in_parts(store, store_settings, worker):
    store.write_articles([an_article(f"a{n}") for n in range(5)])
    worker.count(NOW)
    worker.feeder.articles_per_commit = 2
    worker.tick(NOW)
    worker.tick(NOW + 10)
    archive = Archive(store_settings.data_dir / "archive")
    assert sorted(archive.articles()["article_id"]) == [f"a{n}" for n in range(5)]
    assert len(table_files(store_settings.data_dir / "archive", "articles")) == 3
    with archive.query() as connection:
        assert connection.execute("SELECT count(*) FROM articles").fetchall() == [(5,)]


def test_catalogue_changes_are_archived_once(store, store_settings, worker):
    store.write_articles([an_article("a"), an_article("b")])
    worker.tick(NOW)
    store.delete_articles(["b"])
    worker.tick(NOW + 10)
    worker.tick(NOW + 20)
    archive = Archive(store_settings.data_dir / "archive")
    articles = archive.articles()
    assert dict(zip(articles["article_id"], articles["deleted"], strict=True)) == {
        "a": False,
        "b": True,
    }
    with archive.query() as connection:
        assert connection.execute("SELECT count(*) FROM articles").fetchall() == [(3,)]


def test_erasure_reaches_the_archive(store, store_settings, worker):
    store.append_events(clicks(0, 5))
    worker.tick(NOW)
    store.erase_reader("u3")
    store.append_events(clicks(5, 1))
    worker.tick(NOW + 10)
    assert archived_ids(store_settings) == ["e0", "e1", "e2", "e4", "e5"]


def test_old_articles_are_swept_unless_they_are_read(store, store_settings, worker):
    old = NOW - 100 * DAY
    store.write_articles([an_article("a", old, old), an_article("b", old, old), an_article("c")])
    store.append_events(clicks(0, 5, "b"))
    worker.tick(NOW)
    found = store.read_articles(["a", "b", "c"])
    assert [s is not None for s in found] == [False, True, True]


def test_events_that_a_dying_process_left_waiting_are_counted(store, store_settings):
    store.hold_events(clicks(0, 3, "late"))
    store.hold_events(clicks(3, 2, "never"))
    store.write_articles([an_article("late")])  # and the writer died before it took the events
    worker = Worker(store, store_settings)
    worker.tick(NOW)
    assert worker.tick(NOW + 1).counted == 3
    assert store.count_waiting() == 2
    worker.tick(NOW + 7 * 3600)
    assert store.count_waiting() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("thread", ["archiver", "poller", "watcher"])
def test_a_defect_in_one_thread_ends_the_worker(store, store_settings, thread):
    def clock():
        if threading.current_thread().name == thread:
            raise ZeroDivisionError
        return NOW

    with pytest.raises(FeedError, match=f"the {thread} ended by itself"):
        run_worker(store_settings, threading.Event(), clock)
    assert not store.read_workers().live
    assert store.lease_holder("sources") is None


def test_the_tests_of_trending_are_kept_every_ten_seconds(store, worker):
    def kept_at() -> float:
        worker.tick(clock)
        return TrendTests.from_bytes(store.read_blob("trend_tests")).at

    clock = NOW
    assert kept_at() == NOW
    clock = NOW + 9
    assert kept_at() == NOW
    clock = NOW + 10
    assert kept_at() == NOW + 10
    clock = NOW - 3600
    assert kept_at() == NOW - 3600, "a clock that was set back stops nothing"
