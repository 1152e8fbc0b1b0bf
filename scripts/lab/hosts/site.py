"""The programs of a site on its hosts: store cluster, web hosts, balancer, workers, trainer."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from feed.client import ApiError, FeedClient
from feed.config import Settings
from feed.storage.redis_store import RedisStore
from feed.storage.working_copy import prepare_data_dir
from lab.faults.installation import wait_until
from lab.faults.object_server import ObjectServer, command_of
from lab.hosts.network import Host, Network
from lab.hosts.stores import StoreNodes

KEY = "several-hosts-trial"
PORT = 8000
OBJECTS_PORT = 9000
WEBS = ("web1", "web2")
WORKERS = ("worker1", "worker2")
STORES = ("store1", "store2", "store3")
DEPLOY = Path(__file__).resolve().parents[3] / "deploy" / "haproxy"


@dataclass(slots=True)
class Site:
    """A site of several hosts; `environment` holds further settings of every program."""

    directory: Path
    network: Network
    environment: Mapping[str, str] = field(default_factory=dict)
    store: StoreNodes = field(init=False)
    objects: ObjectServer = field(init=False)
    data_url: str = ""

    def start(self) -> None:
        """Start every host and return when readers can be served by both web hosts."""
        self.directory.mkdir(parents=True, exist_ok=True)
        stores = [self.network.add(name) for name in STORES]
        self.store = StoreNodes(self.directory, stores)
        for name in ("balancer", *WEBS, *WORKERS, "trainer", "objects"):
            self.network.add(name)
        self.store.start()
        self._start_objects()
        for name in WORKERS:
            self.start_worker(name)
        for name in WEBS:
            self.start_web(name)
        # A balancer that has just started takes every host for ready until it has asked.
        wait_until(lambda: all(self.models().values()), "both web hosts to be ready")
        self._start_balancer()
        for name in WEBS:
            self.wait_ready(name)

    @property
    def url(self) -> str:
        """Where readers are served: the balancer."""
        return f"http://{self.host('balancer').address}:{PORT}"

    def host(self, name: str) -> Host:
        """Return a host by its name."""
        return self.network.hosts[name]

    def client(self, name: str = "balancer", timeout_s: float = 20.0) -> FeedClient:
        """Return a client of the balancer, or of one web host."""
        address = f"http://{self.host(name).address}:{PORT}"
        return FeedClient(address, KEY, timeout_s=timeout_s, retries=0)

    def start_web(self, name: str) -> None:
        """Start `feed serve` on a host."""
        own = {"FEED_HOST": self.host(name).address, "FEED_PORT": str(PORT), "FEED_WEB": "1"}
        self._start_feed(name, "serve", **own)

    def start_worker(self, name: str) -> None:
        """Start `feed worker` on a host."""
        self._start_feed(name, "worker")

    def run_trainer(self, *arguments: str) -> int:
        """Run a `feed` command on the trainer's host; return its exit code."""
        return self._start_feed("trainer", *arguments).wait()

    def wait_ready(self, name: str) -> float:
        """Return the seconds until the balancer sends readers to a web host."""
        return wait_until(lambda: self.is_up(name), f"the balancer to take {name}")

    def is_up(self, name: str, backend: str = "whole") -> bool:
        """Return whether the balancer sends readers to a web host."""
        return self.balancer_states().get((backend, name), "").startswith("UP")

    def balancer_states(self) -> dict[tuple[str, str], str]:
        """Return the balancer's own view: (backend, server) to UP, DOWN ..."""
        with closing(socket.socket(socket.AF_UNIX)) as control:
            control.settimeout(5.0)
            control.connect(str(self.directory / "balancer.sock"))
            control.sendall(b"show stat\n")
            text = b""
            while part := control.recv(1 << 16):
                text += part
        rows = [line.split(",") for line in text.decode().splitlines() if line and line[0] != "#"]
        return {(row[0], row[1]): row[17] for row in rows}

    def models(self) -> dict[str, str]:
        """Return the model that each web host serves."""
        found = {}
        for name in WEBS:
            with self.client(name, 5.0) as client:
                try:
                    found[name] = str(client.call("GET", "/readyz")["model_version"])
                except (ApiError, ConnectionError):
                    found[name] = ""
        return found

    def settings(self) -> Settings:
        """Return the settings with which this process reaches the site's store."""
        return replace(
            Settings(), data_dir=self.data_dir("readers"), redis_url=self.store.url,
            redis_cluster=True, store_timeout_ms=5000,
        )  # fmt: skip

    def open_store(self) -> RedisStore:
        """Open the site's store from where the readers are."""
        return RedisStore(self.settings())

    def data_dir(self, name: str) -> Path:
        """Return a host's data directory; that of `readers` is this process's own."""
        return self.directory / f"{name}-data"

    def log(self, name: str) -> Path:
        """Return where a host's programs write."""
        return self.directory / f"{name}.log"

    def _start_feed(self, name: str, *arguments: str, **own: str) -> subprocess.Popen[bytes]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FEED_")}
        environment = {
            **kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            "FEED_ENCODER": "none", "FEED_ARCHIVE_SECONDS": "1",
            "FEED_DATA_DIR": str(self.data_dir(name)), "FEED_DATA_URL": self.data_url,
            "FEED_REDIS_URL": self.store.url, "FEED_REDIS_CLUSTER": "true",
            "FEED_API_KEYS": f"write:{hashlib.sha256(KEY.encode()).hexdigest()}",
            "FEED_TRUSTED_PROXIES": self.host("balancer").address,
            **self.environment, **own,
        }  # fmt: skip
        command = [sys.executable, "-m", "feed", *arguments]
        return self.host(name).run(command, self.log(name), environment)

    def _start_objects(self) -> None:
        """Start the object store, and let this process read it as a host of its own."""
        host = self.host("objects")
        self.objects = ObjectServer(OBJECTS_PORT, host.address)
        command = command_of(host.address, OBJECTS_PORT)
        host.run(command, self.log("objects"))
        wait_until(self.objects.answers, "the object store to answer")
        self.data_url = self.objects.new_url()
        os.environ.update(self.objects.environment(OBJECTS_PORT, host.address))
        settings = replace(self.settings(), data_url=self.data_url)
        prepare_data_dir(settings)

    def _start_balancer(self) -> None:
        extra = self.directory / "balancer.cfg"
        socket_path = self.directory / "balancer.sock"
        extra.write_text(f"global\n  stats socket {socket_path} mode 600 level admin\n")
        environment = {
            **os.environ, "BALANCER_FILES": str(DEPLOY),
            "BALANCER_BIND": f"{self.host('balancer').address}:{PORT}",
            **{f"BALANCER_{n.upper()}": f"{self.host(n).address}:{PORT}" for n in WEBS},
        }  # fmt: skip
        command = ["haproxy", "-db", "-f", str(DEPLOY / "haproxy.cfg"), "-f", str(extra)]
        self.host("balancer").run(command, self.log("balancer"), environment)
        wait_until(socket_path.exists, "the balancer to start")
