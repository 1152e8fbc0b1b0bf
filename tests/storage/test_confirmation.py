"""What is acknowledged before a replica has it, and what is not."""

from contextlib import closing
from dataclasses import replace

import pytest
import redis
from lab.faults.replicated import ReplicatedStore

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.storage.embedded import EmbeddedStore
from feed.storage.link import Link, StoreRefusedError
from feed.storage.records import AuditEntry, Outcome
from feed.storage.redis_store import RedisStore


@pytest.fixture
def servers(tmp_path):
    with ReplicatedStore.running(tmp_path / "servers", fsync="always") as running:
        yield running


@pytest.fixture
def opened(servers, tmp_path):
    """Open a store on the primary whose changes are confirmed in a given way."""
    stores = []

    def open_store(confirmed_by):
        settings = replace(
            Settings(),
            redis_url=servers.url,
            data_dir=tmp_path,
            store_timeout_ms=1000,
            store_confirmed_by=confirmed_by,
        )
        stores.append(RedisStore(settings))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.mark.parametrize("confirmed_by", ["replica", "disk"])
def test_what_is_acknowledged_is_on_the_replica(servers, opened, make_event, confirmed_by):
    servers.link.delay_s = 0.05
    store = opened(confirmed_by)
    assert store.append_events([make_event()]) == [Outcome.ACCEPTED]
    servers.link.cut()
    servers.primary.kill()
    servers.primary.wait()
    stream = store._keys.stream(store._keys.partition("reader"))
    with closing(redis.from_url(servers.replica_url)) as replica:
        assert replica.xlen(stream) == 1


@pytest.mark.parametrize("confirmed_by", ["replica", "disk"])
def test_what_no_replica_confirms_is_refused_and_may_be_sent_again(
    servers, opened, make_event, confirmed_by
):
    store, event = opened(confirmed_by), make_event()
    store.append_events([make_event()])
    servers.link.is_stalled = True
    with pytest.raises(
        StoreRefusedError, match=r"no replica has confirmed the change within \d+ ms"
    ):
        store.append_events([event])
    assert len(store.read_reader("reader").history) == 2  # reads go on, and know the change
    servers.link.is_stalled = False
    assert store.append_events([event]) == [Outcome.DUPLICATE]


def test_the_primary_alone_is_enough_unless_the_setting_says_otherwise(servers, opened, make_event):
    servers.link.is_stalled = True
    assert opened("primary").append_events([make_event()]) == [Outcome.ACCEPTED]


def test_exposures_and_reads_by_script_do_not_wait(servers, opened, make_served):
    store = opened("replica")
    servers.link.is_stalled = True
    store.save_served(make_served("first"), new_slate=True)
    assert store.count_hit("reader", 60, 1.0) == 1


def test_a_change_without_a_script_waits_too(servers, opened):
    store = opened("replica")
    servers.link.is_stalled = True
    with pytest.raises(StoreRefusedError, match="no replica has confirmed"):
        store.append_audit(AuditEntry(at=1.0, by="admin", action="looked", subject="articles/a"))


def test_a_script_the_store_has_forgotten_is_confirmed_when_it_has_run(opened, make_event):
    store = opened("replica")
    store._link.call("x", "SCRIPT", "FLUSH")
    assert store.append_events([make_event()]) == [Outcome.ACCEPTED]


def test_an_unknown_way_is_refused_with_its_name():
    with pytest.raises(InvalidInputError, match="FEED_STORE_CONFIRMED_BY: must be one of primary"):
        Link("redis://127.0.0.1:1", cluster=False, timeout_s=1.0, confirmed_by="two")


def test_the_embedded_store_has_no_replica(tmp_path):
    settings = replace(Settings(), data_dir=tmp_path, store_confirmed_by="replica")
    with pytest.raises(InvalidInputError, match="FEED_STORE_CONFIRMED_BY: must be primary"):
        EmbeddedStore.from_settings(settings)
