"""The partitions' streams in the store, and its simple leases, blobs and counter deltas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from feed.storage import scripts
from feed.storage.link import ScriptCall
from feed.storage.part import StorePart
from feed.storage.records import RecordType, StreamRecord

Entry = tuple[bytes, list[bytes]]

_TYPES = {
    b"e": RecordType.EVENT,
    b"s": RecordType.SERVED,
    b"x": RecordType.ERASE,
    b"i": RecordType.IDENTITY,
}


class StreamPart(StorePart):
    """Event streams, leases, and reading what the workers publish."""

    @property
    def partitions(self) -> int:
        """Number of reader partitions."""
        return self._keys.partitions

    def partition_of(self, user_id: str) -> int:
        """Return the partition whose stream holds what a reader does and is served."""
        return self._keys.partition(user_id)

    def read_stream(self, partition: int, after_id: str, count: int) -> list[StreamRecord]:
        """Return at most `count` records after a stream id ("0-0": from the start)."""
        return self._decode(self._read_entries(partition, f"({after_id}", "+", count))

    def read_stream_range(
        self, partition: int, after_id: str, last_id: str, count: int
    ) -> list[StreamRecord]:
        """Return at most `count` records after a stream id, up to and including another."""
        return self._decode(self._read_entries(partition, f"({after_id}", last_id, count))

    def read_streams(self, after_ids: dict[int, str], count: int) -> dict[int, list[StreamRecord]]:
        """Return up to `count` records of each of several partitions, in one round trip per node.

        Partitions whose node does not answer are left out.
        """
        self._check_layout()
        keys = [self._keys.stream(p) for p in after_ids]
        replies = self._bulk.spread(
            [
                (key, ("XRANGE", key, f"({after}", "+", "COUNT", count))
                for key, after in zip(keys, after_ids.values(), strict=True)
            ]
        )
        found = zip(after_ids, replies, strict=True)
        return {p: self._decode(r) for p, r in found if r is not None}

    def follow_streams(
        self, after_ids: Mapping[int, str], most: int, at_once: int
    ) -> Iterator[dict[int, list[StreamRecord]]]:
        """Yield the records of several partitions that follow stream ids, some at a time.

        It ends when nothing more waits, or after `most` records. Each round trip brings an equal
        share of every partition of which more may wait, and at least one record.

        Args:
            after_ids: where to begin, by partition.
            most: records in all, at which it ends.
            at_once: records of one round trip.
        """
        after, left = dict(after_ids), most
        while after and left > 0:
            limit = max(1, min(at_once, left) // len(after))
            found = self.read_streams(after, limit)
            yield found
            left -= sum(map(len, found.values()))
            after = {p: some[-1].stream_id for p, some in found.items() if len(some) == limit}

    def newest_records(self, count: int) -> list[StreamRecord]:
        """Return at most `count` records from the end of each partition's stream."""
        keys = [self._keys.stream(p) for p in range(self.partitions)]
        commands = [(k, ("XREVRANGE", k, "+", "-", "COUNT", count)) for k in keys]
        replies = self._bulk.spread(commands)
        return [record for reply in replies if reply for record in self._decode(reply)]

    def stream_length(self, partition: int) -> int:
        """Return how many records wait in a partition's stream."""
        key = self._keys.stream(partition)
        length: int = self._link.call(key, "XLEN", key)
        return length

    def stream_lengths(self) -> list[int]:
        """Return how many records wait in each partition's stream; 0 if its node is away."""
        keys = [self._keys.stream(p) for p in range(self.partitions)]
        return [length or 0 for length in self._bulk.spread([(k, ("XLEN", k)) for k in keys])]

    def stream_ends(self) -> dict[int, str]:
        """Return the last record's id of each partition whose stream is not empty."""
        keys = [self._keys.stream(p) for p in range(self.partitions)]
        replies = self._bulk.spread([(k, ("XREVRANGE", k, "+", "-", "COUNT", 1)) for k in keys])
        return {p: reply[0][0].decode() for p, reply in enumerate(replies) if reply}

    def acquire_lease(self, name: str, owner: str, ttl_s: float) -> bool:
        """Take or renew a lease; False while another owner holds it."""
        key = self._keys.catalogue(f"lease:{name}")
        call = ScriptCall(scripts.RENEW_LEASE, (key,), (owner, max(1, round(ttl_s * 1000))))
        return bool(self._link.scripts([call])[0])

    def lease_holder(self, name: str) -> str | None:
        """Return who holds a lease now, or None."""
        key = self._keys.catalogue(f"lease:{name}")
        reply: bytes | None = self._link.call(key, "GET", key)
        return None if reply is None else reply.decode()

    def release_lease(self, name: str, owner: str) -> None:
        """Give a lease back if `owner` holds it."""
        key = self._keys.catalogue(f"lease:{name}")
        self._link.scripts([ScriptCall(scripts.RELEASE_LEASE, (key,), (owner,))])

    def write_blob(self, name: str, data: bytes) -> None:
        """Keep one named blob (counters checkpoint, trending snapshot ...)."""
        key = self._keys.catalogue(f"blob:{name}")
        self._bulk.call(key, "SET", key, data)

    def read_blob(self, name: str) -> bytes | None:
        """Return a named blob, or None."""
        key = self._keys.catalogue(f"blob:{name}")
        data: bytes | None = self._bulk.call(key, "GET", key)
        return data

    def read_deltas(self, after_id: str) -> list[tuple[str, bytes]]:
        """Return the counters deltas after an id, oldest first."""
        key = self._keys.catalogue("deltas")
        entries = self._bulk.call(key, "XRANGE", key, f"({after_id}", "+")
        return [(stream_id.decode(), fields[1]) for stream_id, fields in entries]

    def _read_entries(self, partition: int, start: str, end: str, count: int) -> list[Entry]:
        self._check_layout()
        key = self._keys.stream(partition)
        entries: list[Entry] = self._bulk.call(key, "XRANGE", key, start, end, "COUNT", count)
        return entries

    @staticmethod
    def _decode(entries: list[Entry]) -> list[StreamRecord]:
        return [
            StreamRecord(stream_id.decode(), _TYPES[kind], payload)
            for stream_id, (kind, payload) in entries
        ]
