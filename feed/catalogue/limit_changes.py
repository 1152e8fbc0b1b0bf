"""Changes the newsroom's limits on front pages, and takes such a change back."""

from __future__ import annotations

from collections.abc import Sequence

from feed.domain import ConflictError
from feed.editorial.editorial import LIMITS, Editorial, editorial_from_store
from feed.editorial.editorial_limits import Limit, check_limits, limit_from_json
from feed.storage.records import AuditEntry
from feed.storage.redis_store import RedisStore


def change_limits(
    store: RedisStore,
    limits: Sequence[Limit],
    *,
    version: int,
    by: str,
    now: float,
    action: str = "changed",
) -> AuditEntry:
    """Replace all limits; return the audit entry about it.

    Args:
        store: Where they are kept.
        limits: All that hold from now on.
        version: Of the limits that were read before.
        by: Who does it.
        now: Epoch seconds.
        action: What the audit log says was done.

    Raises:
        InvalidInputError: no front page can meet the limits.
        ConflictError: somebody else changed them since that version.
    """
    check_limits(limits)
    before = editorial_from_store(store.read_editorial())
    values = [limit.to_json() for limit in limits]
    entry = AuditEntry(now, by, action, LIMITS, _as_object(before), {"limits": values})
    store.write_editorial(LIMITS, values, version=version + 1, entry=entry)
    return entry


def undo_limits(store: RedisStore, entry: AuditEntry, by: str, now: float) -> AuditEntry:
    """Bring back the limits that an entry changed; return the entry about that.

    Raises:
        ConflictError: they were changed since.
    """
    present = editorial_from_store(store.read_editorial())
    if _as_object(present) != entry.after:
        last = store.read_audit(1, LIMITS)[0]
        raise ConflictError(f"the limits were changed since, by {last.by}: look at them again")
    before = [limit_from_json(one) for one in (entry.before or {}).get("limits", ())]
    version = present.versions.get(LIMITS, 0)
    return change_limits(store, before, version=version, by=by, now=now, action="taken back")


def _as_object(editorial: Editorial) -> dict[str, list[dict[str, object]]]:
    return {"limits": [limit.to_json() for limit in editorial.limits]}
