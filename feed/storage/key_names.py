"""Every key that feed keeps in the store: its name, its bound, and when it expires."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

HISTORY_MAX = 200
SHOWN_MAX = 300
READ_MAX = 1000
READ_DAYS = 30
MARKS_MAX = 1000
SLATES_MAX = 5
MERGED_MAX = 1000
CHANGE_LOG_MAX = 100_000
WAITING_MAX = 10_000
SOURCES_MAX = 5_000
AUDIT_MAX = 10_000
PULSE_MAX = 64
"""Names that one slot of the pulse may hold."""

DAY_S = 86_400
SEEN_TTL_S = 2 * DAY_S
PREFERENCES_TTL_S = 400 * DAY_S
"""Also of attributes, and of what says that an id was merged into another."""

HIT_WINDOWS_KEPT = 2
SALT_TTL_S = DAY_S

CHECKPOINT_BLOB = "signals"
"""Begins the name of the blobs that say what each worker has counted."""

ENCODING_TTL_S = 7 * DAY_S

UNFINISHED = b"0"
"""What `layout` holds while a restore fills the store: services refuse so many partitions."""

LEAD = "lead"
"""The lease of the worker that does what only one may do; the others are named by partition."""


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One row of the key table.

    `pattern` is a glob in which `NS` stands for the namespace and `P` for a partition number;
    `bound` limits the number of elements (None: see `why`); `ttl` says when the key expires.
    """

    pattern: str
    type: str
    bound: int | None
    ttl: str
    why: str


KEY_TABLE = (
    KeySpec("{NS:pP}:log", "stream", None, "", "at most stream_max_events / partitions records"),
    KeySpec("{NS:pP}:fence", "string", None, "", "the last term in which the stream was trimmed"),
    KeySpec("{NS:pP}:seen:*", "set", None, "2 days", "event digests of one day: at most 3 keys"),
    KeySpec("{NS:pP}:h:*", "list", HISTORY_MAX, "reader_ttl_days", "a reader's engagements"),
    KeySpec("{NS:pP}:r:*", "zset", READ_MAX, "reader_ttl_days", "articles clicked, 30 days"),
    KeySpec("{NS:pP}:v:*", "zset", SHOWN_MAX, "reader_ttl_days", "articles in view: time, count"),
    KeySpec("{NS:pP}:m:*", "zset", MARKS_MAX, "reader_ttl_days", "likes and dislikes"),
    KeySpec("{NS:pP}:x:*", "zset", MARKS_MAX, "reader_ttl_days", "hidden articles"),
    KeySpec("{NS:pP}:s:*", "zset", MARKS_MAX, "reader_ttl_days", "saved articles"),
    KeySpec("{NS:pP}:u:*", "zset", MARKS_MAX, "reader_ttl_days", "what was undone, and when"),
    KeySpec("{NS:pP}:pref:*", "string", None, "400 days", "preferences, or whose the id is now"),
    KeySpec("{NS:pP}:t:*", "string", None, "400 days", "a reader's attributes, at most 16"),
    KeySpec("{NS:pP}:i:*", "string", None, "400 days", "what experiments know a reader by"),
    KeySpec("{NS:pP}:a:*", "zset", MERGED_MAX, "400 days", "ids merged into a reader, and when"),
    KeySpec("{NS:pP}:slate:*", "string", None, "slate_ttl_minutes", "one ranked slate"),
    KeySpec("{NS:pP}:slates:*", "list", SLATES_MAX, "slate_ttl_minutes", "a reader's slates"),
    KeySpec("{NS:c}:articles", "hash", None, "", "live catalogue; the worker sweeps old articles"),
    KeySpec("{NS:c}:meta", "hash", None, "", "the same articles without body, with embedding"),
    KeySpec("{NS:c}:age", "zset", None, "", "the same articles by age, for the sweep"),
    KeySpec("{NS:c}:erased", "zset", None, "", "ids erased by hand, and when; until restored"),
    KeySpec("{NS:c}:unencoded", "set", None, "", "ids of articles that wait for their vector"),
    KeySpec("{NS:c}:earlier", "hash", None, "", "articles as before they were encoded anew"),
    KeySpec("{NS:c}:encoding", "string", None, "7 days", "how far `feed encode` is"),
    KeySpec("{NS:c}:changes", "stream", CHANGE_LOG_MAX, "", "change log of the catalogue"),
    KeySpec(
        "{NS:c}:waiting", "hash", WAITING_MAX, "", "events whose article has not come, 6 hours"
    ),
    KeySpec("{NS:c}:pins", "string", None, "", "one value, replaced whole"),
    KeySpec("{NS:c}:experiments", "hash", None, "", "one field for each experiment"),
    KeySpec("{NS:c}:editorial", "hash", None, "", "one field for each kind of editors' decision"),
    KeySpec("{NS:c}:audit", "list", AUDIT_MAX, "", "who changed what, the newest entry first"),
    KeySpec("{NS:c}:secrets", "hash", None, "", "one field for each installation secret"),
    KeySpec("{NS:c}:keys", "hash", None, "", "one field for each API key in the store"),
    KeySpec("{NS:c}:keys_used", "hash", None, "", "one field for each API key ever used"),
    KeySpec("{NS:c}:ended:*", "string", None, "12 hours", "a desk session that was signed out of"),
    KeySpec("{NS:c}:sources", "hash", SOURCES_MAX, "", "one field for each source that is polled"),
    KeySpec("{NS:c}:sources_changed", "string", None, "", "how often the sources were changed"),
    KeySpec("{NS:c}:source_states", "hash", SOURCES_MAX, "", "what the poller found at each"),
    KeySpec("{NS:c}:watched", "hash", None, "", "what was found in each experiment, and alerts"),
    KeySpec(
        "{NS:c}:layout",
        "string",
        None,
        "",
        "number of partitions, fixed at first use; 0 in a restore",
    ),
    KeySpec("{NS:c}:blob:*", "string", None, "", "one for each thing the worker publishes"),
    KeySpec(
        "{NS:c}:deltas",
        "stream",
        None,
        "",
        "deltas since the last checkpoint but one, at most 600 a worker",
    ),
    KeySpec("{NS:c}:workers", "zset", None, "", "live workers, and until when; in no backup"),
    KeySpec("{NS:c}:leases", "hash", None, "", "who holds each partition and the lead; tokens"),
    KeySpec("{NS:c}:shares", "hash", None, "", "one field for each worker's checkpoint"),
    KeySpec("{NS:c}:counted", "hash", None, "", "up to where each partition is in checkpoints"),
    KeySpec("{NS:c}:lease:worker", "string", None, "", "keeps workers of earlier versions out"),
    KeySpec("{NS:c}:lease:*", "string", None, "ttl_s", "who may poll, and who may watch"),
    KeySpec("NS:salt:*", "string", None, "1 day", "names one day's networks; in no backup"),
    KeySpec("NS:hit:*", "string", None, "2 windows", "hits of one limit in one window"),
    KeySpec("NS:{pulse}:10:*", "hash", PULSE_MAX, "15 minutes", "the pulse; in no backup"),
    KeySpec("NS:{pulse}:60:*", "hash", PULSE_MAX, "25 hours", "the pulse; in no backup"),
)
"""The whole of what may be in the store. A test scans a used store and finds nothing else."""


