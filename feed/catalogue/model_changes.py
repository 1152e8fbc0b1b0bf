"""Makes another published model live, and starts a training run; the audit log has both."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from feed.domain import ConflictError, NotFoundError
from feed.models.registry import ModelRegistry
from feed.models.trainer_lease import refuse_beside_another
from feed.models.trainer_lock import one_trainer
from feed.storage.archive_files import refresh_files, table_files
from feed.storage.archive_schema import EVENTS
from feed.storage.audit_part import AuditPart
from feed.storage.records import AuditEntry

SUBJECT = "models"
NICENESS = 10


def make_live(
    store: AuditPart, registry: ModelRegistry, version: str, *, now: float, by: str, action: str
) -> AuditEntry:
    """Make a published version the live one.

    Raises:
        NotFoundError: there is no such version.
        BundleError: it is damaged or of another schema.
        ConflictError: it is live already.
    """
    registry.load(version)
    live = registry.live_version()
    if version == live:
        raise ConflictError(f"{version} is live already")
    entry = AuditEntry(now, by, action, SUBJECT, {"live": live}, {"live": version})
    store.append_audit(entry)  # before, so that no change is without an entry
    registry.set_live(version)
    return entry


def roll_back(store: AuditPart, registry: ModelRegistry, *, now: float, by: str) -> AuditEntry:
    """Make the version live that was live before the present one.

    Raises:
        NotFoundError: there is none.
        BundleError: it is damaged or of another schema.
    """
    earlier = registry.earlier()
    if not earlier:
        raise NotFoundError("no model was live before this one")
    registry.load(earlier[-1])
    change = {"live": registry.live_version()}, {"live": earlier[-1]}
    entry = AuditEntry(now, by, "rolled back", SUBJECT, *change)
    store.append_audit(entry)
    registry.rollback()
    return entry


def undo_model_change(
    store: AuditPart, registry: ModelRegistry, entry: AuditEntry, *, now: float, by: str
) -> AuditEntry:
    """Make the version live again that was live before an entry of the audit log.

    Raises:
        ConflictError: the entry changed no live model, or another is live by now.
    """
    before, after = (entry.before or {}).get("live"), (entry.after or {}).get("live")
    if not before or not after:
        raise ConflictError(f"{entry.action}: this cannot be taken back")
    if registry.live_version() != after:
        raise ConflictError(f"model {after} is not live any more: {registry.live_version()} is")
    return make_live(store, registry, before, now=now, by=by, action="made live again")


def start_training(
    store: AuditPart, data_dir: Path, environment: Mapping[str, str], *, now: float, by: str
) -> int:
    """Start `feed retrain` in a process of its own, of low priority; return its process id.

    It goes on when this process ends. Only one trainer works on an installation: whoever gets the
    lock writes the entry of the audit log and then hands the lock to the new process.

    Args:
        store: Holds the audit log.
        data_dir: Of the installation.
        environment: Of the process: the settings of the installation.
        now: Epoch seconds.
        by: Who starts it.

    Raises:
        ConflictError: a trainer is at work, or there is nothing to learn from.
        StoreUnavailableError: the audit log cannot be written, so nothing was started.
    """
    refresh_files(data_dir / "archive")
    if not table_files(data_dir / "archive", EVENTS):
        raise ConflictError("the archive on this machine holds no events to learn from yet")
    with one_trainer(data_dir / "models") as lock:
        refuse_beside_another(data_dir / "models", now)
        store.append_audit(AuditEntry(now, by, "training started", SUBJECT))
        command = [sys.executable, "-m", "feed", "retrain", f"--by={by}", f"--lock={lock}"]
        process = subprocess.Popen(  # noqa: S603 - our own command; `by` is one argument of it
            command,
            env=dict(environment),
            pass_fds=(lock,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    threading.Thread(target=process.wait, name="trainer", daemon=True).start()
    return process.pid
