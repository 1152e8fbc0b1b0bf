"""How the partitions are shared out among workers in the store, and what each may write there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from feed.domain import ConflictError
from feed.storage import scripts
from feed.storage.key_names import LEAD
from feed.storage.link import ScriptCall
from feed.storage.stream_part import StreamPart

START = "0-0"
Leases = Mapping[str, str]
"""Leases by name: a partition's number, or `LEAD`. A lease is its fencing token and the run."""


@dataclass(frozen=True, slots=True)
class WorkerTable:
    """How the work is shared out at one moment.

    Attributes:
        live: the runs of workers that renewed their entry in time, sorted.
        leases: each lease that was ever taken; see `holder_of`.
        shares: the runs that have a checkpoint; "" is one of an earlier version.
        counted: up to which stream id each partition is in the checkpoints.
    """

    live: tuple[str, ...] = ()
    leases: Leases = field(default_factory=dict)
    shares: tuple[str, ...] = ()
    counted: Mapping[int, str] = field(default_factory=dict)

    def holder_of(self, name: str) -> str:
        """Return which live run holds a lease, "" if none does."""
        run = self.leases.get(name, "").partition(" ")[2]
        return run if run in self.live else ""

    def held(self, run: str) -> int:
        """Return how many partitions a run holds."""
        return sum(self.holder_of(n) == run for n in self.leases if n != LEAD)

    def unowned(self, partitions: int) -> tuple[int, ...]:
        """Return the partitions that no live run holds."""
        return tuple(p for p in range(partitions) if not self.holder_of(str(p)))


@dataclass(frozen=True, slots=True)
class Handover:
    """What a run writes besides its checkpoint, at the same moment.

    Attributes:
        positions: up to which stream id each of its partitions is counted in the checkpoint.
        freed: the partitions that it gives back.
        adopted: dead runs whose checkpoints are in this one now.
        first: positions of partitions that have none yet, from a checkpoint of an earlier version.
    """

    positions: Mapping[int, str]
    freed: frozenset[int] = frozenset()
    adopted: Sequence[str] = ()
    first: Mapping[int, str] = field(default_factory=dict)


