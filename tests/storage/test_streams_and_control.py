"""The contracts of StreamStore and ControlStore, and of the wire below them."""

import threading
import time
from dataclasses import asdict, replace

import orjson
import pytest

from feed.config import Settings
from feed.domain import ConflictError, InvalidInputError, StoreUnavailableError
from feed.storage.key_names import AUDIT_MAX
from feed.storage.records import AuditEntry
from feed.storage.redis_store import RedisStore
from feed.storage.worker_part import Handover

ENTRY = AuditEntry(1.0, "desk", "changed", "experiments/boost", {"a": 1}, {"a": 2})


def test_a_stream_is_read_in_order_and_trimmed(store, make_event):
    store.append_events([make_event(event_id=f"e{n}") for n in range(10)])
    partition = store._keys.partition("reader")
    first = store.read_stream(partition, "0-0", 4)
    rest = store.read_stream(partition, first[-1].stream_id, 100)
    assert [len(first), len(rest)] == [4, 6]
    assert all(f'"e{n}"'.encode() in r.payload for n, r in enumerate([*first, *rest]))
    ranged = store.read_stream_range(partition, first[0].stream_id, first[2].stream_id, 100)
    assert ranged == first[1:3]
    assert store.trim_streams({partition: first[-1].stream_id}, "2 b") == [partition]
    assert store.trim_streams({partition: rest[-1].stream_id}, "1 a") == []
    assert store.read_stream(partition, "0-0", 100) == rest
    assert store.stream_length(partition) == 6
    assert store.stream_length((partition + 1) % store.partitions) == 0
    assert store.stream_lengths()[partition] == 6


def test_several_streams_are_read_at_once(store, make_event):
    store.append_events([make_event(user_id=f"u{n}") for n in range(100)])
    after = dict.fromkeys(range(store.partitions), "0-0")
    assert sum(len(r) for r in store.read_streams(after, 1000).values()) == 100
    assert all(len(r) <= 2 for r in store.read_streams(after, 2).values())


def test_streams_are_followed_to_their_ends_though_one_is_long(store, make_event):
    store.append_events([make_event(event_id=f"e{n}") for n in range(50)])
    store.append_events([make_event(user_id=f"u{n}") for n in range(30)])
    after = dict.fromkeys(range(store.partitions), "0-0")
    whole = store.read_streams(after, 1000)
    found = {partition: [] for partition in after}
    rounds = 0
    for some in store.follow_streams(after, 1000, 2 * store.partitions):
        assert sum(map(len, some.values())) <= 2 * store.partitions
        rounds += 1
        for partition, records in some.items():
            found[partition] += records
    assert found == whole
    assert rounds < 10  # 50 records of one partition: not two at a time
    few = list(store.follow_streams(after, 40, 2 * store.partitions))
    assert 40 <= sum(len(records) for some in few for records in some.values()) < 80
    assert list(store.follow_streams({}, 10, 10)) == []
    assert list(store.follow_streams(after, 0, 10)) == []


def test_a_lease_has_one_owner_at_a_time(store):
    assert store.acquire_lease("worker", "a", 5.0)
    assert store.acquire_lease("worker", "a", 5.0)
    assert not store.acquire_lease("worker", "b", 5.0)
    store.release_lease("worker", "b")
    assert not store.acquire_lease("worker", "b", 5.0)
    store.release_lease("worker", "a")
    assert store.acquire_lease("worker", "b", 0.05)
    wait_until(lambda: store.lease_holder("worker") is None)
    assert store.acquire_lease("worker", "a", 5.0)
    assert store.lease_holder("worker") == "a"
    assert store.lease_holder("another") is None
    assert not store.acquire_lease("worker", "b", 5.0)


def test_blobs_are_kept_and_those_of_a_lost_lease_refused(store):
    assert store.read_blob("x") is None
    store.write_blob("x", b"\x00\xff")
    assert store.read_blob("x") == b"\x00\xff"
    store.join_workers("a", 5.0, is_new=True)
    store.join_workers("b", 5.0, is_new=True)
    lease, _ = store.take_leases("a", ["lead"])["lead"]
    assert store.take_leases("b", ["lead"]) == {}
    assert store.publish_blob("x", b"new", "a", lease)
    assert not store.publish_blob("x", b"stale", "b", lease)
    assert not store.publish_blob("x", b"stale", "a", "0 a")
    assert store.read_blob("x") == b"new"


def test_deltas_are_read_after_an_id_and_bounded(store):
    assert store.read_deltas("0-0") == []
    store.join_workers("a", 5.0, is_new=True)
    leases = {name: lease for name, (lease, _) in store.take_leases("a", ["0", "1"]).items()}
    ids = [store.publish_delta("a", bytes([n]), 3, leases) for n in range(5)]
    assert store.publish_delta("b", b"stale", 3, {}) is None
    assert store.publish_delta("a", b"stale", 3, {**leases, "1": "0 a"}) is None
    assert store.read_deltas("0-0") == [(ids[n], bytes([n])) for n in (2, 3, 4)]
    assert store.read_deltas(ids[3]) == [(ids[4], b"\x04")]
    assert store.read_deltas(ids[4]) == []
    handover = Handover({0: "1-0", 1: "2-0"}, frozenset([1]))
    assert store.write_checkpoint("a", b"x", ids[3], {**leases, "1": "0 a"}, handover) is None
    assert store.write_checkpoint("a", b"x", ids[3], leases, handover) == ids[4]
    assert store.join_workers("a", 5.0, is_new=False).counted == {0: "1-0", 1: "2-0"}
    assert store.read_workers().unowned(2) == (1,)
    assert [stream_id for stream_id, _ in store.read_deltas("0-0")] == ids[3:]


