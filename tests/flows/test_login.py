"""An anonymous reader logs in: one reader in feeds, counters, archive, training and reports."""

import numpy as np
import pytest

from feed.domain import format_time
from feed.features.counters import HALF_LIVES_S
from feed.offline.archive_log import read_archive
from feed.offline.fitting import fit_bundle
from feed.offline.replay import Replay
from feed.service.app import create_app
from feed.storage.archive import Archive
from feed.training_config import TrainingConfig
from feed.worker.loop import Worker

NOW = 1_790_000_000.0


class Clock:
    """A clock that stands still until it is moved."""

    now = NOW

    def __call__(self):
        return self.now


class Site:
    """One web process and the worker, by hand."""

    def __init__(self, settings, store):
        self.settings, self.store, self.clock = settings, store, Clock()
        self.app = create_app(settings, store, self.clock)
        self.keeper = self.app.extensions["feed"].keeper
        self.keeper.refresh()
        self.client = self.app.test_client()
        self.worker = Worker(store, settings)
        self.sent = 0
        articles = [
            {"article_id": f"a{n}", "title": f"T{n}", "published_at": format_time(NOW - 60 * n)}
            for n in range(30)
        ]
        assert self.client.post("/v1/articles", json={"articles": articles}).status_code == 200
        self.keeper.refresh()

    def act(self, user_id, *acts):
        """Send one event after another, a second apart; `kind article`."""
        events = []
        for act in acts:
            kind, article_id = act.split()
            self.clock.now += 1
            self.sent += 1
            events.append(
                {
                    "event_id": f"e{self.sent}",
                    "user_id": user_id,
                    "article_id": article_id,
                    "kind": kind,
                    "occurred_at": format_time(self.clock.now),
                }
            )
        return self.post(events)

    def post(self, events):
        answer = self.client.post("/v1/events", json={"events": events})
        assert answer.status_code == 202, answer.json
        return events

    def merge(self, from_id, to_id):
        self.clock.now += 1
        return self.client.post(f"/v1/users/{to_id}/merge", json={"from": from_id})

    def feed(self, user_id, **query):
        answer = self.client.get("/v1/feed", query_string={"user_id": user_id, **query})
        assert answer.status_code == 200, answer.json
        return answer.json

    def work(self):
        """Let the worker count and archive everything there is."""
        self.clock.now += 10
        self.worker.tick(self.clock.now)
        self.keeper.refresh()
        return Archive(self.settings.data_dir / "archive")

    def totals(self, name, *article_ids):
        signals = self.worker.publisher.signals
        return signals.counters.totals(name, signals.ids.rows(article_ids)).tolist()


@pytest.fixture
def site(store, store_settings):
    return Site(store_settings, store)


def shown(page):
    return [item["article"]["article_id"] for item in page["items"]]


def test_counts_do_not_double_live_and_in_replay(site):
    site.act("anon", "click a1", "like a1", "click a2", "like a2")
    site.act("reader", "click a1", "like a1", "click a3", "dislike a2")
    site.work()
    assert site.totals("readers", "a1", "a2", "a3") == [2, 1, 1]
    assert site.totals("likes", "a1", "a2") == [2, 1]
    before = site.clock.now
    assert site.merge("anon", "reader").json == {
        "user_id": "reader",
        "merged": "anon",
        "status": "merged",
    }
    site.act("anon", "click a2", "click a4")
    archive = site.work()
    assert site.totals("readers", "a1", "a2", "a3", "a4") == [1, 1, 1, 1]
    assert site.totals("likes", "a1", "a2") == [1, 0]
    assert site.totals("dislikes", "a2") == [1]

    log, _ = read_archive(archive)
    replay = Replay(log)
    rows = log.articles.rows(["a1", "a2", "a3", "a4"])
    replay.advance(before)
    assert replay.signals.counters.readers(rows).tolist() == [2, 1, 1, 0]
    replay.advance(site.clock.now)
    counters, live = replay.signals.counters, site.worker.publisher.signals
    assert counters.readers(rows).tolist() == [1, 1, 1, 1]
    for name in ("likes", "dislikes"):
        assert counters.totals(name, rows).tolist() == site.totals(name, "a1", "a2", "a3", "a4")
    here = live.ids.rows(["a1", "a2", "a3", "a4"])
    later = site.clock.now
    np.testing.assert_allclose(counters.clicks(rows, later), live.counters.clicks(here, later))
    once = np.exp2(-(later - (NOW + 1)) / np.array(HALF_LIVES_S))
    np.testing.assert_allclose(counters.clicks(rows[:1], later)[0], once)


