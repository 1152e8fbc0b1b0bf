"""A whole store as one file, which is written while the store runs and read into an empty one."""

from __future__ import annotations

import gzip
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from redis.exceptions import ResponseError

from feed.domain import ArchiveError, ConflictError, StoreUnavailableError
from feed.storage.key_names import UNFINISHED, Keys
from feed.storage.link import Link
from feed.storage.node import Command

MAGIC = b"FEEDDUMP1\n"
BATCH = 200
ATTEMPTS = 5
ENTRIES = 1000
_HEAD = struct.Struct("<cIqI")
_FIELD = struct.Struct("<I")

VALUE, ENTRY, LAST_ID, END = b"V", b"E", b"L", b"Z"
"""Kinds of record: a value as DUMP gives it, a stream entry, a stream's last id, the end."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a dump. `expires_at_ms` is 0 for a key that stays."""

    kind: bytes
    key: bytes
    expires_at_ms: int
    data: bytes


class StoreDump:
    """Writes everything in a namespace to a file: first streams and checkpoints, then the values.

    An event that arrives after its stream was copied may be in the reader's state and not in the
    stream. No event in a copied stream is missing from the reader's state. `count` is the number
    of records.
    """

    def __init__(self, link: Link, keys: Keys, namespace: str, path: Path) -> None:
        self._link, self._keys, self._namespace, self._path = link, keys, namespace, path
        self._streams = {p: keys.stream(p) for p in range(keys.partitions)}
        self._checkpoints: dict[str, bytes] = {}
        self.count = 0

    def __enter__(self) -> StoreDump:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if kind is None:
            _write(self._file, Record(END, b"", 0, str(self.count).encode()))
        self._file.close()

    def write_streams(self) -> dict[int, str]:
        """Write the streams and the checkpoints they follow; return each partition's last id.

        If a checkpoint is replaced meanwhile, the streams may be trimmed, so this starts again.

        Raises:
            ConflictError: checkpoints are replaced faster than the streams can be copied.
        """
        for _ in range(ATTEMPTS):
            self._checkpoints = self._read_checkpoints()
            ends = {p: self._write_stream(stream) for p, stream in self._streams.items()}
            if self._read_checkpoints() == self._checkpoints:
                break
            self._file.close()
            self._open()
        else:
            raise ConflictError("the workers make checkpoints too often now: try again later")
        for key, checkpoint in self._checkpoints.items():
            self._add(Record(VALUE, key.encode(), 0, checkpoint))
        return {p: end for p, end in ends.items() if end}

    def _read_checkpoints(self) -> dict[str, bytes]:
        """Return what says up to where each stream is counted and weighed, by key."""
        shares = self._keys.catalogue("shares")
        runs = sorted(run.decode() for run in self._link.call(shares, "HKEYS", shares))
        names = [self._keys.catalogue(name) for name in ("counted", "shares", "blob:bound")]
        names += map(self._keys.checkpoint, ["", *runs])
        found = self._link.pipeline(shares, [("DUMP", name) for name in names])
        return {name: data for name, data in zip(names, found, strict=True) if data is not None}

    def write_values(self) -> None:
        """Write all the rest."""
        link, wanted = self._link, _is_lasting(self._namespace)
        done = {name.encode() for name in (*self._streams.values(), *self._checkpoints)}
        for batch in link.scan(BATCH):
            found = [key for key in batch if wanted(key) and key not in done]
            commands = [(key.decode(), ("DUMP", key)) for key in found]
            commands += [(key.decode(), ("PTTL", key)) for key in found]
            replies = link.spread(commands)
            now_ms = round(time.time() * 1000)
            half = len(found)
            for key, data, ttl_ms in zip(found, replies[:half], replies[half:], strict=True):
                if data is not None:
                    self._add(Record(VALUE, key, now_ms + ttl_ms if ttl_ms > 0 else 0, data))

    def _open(self) -> None:
        self._file = gzip.open(self._path, "wb", compresslevel=1)  # noqa: SIM115 - __exit__
        self._file.write(MAGIC)
        self.count = 0

    def _add(self, record: Record) -> None:
        _write(self._file, record)
        self.count += 1

    def _write_stream(self, stream: str) -> str:
        if not self._link.call(stream, "EXISTS", stream):
            return ""
        info = self._link.call(stream, "XINFO", "STREAM", stream)
        end: bytes = dict(zip(info[::2], info[1::2], strict=True))[b"last-generated-id"]
        after = "-"
        while True:
            entries = self._link.call(stream, "XRANGE", stream, after, "+", "COUNT", ENTRIES)
            for stream_id, fields in entries:
                self._add(Record(ENTRY, stream.encode(), 0, _pack([stream_id, *fields])))
                end = stream_id
            if len(entries) < ENTRIES:
                break
            after = f"({end.decode()}"
        self._add(Record(LAST_ID, stream.encode(), 0, end))
        return end.decode()