class WorkerPart(StreamPart):
    """Workers, their leases and checkpoints.

    Every script that writes for a worker checks in the store that its run is live and holds the
    leases that it names. A run that was not renewed in time never becomes live again.
    """

    def join_workers(self, run: str, ttl_s: float, *, is_new: bool) -> WorkerTable | None:
        """Enter or renew a run; return how the work is shared out.

        Returns:
            None while a worker of an earlier version is at work.

        Raises:
            ConflictError: the run was not renewed in time; what it held belongs to others.
        """
        names = ("workers", "leases", "shares", "counted", "lease:worker")
        keys = (*map(self._keys.catalogue, names), self._keys.checkpoint(""))
        self._check_layout()
        args = (run, round(ttl_s * 1000), int(is_new))
        state, *found = self._link.scripts([ScriptCall(scripts.JOIN_WORKERS, keys, args)])[0]
        if state == b"lost":
            raise ConflictError("this worker was not heard of for too long")
        if state == b"wait":
            return None
        live, leases, shares, counted, has_earlier = found
        runs = [one.decode() for one in shares] + [""] * has_earlier
        return WorkerTable(
            tuple(sorted(one.decode() for one in live)),
            _texts(leases),
            tuple(sorted(runs)),
            {int(p): position for p, position in _texts(counted).items()},
        )

    def leave_workers(self, run: str) -> None:
        """Take a run out at once, so that others need not wait until its time is over."""
        key = self._keys.catalogue("workers")
        self._link.call(key, "ZREM", key, run)

    def read_workers(self) -> WorkerTable:
        """Return who is at work, for those who only look."""
        key, leases = self._keys.catalogue("workers"), self._keys.catalogue("leases")
        (seconds, micros), live, held = self._link.pipeline(
            key, [("TIME",), ("ZRANGE", key, 0, -1, "WITHSCORES"), ("HGETALL", leases)]
        )
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        runs = [
            r.decode()
            for r, until in zip(live[::2], live[1::2], strict=True)
            if float(until) > now_ms
        ]
        return WorkerTable(tuple(sorted(runs)), _texts(held))

    def take_leases(self, run: str, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Take those of some leases that are free; return each lease and its counted position."""
        tables = map(self._keys.catalogue, ("workers", "leases", "shares", "counted"))
        keys = (*tables, self._keys.checkpoint(""))
        found = self._link.scripts([ScriptCall(scripts.TAKE_LEASES, keys, (run, *names))])[0]
        texts = [one.decode() for one in found]
        return dict(zip(texts[::3], zip(texts[1::3], texts[2::3], strict=True), strict=True))

    def write_checkpoint(
        self, run: str, data: bytes, since: str, leases: Leases, handover: Handover
    ) -> str | None:
        """Replace a run's checkpoint, with all that changes at the same moment.

        Args:
            run: whose.
            data: the checkpoint.
            since: id of the delta after which followers of this run need the deltas.
            leases: of the partitions in `handover.positions`.
            handover: positions, and what is given back or adopted.

        Returns:
            The id of the newest delta, or None if the run may not write this.
        """
        names = ("workers", "leases", "shares", "counted", "deltas")
        blobs = [self._keys.checkpoint(one) for one in (run, *handover.adopted)]
        positions = handover.positions
        args = [run, data, since, len(positions)]
        for partition in positions:
            args += [partition, leases[str(partition)]]
        for partition, position in positions.items():
            args += [position, int(partition not in handover.freed)]
        args += [len(handover.first)]
        for partition, position in handover.first.items():
            args += [partition, position]
        keys = (*map(self._keys.catalogue, names), *blobs)
        call = ScriptCall(scripts.WRITE_CHECKPOINT, keys, (*args, *handover.adopted))
        newest = self._bulk.scripts([call])[0]
        return None if newest is None else newest.decode()

    def read_checkpoint(self, run: str) -> bytes | None:
        """Return a run's checkpoint, or None."""
        key = self._keys.checkpoint(run)
        data: bytes | None = self._bulk.call(key, "GET", key)
        return data

    def read_shares(self) -> tuple[str, list[bytes]]:
        """Return the checkpoints of all runs at one moment, and the id of the newest delta then."""
        shares, deltas = self._keys.catalogue("shares"), self._keys.catalogue("deltas")
        while True:
            stored, has_earlier = self._bulk.pipeline(
                shares, [("HKEYS", shares), ("EXISTS", self._keys.checkpoint(""))]
            )
            runs = sorted(run.decode() for run in stored) + [""] * has_earlier
            keys = (shares, deltas, *map(self._keys.checkpoint, runs))
            found = self._bulk.scripts([ScriptCall(scripts.READ_SHARES, keys, tuple(runs))])[0]
            if found is not None:
                newest, *checkpoints = found
                return newest.decode(), checkpoints

    def publish_delta(self, run: str, data: bytes, keep: int, leases: Leases) -> str | None:
        """Append a counters delta if a run holds some leases; return its id, else None."""
        keys = tuple(map(self._keys.catalogue, ("deltas", "workers", "leases")))
        pairs = [part for lease in leases.items() for part in lease]
        call = ScriptCall(scripts.PUBLISH_DELTA, keys, (run, data, keep, len(leases), *pairs))
        stream_id = self._bulk.scripts([call])[0]
        return None if stream_id is None else stream_id.decode()

    def publish_blob(self, name: str, data: bytes, run: str, lease: str) -> bool:
        """Keep one named blob if a run holds the lead; return whether it was kept."""
        keys = tuple(map(self._keys.catalogue, (f"blob:{name}", "workers", "leases")))
        call = ScriptCall(scripts.PUBLISH_BLOB, keys, (run, data, LEAD, lease))
        return bool(self._bulk.scripts([call])[0])

    def trim_streams(self, up_to_ids: Mapping[int, str], lease: str) -> list[int]:
        """Trim several partitions' streams for the holder of the lead; return those trimmed.

        A stream may be on another node than the leases. So each has a fence of its own, which
        refuses the term of an earlier holder.
        """
        term = lease.partition(" ")[0]
        commands = []
        for partition, up_to_id in up_to_ids.items():
            key, (milliseconds, sequence) = self._keys.stream(partition), up_to_id.split("-")
            first_kept = f"{milliseconds}-{int(sequence) + 1}"
            script = ("EVAL", scripts.TRIM_STREAM.source, 2, key, self._keys.fence(partition))
            commands.append((key, (*script, term, first_kept)))
        replies = self._bulk.spread(commands) if commands else []
        return [p for p, reply in zip(up_to_ids, replies, strict=True) if reply is not None]


def _texts(pairs: Sequence[bytes]) -> dict[str, str]:
    return {n.decode(): v.decode() for n, v in zip(pairs[::2], pairs[1::2], strict=True)}
