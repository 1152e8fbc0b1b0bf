"""A worker's place among the others: its run, and the leases that it holds."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from feed.domain import ConflictError
from feed.storage.key_names import LEAD
from feed.storage.redis_store import RedisStore
from feed.storage.worker_part import Leases, WorkerTable

log = structlog.get_logger(__name__)

LEASE_SECONDS = 8.0
"""Time without a sign of life after which a worker counts as dead."""


class Membership:
    """One run of a worker. When it has lost a lease it is over, and a new run must begin.

    Args:
        store: where the leases are.
        run: its name, which no other run ever has.
    """

    def __init__(self, store: RedisStore, run: str) -> None:
        self._store = store
        self._entered = False
        self.run = run
        self.table = WorkerTable()
        self.leases: Leases = {}
        """Those of the partitions that this run holds; replaced whole, so that threads may read."""
        self.lead = ""
        """The lease of the lead, "" while another run holds it."""

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that this run holds."""
        return tuple(map(int, self.leases))

    def renew(self) -> bool:
        """Show that this run is alive; return False while a worker of an earlier version works.

        Raises:
            ConflictError: this run was not heard of for too long, or the store holds other leases
                for it than it knows of, because an answer was lost.
        """
        table = self._store.join_workers(self.run, LEASE_SECONDS, is_new=not self._entered)
        if table is None:
            return False
        self._entered, self.table = True, table
        known = {**self.leases, **({LEAD: self.lead} if self.lead else {})}
        held = {n: one for n, one in table.leases.items() if table.holder_of(n) == self.run}
        if known != held:
            raise ConflictError("this worker's leases are not those that the store knows")
        return True

    def is_turn_to_adopt(self) -> bool:
        """Return whether this run is the live one that holds the fewest partitions."""
        return self.run == min(self.table.live, key=lambda run: (self.table.held(run), run))

    def orphans(self) -> list[str]:
        """Return the runs that left a checkpoint and are not live."""
        return [run for run in self.table.shares if run not in self.table.live]

    def take(self) -> Mapping[int, str]:
        """Take free leases up to a fair share; return the counted position of each partition."""
        table, wanted = self.table, []
        missing = self._target() - len(self.leases)
        if missing > 0:
            free = table.unowned(self._store.partitions)
            wanted = [str(partition) for partition in free[:missing]]
        if not self.lead and not table.holder_of(LEAD):
            wanted.append(LEAD)
        taken = self._store.take_leases(self.run, wanted) if wanted else {}
        if LEAD in taken:
            self.lead = taken.pop(LEAD)[0]
            log.info("worker_leads", owner=self.run)
        if taken:
            self.leases = {**self.leases, **{name: lease for name, (lease, _) in taken.items()}}
            log.info("partitions_taken", owner=self.run, partitions=sorted(map(int, taken)))
        return {int(name): position for name, (_, position) in taken.items()}

    def surplus(self) -> frozenset[int]:
        """Return the partitions to give to others: those beyond a fair share."""
        return frozenset(sorted(self.partitions)[self._target() :])

    def drop(self, partitions: frozenset[int]) -> None:
        """Forget the leases of partitions that were given back."""
        self.leases = {n: one for n, one in self.leases.items() if int(n) not in partitions}
        if partitions:
            log.info("partitions_given_back", owner=self.run, partitions=sorted(partitions))

    def leave(self) -> None:
        """End this run, so that others take over at once."""
        self._store.leave_workers(self.run)

    def _target(self) -> int:
        """Return how many partitions this run should hold; those that hold more get the rest."""
        table, live = self.table, self.table.live
        share, rest = divmod(self._store.partitions, len(live))
        order = sorted(live, key=lambda run: (-table.held(run), run))
        return share + (order.index(self.run) < rest)