class StoreLoad:
    """Fills an empty store from a dump, whole or not at all.

    In the block the store is marked as unfinished, so that no service starts on it; `finish` ends
    that. A block that ends with an error leaves the store empty. What a killed process has left
    in it is deleted by the next one.

    Raises:
        ConflictError: the store already holds data of this namespace.
    """

    def __init__(self, link: Link, keys: Keys, namespace: str) -> None:
        self._link, self._layout = link, keys.catalogue("layout")
        self._is_lasting = _is_lasting(namespace)
        self._finish: Command = ("DEL", self._layout)

    def __enter__(self) -> StoreLoad:
        link, layout = self._link, self._layout
        if link.call(layout, "GET", layout) == UNFINISHED:
            self._empty()
        if any(self._held()) or not link.call(layout, "SET", layout, UNFINISHED, "NX"):
            raise ConflictError("the store already holds data; restore into an empty one")
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if kind is not None:
            with suppress(StoreUnavailableError):  # it stays marked
                self._empty()

    def load(self, path: Path) -> int:
        """Load a dump, all but the number of partitions; return how many records it has.

        Raises:
            ArchiveError: the file is not a dump, is incomplete, or the store does not accept it.
            StoreUnavailableError: the store does not answer, or is full.
        """
        count = sum(1 for _ in _read(path))
        waiting: list[tuple[str, Command]] = []
        for record in _read(path):
            if record.key == self._layout.encode():
                self._finish = (*_restoring(record), "REPLACE")
                continue
            waiting.append((record.key.decode(), _restoring(record)))
            if len(waiting) == BATCH:
                self._send(waiting)
                waiting = []
        self._send(waiting)
        return count

    def finish(self) -> None:
        """Let services start; raises what `load` raises."""
        self._send([(self._layout, self._finish)])

    def _send(self, commands: list[tuple[str, Command]]) -> None:
        try:
            replies = self._link.spread(commands)
        except ResponseError as error:
            raise ArchiveError(f"the store does not accept a record: {error}") from error
        if None in replies:
            raise StoreUnavailableError("a node of the store does not answer")

    def _empty(self) -> None:
        left = True
        while left:  # an interrupted round trip may still be writing
            left = False
            for keys in self._held():
                self._link.spread([(key.decode(), ("UNLINK", key)) for key in keys])
                left = True
        self._link.call(self._layout, "DEL", self._layout)

    def _held(self) -> Iterator[list[bytes]]:
        """Yield the keys of this namespace but `layout`, in lists that are not empty."""
        for batch in self._link.scan(BATCH):
            found = [k for k in batch if self._is_lasting(k) and k != self._layout.encode()]
            if found:
                yield found


def _is_lasting(namespace: str) -> Callable[[bytes], bool]:
    """Return the test for keys to dump: all but who is at work, hit counters and salts."""
    ours, catalogue = f"{{{namespace}:".encode(), f"{{{namespace}:c}}:".encode()
    passing = (catalogue + b"lease:", catalogue + b"workers")
    return lambda key: (
        key.startswith(ours) and not (key.startswith(passing) or key.endswith(b"}:fence"))
    )


def _restoring(record: Record) -> Command:
    if record.kind == ENTRY:
        return ("XADD", record.key, *_unpack(record.data))
    if record.kind == LAST_ID:
        return ("EVAL", RESTORE_LAST_ID, 1, record.key, record.data)
    ttl = record.expires_at_ms
    return ("RESTORE", record.key, ttl, record.data, *(("ABSTTL",) if ttl else ()))


RESTORE_LAST_ID = """
-- Make a stream's next id follow the old ones, also when the stream is empty.
-- KEYS: 1 stream. ARGV: 1 last id
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XADD', KEYS[1], 'MAXLEN', 0, ARGV[1], 'x', '')
end
return redis.call('XSETID', KEYS[1], ARGV[1])
"""


def _write(file: BinaryIO | gzip.GzipFile, record: Record) -> None:
    head = _HEAD.pack(record.kind, len(record.key), record.expires_at_ms, len(record.data))
    file.write(head + record.key + record.data)


def _read(path: Path) -> Iterator[Record]:
    """Yield the records of a dump up to its end mark, which must be there and right."""
    count = 0
    try:
        with gzip.open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ArchiveError(f"{path} is not a dump of a store")
            while True:
                kind, key_size, expires_at_ms, size = _HEAD.unpack(file.read(_HEAD.size))
                record = Record(kind, file.read(key_size), expires_at_ms, file.read(size))
                if kind == END:
                    break
                count += 1
                yield record
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise ArchiveError(f"{path} is incomplete: {error}") from error
    if int(record.data) != count:
        raise ArchiveError(f"{path} is incomplete: {count} of {int(record.data)} records")


def _pack(fields: list[bytes]) -> bytes:
    return b"".join(_FIELD.pack(len(field)) + field for field in fields)


def _unpack(data: bytes) -> list[bytes]:
    fields, at = [], 0
    while at < len(data):
        (size,) = _FIELD.unpack_from(data, at)
        at += _FIELD.size
        fields.append(data[at : at + size])
        at += size
    return fields