def test_a_worker_that_dies_takes_a_correction_once(site):
    site.act("anon", "click a1", "like a1")
    site.act("reader", "click a1", "like a1")
    site.worker.count(site.clock.now)
    site.merge("anon", "reader")
    site.worker.count(site.clock.now + 1)
    assert site.totals("readers", "a1") == [1]
    site.store.leave_workers(site.worker._owner)  # it dies without a checkpoint
    heir = Worker(site.store, site.settings, "heir")
    heir.tick(site.clock.now + 2)
    signals = heir.publisher.signals
    rows = signals.ids.rows(["a1"])
    assert signals.counters.readers(rows).tolist() == [1]
    assert signals.counters.totals("likes", rows).tolist() == [1]
    with Archive(site.settings.data_dir / "archive").query() as connection:
        assert connection.execute("SELECT from_id, to_id FROM identities").fetchall() == [
            ("anon", "reader")
        ]


def test_the_matrix_sees_one_reader_from_the_merge_on(site):
    site.act("anon", "click a1")
    site.act("reader", "click a2")
    before = site.clock.now + 0.5
    site.merge("anon", "reader")
    log, _ = read_archive(site.work())
    config = TrainingConfig(factors=2, iterations=1)
    for moment, readers in ((before, 2), (site.clock.now, 1)):
        columns = log.events.before(moment)
        users = log.merges.one_reader_each(columns.users, moment)
        assert len(set(users.tolist())) == readers
    bundle = fit_bundle(log, moment, config)
    assert bundle.manifest["readers"] == 1


def test_the_feed_follows_the_login_and_old_cursors_are_gone(site):
    site.act("anon", "click a1", "hide a2")
    old = site.feed("anon", limit=5)
    site.act("reader", "click a3")
    site.merge("anon", "reader")
    gone = {"a1", "a2", "a3"}
    assert gone.isdisjoint(shown(site.feed("reader")))
    page = site.feed("anon", limit=5)
    assert gone.isdisjoint(shown(page))
    following = site.feed("anon", limit=5, cursor=page["next_cursor"])
    assert set(shown(following)).isdisjoint(shown(page))
    stale = site.client.get(
        "/v1/feed", query_string={"user_id": "anon", "cursor": old["next_cursor"]}
    )
    assert stale.status_code == 410
    names = [s["user_id"] for s in site.store.export_reader("reader")["slates"]]
    assert names == ["reader", "reader"]
    for mode in ("latest", "trending"):
        site.feed("anon", mode=mode)
    archive = site.work()
    with archive.query() as connection:
        rows = connection.execute(
            "SELECT logged_user_id, count(DISTINCT request_id) FROM served GROUP BY ALL"
        ).fetchall()
    assert dict(rows) == {"anon": 1, "reader": 4}


def test_a_wrong_merge_is_refused_with_the_reason(site):
    assert site.merge("anon", "reader").status_code == 200
    assert site.merge("anon", "reader").json["status"] == "already_merged"
    own = site.merge("reader", "reader")
    assert (own.status_code, own.json["errors"][0]["field"]) == (422, "from")
    other = site.merge("anon", "other")
    assert (other.status_code, "another reader" in other.json["detail"]) == (409, True)
    assert site.merge("reader", "anon").status_code == 409
    assert site.client.post("/v1/users/reader/merge", json={}).status_code == 422
    assert site.client.post("/v1/users/reader/merge", json={"from": "a b"}).status_code == 422


def test_export_and_erasure_reach_both_ids(site):
    site.act("anon", "click a1")
    site.act("reader", "click a2")
    site.feed("anon")
    site.merge("anon", "reader")
    site.work()
    export = site.client.get("/v1/users/reader/export").json
    assert export["store"]["merged_ids"] == {"anon": pytest.approx(site.clock.now - 10)}
    assert {row["user_id"] for row in export["archive"]["events"]} == {"anon", "reader"}
    assert {row["user_id"] for row in export["archive"]["served"]} == {"anon"}
    assert len(export["archive"]["identities"]) == 1
    assert site.client.delete("/v1/users/anon").status_code == 202
    archive = site.work()
    empty = {"events": [], "served": [], "identities": []}
    assert archive.export_user("reader", ["anon"]) == empty
