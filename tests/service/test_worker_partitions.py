"""Several workers share out the partitions: sums, hand-overs, deaths, fences, an upgrade."""

from contextlib import closing

import numpy as np
import orjson
import pytest

from feed.domain import Article, ConflictError, Event, EventKind, Origin, StoreUnavailableError
from feed.features.ids import IdMap
from feed.features.network_bound import NetworkBound
from feed.features.state import LiveSignals
from feed.features.trending import TrendingState
from feed.storage.archive import Archive
from feed.storage.records import StoredArticle
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker
from feed.worker.publication import Publication
from feed.worker.signals_follower import SignalsFollower

NOW = 1_780_000_000.0


def clicks(first, count, articles=3, kind=EventKind.CLICK):
    return [
        Event(
            event_id=f"{kind}{n}",
            user_id=f"u{n}",
            article_id=f"a{n % articles}",
            kind=kind,
            occurred_at=NOW + n / 10,
            received_at=NOW + n / 10,
        )
        for n in range(first, first + count)
    ]


def archived_ids(settings):
    columns = Archive(settings.data_dir / "archive").event_columns(0, 1e11, ["event_id"])
    return sorted(columns["event_id"].tolist())


def readers(signals):
    return float(signals.counters.readers(np.arange(len(signals.ids))).sum())


def settle(*workers, now=NOW):
    """Let workers share out the partitions: each ticks until nothing moves."""
    for _ in range(4):
        for one in workers:
            one.tick(now)


@pytest.fixture
def two(store, store_settings):
    workers = [Worker(store, store_settings, name) for name in ("first", "second")]
    settle(*workers)
    return workers