class Keys:
    """Names of keys for one namespace.

    All keys of one reader carry the hash tag of the reader's partition, so that a Redis Cluster
    keeps them on one node and one script may touch them together. The tag comes first in the
    name, so braces inside an identifier cannot change it.
    """

    def __init__(self, namespace: str, partitions: int) -> None:
        self.partitions = partitions
        self._readers = [f"{{{namespace}:p{p}}}:" for p in range(partitions)]
        self._catalogue = f"{{{namespace}:c}}:"
        self._hits = f"{namespace}:hit:"
        self._salts = f"{namespace}:salt:"
        self._pulse = f"{namespace}:{{pulse}}:"

    def partition(self, user_id: str) -> int:
        """Return a reader's partition: the same in every process and on every machine."""
        return _number_of(user_id) % self.partitions

    def reader_prefix(self, partition: int) -> str:
        """Return what every reader key of a partition begins with."""
        return self._readers[partition]

    def reader(self, kind: str, user_id: str) -> str:
        """Return one reader's key of a kind of the table (`h`, `r`, `pref`, `i` ...)."""
        return f"{self._readers[self.partition(user_id)]}{kind}:{user_id}"

    def slate(self, user_id: str, request_id: str) -> str:
        """Return the key of one slate; the length keeps `a:b` + `c` apart from `a` + `b:c`."""
        prefix = self._readers[self.partition(user_id)]
        return f"{prefix}slate:{len(user_id)}:{user_id}:{request_id}"

    def stream(self, partition: int) -> str:
        """Return the key of a partition's stream."""
        return self._readers[partition] + "log"

    def fence(self, partition: int) -> str:
        """Return the key of the fence of a partition's stream."""
        return self._readers[partition] + "fence"

    def checkpoint(self, run: str) -> str:
        """Return the key of a worker run's checkpoint; "" is that of earlier versions."""
        return f"{self._catalogue}blob:{CHECKPOINT_BLOB}{':' if run else ''}{run}"

    def seen(self, partition: int, day: int) -> str:
        """Return the key of the event digests of one day (days since 1970)."""
        return f"{self._readers[partition]}seen:{day}"

    def catalogue(self, name: str) -> str:
        """Return a key of the catalogue's group."""
        return self._catalogue + name

    def salt(self, day: int) -> str:
        """Return the key of one day's salt; outside the groups of keys that a backup copies."""
        return f"{self._salts}{day}"

    def hit(self, name: str, window: int) -> str:
        """Return the key that counts a limit's hits in one window."""
        return f"{self._hits}{window}:{name}"

    def pulse(self, step_s: int, at: int) -> str:
        """Return the key of the slot of `step_s` seconds that holds an epoch second.

        All slots carry one hash tag, so that one node holds them; no backup copies them.
        """
        return f"{self._pulse}{step_s}:{at // step_s}"


@lru_cache(maxsize=1024)  # a request asks for it six times
def _number_of(user_id: str) -> int:
    digest = hashlib.blake2b(user_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
