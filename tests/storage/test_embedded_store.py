import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from feed.config import DAY_S, Settings
from feed.domain import ConflictError, Event, EventKind, StoreUnavailableError
from feed.setting_fields import override
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore

START_AND_SLEEP = """
import sys, time
from pathlib import Path
from feed.storage.embedded import EmbeddedStore
server = EmbeddedStore(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def open_store(server: EmbeddedStore) -> Iterator[RedisStore]:
    settings = override(Settings(), {"redis_url": server.url, "store_timeout_ms": 2000})
    with closing(RedisStore(settings)) as store:
        yield store


def a_click(event_id: str) -> Event:
    return Event(
        event_id=event_id,
        user_id="u",
        article_id="a",
        kind=EventKind.CLICK,
        occurred_at=100.0,
        received_at=100.0,
    )


def test_data_survives_the_death_of_the_server(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as server, open_store(server) as store:
        store.append_events([a_click("one")])
        server.kill()
        assert not server.alive()
        with pytest.raises(StoreUnavailableError):
            store.read_reader("u")
        server.start()
        assert store.read_reader("u").read_ids == {"a"}
    assert not server.alive()


def test_a_second_server_for_the_same_directory_is_refused(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as first, open_store(first) as store:
        second = EmbeddedStore(tmp_path)
        with pytest.raises(ConflictError, match=str(os.getpid())):
            second.start()
        second.stop()  # as whoever has failed to start cleans up
        store.ping()
        with open_store(first) as later:
            later.ping()


def test_a_stopped_server_frees_its_directory(tmp_path: Path) -> None:
    for _ in range(2):
        with EmbeddedStore(tmp_path) as server:
            assert server.alive()


def test_a_long_directory_gets_a_short_socket(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / ("d" * 120)) as server, open_store(server) as store:
        store.ping()


def test_a_running_server_is_found_where_its_lock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / ("d" * 120)
    assert EmbeddedStore(directory).found() == ""
    with EmbeddedStore(directory) as server:
        lock = directory / "store" / "lock"
        pid = lock.read_text().split()[0]
        assert pid == str(os.getpid())
        with monkeypatch.context() as other:
            other.setattr(tempfile, "tempdir", str(tmp_path))
            assert EmbeddedStore(directory).url != server.url
            assert EmbeddedStore(directory).found() == server.url
        lock.write_text(pid)  # as earlier versions did
        assert EmbeddedStore(directory).found() == server.url
    assert EmbeddedStore(directory).found() == ""


def test_a_server_stops_when_nobody_shares_it_any_more(tmp_path: Path) -> None:
    server, other = EmbeddedStore(tmp_path), EmbeddedStore(tmp_path)
    server.start()
    shared = other.share()
    assert shared is not None
    stopping = threading.Thread(target=server.stop_when_unused)
    stopping.start()
    stopping.join(0.5)
    assert server.alive()
    shared.close()
    stopping.join()
    assert not server.alive()


def test_a_directory_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match="does not start"):
        EmbeddedStore(tmp_path / "file").start()


def test_a_server_that_only_reads_is_unavailable_for_writing(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as server, open_store(server) as store:
        store.read_reader("u")
        store._link.every_node("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailableError, match="refused"):
            store.append_events([a_click("one")])
        store._link.every_node("REPLICAOF", "NO", "ONE")
        store.append_events([a_click("one")])


def test_the_server_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", START_AND_SLEEP, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    server_pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    with EmbeddedStore(tmp_path) as successor:  # waits until the old server has let go
        assert successor.alive()
        assert not is_running(server_pid)


def is_running(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return False
        time.sleep(0.02)
    return True


def test_a_full_store_refuses_and_recovers(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path, memory_mb=4) as server, open_store(server) as store:
        store.read_reader("u")  # the first use of a store writes its layout
        for size in (500_000, 10_000):  # what no longer fits is refused, the smaller is not yet
            with pytest.raises(StoreUnavailableError, match="refused"):
                fill(store, size)
        with pytest.raises(StoreUnavailableError, match="refused"):
            store.append_events([a_click("one")])
        store.read_reader("u")
        for number in range(20):
            store._link.call("x", "DEL", store._keys.catalogue(f"blob:500000-{number}"))
        store.append_events([a_click("one")])


HALVES = """
for number = ARGV[1], ARGV[1] + 999 do
  redis.call('HSET', KEYS[1], number, string.rep('x', 8192))
  redis.call('HSET', KEYS[2], number, string.rep('x', 8192))
end
"""


def test_what_is_freed_between_what_is_used_goes_back_to_the_kernel(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as server, open_store(server) as store:
        freed, kept = store._keys.catalogue("articles"), store._keys.catalogue("meta")
        for number in range(0, 12_000, 1000):
            store._link.call(freed, "EVAL", HALVES, 2, freed, kept, number)
        full = resident_mb(server)
        assert full > 190
        store._link.call(freed, "DEL", freed)
        for _ in range(200):  # the server frees and measures itself a moment later
            server.give_memory_back()
            if resident_mb(server) < full - 40:
                break
            time.sleep(0.05)
        assert resident_mb(server) < full - 40
        assert store._link.call(kept, "HLEN", kept) == 12_000


def test_a_server_that_does_not_answer_gives_nothing_back(tmp_path: Path) -> None:
    EmbeddedStore(tmp_path).give_memory_back()


def test_an_erased_reader_leaves_the_file_of_the_server_within_a_day(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as server, open_store(server) as store:
        store.append_events([replace(a_click("one"), user_id="gone"), a_click("two")])
        store.erase_reader("gone")
        stream = store._keys.stream(store._keys.partition("gone"))
        store._link.call(stream, "DEL", stream)  # the worker trims what is archived
        wait_until(lambda: b"gone" in file_of(server))  # a slow disk holds the write up
        server.forget_deleted(time.time())
        assert b"gone" in file_of(server)
        for _ in range(2):  # the second finds that it has just been done
            server.forget_deleted(time.time() + DAY_S + 60)
        wait_until(lambda: b"gone" not in file_of(server))
        assert store.read_reader("u").read_ids == {"a"}
        server.kill()
        server.start()
        assert store.read_reader("u").read_ids == {"a"}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def file_of(server: EmbeddedStore) -> bytes:
    """Return all that the files of a server hold."""
    files = server._dir.glob("appendonlydir/*")
    found = []
    for path in files:
        with suppress(FileNotFoundError):  # replaced meanwhile
            found.append(path.read_bytes())
    return b"".join(found)


def resident_mb(server: EmbeddedStore) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def fill(store: RedisStore, size: int = 500_000) -> None:
    for number in range(10_000_000 // size):
        store.write_blob(f"{size}-{number}", bytes(size))
