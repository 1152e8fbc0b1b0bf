"""The complete store on Redis or Valkey, one server or a cluster."""

from __future__ import annotations

from feed.storage.audit_part import AuditPart
from feed.storage.catalogue_part import CataloguePart
from feed.storage.control_part import ControlPart
from feed.storage.editorial_part import EditorialPart
from feed.storage.encoding_part import EncodingPart
from feed.storage.pulse_part import PulsePart
from feed.storage.rights_part import RightsPart
from feed.storage.source_part import SourcePart
from feed.storage.watch_part import WatchPart
from feed.storage.worker_part import WorkerPart


class RedisStore(
    RightsPart,
    CataloguePart,
    SourcePart,
    WorkerPart,
    WatchPart,
    ControlPart,
    EditorialPart,
    EncodingPart,
    AuditPart,
    PulsePart,
):
    """Everything that is stored, on Redis or Valkey; the table of keys is in `key_names.py`.

    It connects when it is first used, so a process may start before its store does. It is safe to
    use from several threads, and from a forked child, which makes its own connections.

    Args:
        settings: `redis_url`, `redis_cluster`, `namespace`, `partitions`, time limits and bounds.
        rest_s: seconds for which a node that does not answer is left alone; 0: never.
    """

    def close(self) -> None:
        """Close every connection."""
        self._link.close()
        self._bulk.close()