def test_two_workers_share_out_the_partitions_and_the_web_sees_the_sum(store, store_settings, two):
    held = [set(one.partitions) for one in two]
    assert sorted(map(len, held)) == [store.partitions // 2] * 2
    assert not held[0] & held[1]
    assert [one.leads for one in two] == [True, False]
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    for n in range(3):
        store.append_events(clicks(100 * n, 100))
        counted = [one.tick(NOW + 10 * n).counted for one in two]
        assert sum(counted) == 100
        assert min(counted) > 20
        assert follower.follow()
        assert readers(follower.signals) == 100 * (n + 1)
    late = SignalsFollower(store, IdMap())
    late.follow()
    assert readers(late.signals) == 300
    for one in two:
        one.tick(NOW + 60)
    assert archived_ids(store_settings) == sorted(f"click{n}" for n in range(300))
    two[0].tick(NOW + 61)
    assert sum(store.stream_lengths()) == 0


@pytest.mark.parametrize("dead", [0, 1])
def test_what_a_dead_worker_had_published_is_counted_once(store, store_settings, two, dead):
    store.append_events(clicks(0, 100))
    follower = SignalsFollower(store, IdMap())
    for one in two:
        one.tick(NOW + 1)  # published as deltas, and in no checkpoint
    follower.follow()
    assert readers(follower.signals) == 100
    heir, name = two[1 - dead], ("first", "second")[dead]
    store.leave_workers(name)
    store.append_events(clicks(100, 50))
    settle(heir, now=NOW + 20)
    assert len(heir.partitions) == store.partitions
    assert heir.leads
    assert follower.follow()
    assert readers(follower.signals) == 150
    assert archived_ids(store_settings) == sorted(f"click{n}" for n in range(150))
    assert readers(heir.publisher.signals) == 150


def test_a_worker_that_was_taken_for_dead_can_write_nothing(store, store_settings, two):
    store.append_events(clicks(0, 60))
    settle(*two, now=NOW + 1)
    sleeper, heir = two
    store.leave_workers("first")
    settle(heir, now=NOW + 2)
    store.append_events(clicks(60, 60))
    lease = sleeper._membership.lead
    with pytest.raises(ConflictError):
        sleeper.publisher.tick(NOW + 3)
    with pytest.raises(ConflictError):
        sleeper.publisher.checkpoint(NOW + 3)
    with pytest.raises(ConflictError):
        sleeper.judge.checkpoint(NOW + 3)
    heir.tick(NOW + 60)  # archives, makes a checkpoint and trims: its term is a later one
    store.append_events(clicks(120, 60))
    ends = store.stream_ends()
    assert store.trim_streams(ends, lease) == []
    assert sum(store.stream_lengths()) >= 60
    assert sleeper.archive(NOW + 60) >= 0
    settle(sleeper, heir, now=NOW + 90)
    assert len(sleeper.partitions) == len(heir.partitions)
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    assert readers(follower.signals) == 180
    assert archived_ids(store_settings) == sorted(f"click{n}" for n in range(180))


def test_a_third_worker_gets_its_part(store, store_settings, two):
    third = Worker(store, store_settings, "third")
    store.append_events(clicks(0, 90))
    settle(*two, third, now=NOW + 1)
    sizes = sorted(len(one.partitions) for one in (*two, third))
    assert sum(sizes) == store.partitions
    assert sizes[-1] - sizes[0] <= 1
    store.append_events(clicks(90, 90))
    settle(*two, third, now=NOW + 10)
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    assert readers(follower.signals) == 180
    third.stop(NOW + 11)
    settle(*two, now=NOW + 12)
    assert sorted(len(one.partitions) for one in two) == [store.partitions // 2] * 2
    assert follower.follow() or readers(follower.signals) == 180
    assert readers(follower.signals) == 180
    assert archived_ids(store_settings) == sorted(f"click{n}" for n in range(180))


def test_all_workers_at_once_may_die(store, store_settings, two):
    store.append_events(clicks(0, 100))
    for one in two:
        one.tick(NOW + 1)
    for name in ("first", "second"):
        store.leave_workers(name)
    heirs = [Worker(store, store_settings, name) for name in ("third", "fourth")]
    settle(*heirs, now=NOW + 2)
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    assert readers(follower.signals) == 100
    assert len(store.read_workers().leases) == store.partitions + 1


def labelled(store):
    ids = IdMap()
    state = TrendingState.from_bytes(store.read_blob("trending"), ids)
    return [entry.article_id for entry in state.entries if entry.labelled]


def an_article(article_id):
    article = Article(article_id=article_id, title="T", published_at=NOW - 3600)
    return StoredArticle(article, np.zeros(0, np.float32), "none", "h", NOW - 3600)


def test_what_is_trending_is_judged_on_the_sum(store, two):
    store.write_articles([an_article(f"b{n}") for n in range(20)] + [an_article("a0")])
    store.append_events(clicks(0, 40, articles=1))
    for one in (*reversed(two), two[0]):
        one.tick(NOW + 5)
    assert labelled(store) == ["a0"]
    followed = two[0].judge.positions(two[0].publisher.positions)
    assert len(followed) == store.partitions


@pytest.mark.parametrize("heir", [False, True])
def test_one_network_counts_for_one_reader_whoever_counts_its_clicks(store, two, heir):
    store.write_articles([an_article(f"b{n}") for n in range(20)] + [an_article("a0")])
    store.append_events(clicks(0, 60, articles=1), Origin("one network", False))
    if heir:  # the judge dies; the other one reads what it has missed from the streams
        two[1].tick(NOW + 5)
        store.leave_workers("first")
        settle(two[1], now=NOW + 20)
        judge = two[1].judge
    else:
        for one in (*reversed(two), two[0]):
            one.tick(NOW + 5)
        judge = two[0].judge
    assert labelled(store) == []
    row = two[1 if heir else 0].publisher.signals.ids.rows(["a0"])
    withheld = judge.bound.withheld(row, NOW + 6)[0, -1]
    assert withheld == pytest.approx(59, abs=2)
    assert judge.bound.readers(row, NOW + 6)[0] == pytest.approx(60, abs=1)


def old_checkpoint(store, events):
    """Count events as the version with one leading worker did, and leave its checkpoint."""
    store.append_events(events, Origin("n", False))
    ids = IdMap()
    signals, positions, payloads = LiveSignals(ids), {}, []
    found = store.read_streams(dict.fromkeys(range(store.partitions), "0-0"), 1000)
    for partition, records in found.items():
        if records:
            payloads += [orjson.loads(r.payload) for r in records]
            positions[partition] = records[-1].stream_id
    signals.apply_events(payloads)
    bound = NetworkBound(ids)
    bound.add_readers(
        [ids.add(p["article_id"]) for p in payloads],
        ["n"] * len(payloads),
        [False] * len(payloads),
        [p["occurred_at"] for p in payloads],
        [p["received_at"] for p in payloads],
    )
    held = Publication(
        generation="old",
        previous="",
        positions=positions,
        at=NOW,
        body=signals.dump(),
        bound=bound.dump(NOW),
    )
    store.write_blob("signals", held.to_bytes())
    return positions


@pytest.mark.parametrize("count", [1, 2])
def test_a_checkpoint_of_the_version_with_one_leader_is_taken_over(store, store_settings, count):
    old_checkpoint(store, clicks(0, 50))
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    assert readers(follower.signals) == 50
    store.append_events(clicks(50, 50))
    workers = [Worker(store, store_settings, f"w{n}") for n in range(count)]
    settle(*reversed(workers))
    settle(*workers, now=NOW + 5)
    follower.follow()
    assert readers(follower.signals) == 100
    assert sum(readers(one.publisher.signals) for one in workers) == 100
    assert store.read_blob("signals") is None
    judge = next(one.judge for one in workers if one.leads)
    rows = np.arange(len(judge._ids))
    assert judge.bound.readers(rows, NOW + 10).sum() == pytest.approx(50, abs=1)


def test_a_worker_of_an_earlier_version_is_waited_for_and_kept_out(store, store_settings):
    assert store.acquire_lease("worker", "old", 30)
    worker = Worker(store, store_settings, "new")
    store.append_events(clicks(0, 10))
    assert worker.tick(NOW).counted == 0
    store.release_lease("worker", "old")
    assert worker.tick(NOW).counted == 10
    assert not store.acquire_lease("worker", "old", 30)


def _refuse(*_):
    raise StoreUnavailableError("it does not answer")


def test_a_delta_that_was_refused_tells_the_judge_of_its_own_clicks_alone(store, two):
    store.append_events(clicks(0, 30, articles=1), Origin("n", False))
    publish, store.publish_delta = store.publish_delta, _refuse
    with pytest.raises(StoreUnavailableError):
        two[1].publisher.tick(NOW + 1)
    store.append_events(clicks(30, 30, articles=1), Origin("n", False))
    with pytest.raises(StoreUnavailableError):
        two[1].publisher.tick(NOW + 2)
    store.publish_delta = publish
    two[1].publisher.tick(NOW + 3)
    told = [Publication.from_bytes(data) for _, data in store.read_deltas("0-0")]
    with_clicks = [delta for delta in told if delta.clicks]
    assert len(with_clicks) == 2
    for delta in with_clicks:
        for partition, stream_id, *_ in delta.clicks:
            assert stream_id <= delta.positions[partition]
            assert stream_id > delta.since[partition]
    assert with_clicks[0].positions == with_clicks[1].since


def test_with_a_backlog_deltas_are_fewer_and_lose_nothing(store, two, monkeypatch):
    monkeypatch.setattr("feed.worker.signals.RECORDS_PER_TICK", 8)  # one of each partition
    store.append_events(clicks(0, 200, articles=1), Origin("n", False))
    before = len(store.read_deltas("0-0"))
    for n in range(200):
        two[1].publisher.tick(NOW + 0.01 * n)
    assert len(store.read_deltas("0-0")) - before <= 4
    two[0].tick(NOW + 3)
    while two[0].publisher.tick(NOW + 3):
        pass
    two[0].judge.judge(NOW + 5, two[0].publisher.signals, two[0].publisher.positions)
    row = two[0].publisher.signals.ids.rows(["a0"])
    assert two[0].judge.bound.readers(row, NOW + 6)[0] == pytest.approx(200, abs=2)


class LostAnswer(RedisStore):
    """A store that does what it is asked, and whose answer is then lost, once."""

    losing = ""

    def write_checkpoint(self, *args):
        found = super().write_checkpoint(*args)
        self._lose("write_checkpoint")
        return found

    def take_leases(self, *args):
        found = super().take_leases(*args)
        self._lose("take_leases")
        return found

    def publish_delta(self, *args):
        found = super().publish_delta(*args)
        self._lose("publish_delta")
        return found

    def _lose(self, name):
        if self.losing == name:
            self.losing = ""
            raise StoreUnavailableError("the answer was lost")


@pytest.mark.parametrize("step", ["write_checkpoint", "take_leases", "publish_delta"])
def test_an_answer_that_is_lost_doubles_nothing(store, store_settings, step):
    first = Worker(store, store_settings, "first")
    store.append_events(clicks(0, 40))
    first.tick(NOW)
    store.leave_workers("first")
    store.append_events(clicks(40, 40))
    with closing(LostAnswer(store_settings)) as flaky:
        heir = Worker(flaky, store_settings, "heir")
        flaky.losing = step
        for n in range(6):
            try:
                heir.tick(NOW + n)
            except StoreUnavailableError:
                store.leave_workers("heir")  # its time passes before it tries again
            if heir._runs > 1:
                store.leave_workers("heir")
        heir.tick(NOW + 60)
        follower = SignalsFollower(store, IdMap())
        follower.follow()
        assert readers(follower.signals) == 80
        assert archived_ids(store_settings) == sorted(f"click{n}" for n in range(80))


def test_clicks_of_a_delta_are_read_by_earlier_versions_and_theirs_by_this_one():
    with_network = [3, "1-0", "a", "n", True, NOW, NOW, [("b",), ("c",)]]
    trusted = [3, "2-0", "a", None, False, NOW, NOW, [("b",)]]
    delta = Publication(
        generation="g", previous="", positions={3: "2-0"}, at=NOW, body=b"", since={3: "0-0"},
        clicks=[with_network, trusted],
    )  # fmt: skip
    assert Publication.from_bytes(delta.to_bytes()).clicks == [with_network, trusted]
    head = orjson.loads(delta.to_bytes().split(b"\n", 1)[0])
    assert head["clicks"] == [with_network[:7]], "all that an earlier version expects"
    for name in ("before", "trusted"):
        del head[name]
    (read,) = Publication.from_bytes(orjson.dumps(head) + b"\n").clicks
    assert [*read] == [*with_network[:7], []]