def test_experiments_are_written_by_version(store):
    store.write_experiment("boost", {"shares": [0.5, 0.5]}, version=1, entry=ENTRY)
    with pytest.raises(ConflictError, match="version 1"):
        store.write_experiment("boost", {}, version=1, entry=ENTRY)
    with pytest.raises(ConflictError, match="version 0"):
        store.write_experiment("new", {}, version=2, entry=ENTRY)
    store.write_experiment("boost", {"shares": [0.9, 0.1]}, version=2, entry=ENTRY)
    assert store.read_experiments() == {"boost": {"shares": [0.9, 0.1], "version": 2}}


def test_a_secret_is_made_once(store, store_settings):
    made = store.secret("cursor")
    assert len(made) == 32
    other = RedisStore(store_settings)
    assert other.secret("cursor") == made
    assert other.secret("another") != made
    other.close()


def test_hits_are_counted_in_a_window(store):
    assert [store.count_hit("key", 3600, 10.0) for _ in range(3)] == [1, 2, 3]
    assert store.count_hit("other", 3600, 10.0) == 1
    assert store.count_hit("key", 3600, 3600.0) == 1


def test_another_number_of_partitions_is_refused(store, store_settings):
    store.read_reader("anybody")
    other = RedisStore(replace(store_settings, partitions=8))
    with pytest.raises(ConflictError, match="16 partitions"):
        other.read_reader("anybody")
    other.close()


def test_a_store_that_is_not_there_is_unavailable_and_an_address_must_be_one(tmp_path):
    away = RedisStore(replace(Settings(), redis_url=f"unix://{tmp_path}/none.sock"))
    with pytest.raises(StoreUnavailableError):
        away.ping()
    with pytest.raises(StoreUnavailableError):
        away.read_reader("u")


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("http://localhost", "must begin with redis://, rediss:// or unix://"),
        ("redis://localhost:abc", "must be an address"),
        ("redis://[::1", "must be an address"),
        ("redis://", "must name a host"),
        ("unix://", "must name a socket"),
        ("redis://localhost:6379/abc", "must end with the number of a database"),
        ("redis://localhost:6379/-1", "must end with the number of a database"),
        ("redis://localhost:6379?foo=bar", "must be an address"),
    ],
)
def test_an_address_that_leads_to_no_server_is_refused(address, rule):
    with pytest.raises(InvalidInputError, match=f"FEED_REDIS_URL: {rule}"):
        RedisStore(replace(Settings(), redis_url=address))


def test_a_database_that_the_store_does_not_have_is_named(store_settings):
    socket = store_settings.redis_url
    other = RedisStore(replace(store_settings, redis_url=f"{socket}?db=99"))
    with pytest.raises(StoreUnavailableError, match="DB index is out of range"):
        other.ping()


def test_a_store_that_is_slow_is_unavailable_and_recovers(store, store_settings):
    quick = RedisStore(replace(store_settings, store_timeout_ms=60))
    quick.ping()
    store._link.call("x", "CLIENT", "PAUSE", 300, "ALL")
    with pytest.raises(StoreUnavailableError):
        quick.read_preferences("u")
    wait_until(lambda: answers(quick))
    quick.close()


def answers(store):
    try:
        store.read_preferences("u")
    except StoreUnavailableError:
        return False
    return True


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_scripts_survive_a_server_that_forgot_them(store, make_event):
    store.append_events([make_event()])
    store._link.every_node("SCRIPT", "FLUSH")
    store.append_events([make_event(user_id=f"u{n}") for n in range(40)])
    assert sum(store.stream_lengths()) == 41


def test_many_threads_share_a_store(store, make_event):
    def write(worker):
        for n in range(20):
            store.append_events([make_event(user_id=f"{worker}-{n}")])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(store.stream_lengths()) == 160


def test_an_experiment_and_its_audit_entry_are_written_together_or_not_at_all(store):
    store.write_experiment("boost", {}, version=1, entry=ENTRY)
    with pytest.raises(ConflictError):
        store.write_experiment("boost", {}, version=1, entry=replace(ENTRY, action="late"))
    assert store.read_audit(10) == [ENTRY]


def test_a_change_that_depends_on_other_experiments_is_refused_if_one_was_changed(store):
    store.write_experiment("boost", {}, version=1, entry=ENTRY)
    store.write_experiment("pins", {}, version=1, entry=ENTRY)
    with pytest.raises(ConflictError, match="another experiment"):
        store.write_experiment("boost", {"a": 1}, version=2, entry=ENTRY, writes=1)
    assert len(store.read_audit(10)) == 2
    store.write_experiment("boost", {"a": 1}, version=2, entry=ENTRY, writes=2)
    assert store.read_experiments()["boost"] == {"a": 1, "version": 2}


def test_the_audit_log_keeps_the_newest_entries_and_finds_a_subject(store):
    key = store._keys.catalogue("audit")
    old = orjson.dumps(asdict(replace(ENTRY, subject="keys/desk")))
    store._link.pipeline(key, [("LPUSH", key, *[old] * AUDIT_MAX)])
    for n, subject in enumerate(("experiments/boost", "experiments/boost-2", "pins")):
        entry = replace(ENTRY, at=float(n), subject=subject)
        store.write_experiment("boost", {}, version=n + 1, entry=entry)
    assert [entry.at for entry in store.read_audit(3)] == [2.0, 1.0, 0.0]
    assert len(store.read_audit(2 * AUDIT_MAX)) == AUDIT_MAX
    found = {w: len(store.read_audit(9999, w)) for w in ("experiments", "experiments/boost", "key")}
    assert found == {"experiments": 2, "experiments/boost": 1, "key": 0}
    assert len(store.read_audit(2500, "keys/desk")) == 2500
