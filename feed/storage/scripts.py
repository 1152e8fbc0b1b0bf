"""The Lua scripts of the store, loaded once from the files beside this module."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_DIR = Path(__file__).with_name("lua")


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script and the SHA-1 by which the store knows it.

    Scripts are never built from data: everything that a user sends is passed as text in ARGV.

    `is_confirmed` says whether the setting `store_confirmed_by` holds for it. It does not for what
    changes nothing, and for what may be lost with a primary: figures of the moment, and exposures,
    which nobody waits for.
    """

    source: str
    sha: str
    is_confirmed: bool = True


def _load(name: str, *, fenced: bool = False, confirmed: bool = True) -> Script:
    names = ("fence", name) if fenced else (name,)
    source = "".join((_DIR / f"{one}.lua").read_text(encoding="utf-8") for one in names)
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(source, sha, confirmed)


APPEND_EVENTS = _load("append_events")
SAVE_SERVED = _load("save_served", confirmed=False)
ERASE_READER = _load("erase_reader")
WRITE_PREFERENCES = _load("write_preferences")
WRITE_ATTRIBUTES = _load("write_attributes")
BEGIN_MERGE = _load("begin_merge")
CANCEL_MERGE = _load("cancel_merge")
LEAVE_READER = _load("leave_reader")
JOIN_READERS = _load("join_readers")
FINISH_MERGE = _load("finish_merge")
WRITE_ARTICLES = _load("write_articles")
DELETE_ARTICLES = _load("delete_articles")
WRITE_EXPERIMENT = _load("write_experiment")
WRITE_EDITORIAL = _load("write_editorial")
WRITE_PINS = _load("write_pins")
RUN_AUDITED = _load("run_audited")
RENEW_LEASE = _load("renew_lease")
RELEASE_LEASE = _load("release_lease")
JOIN_WORKERS = _load("join_workers", fenced=True)
TAKE_LEASES = _load("take_leases", fenced=True)
WRITE_CHECKPOINT = _load("write_checkpoint", fenced=True)
READ_SHARES = _load("read_shares", confirmed=False)
PUBLISH_BLOB = _load("publish_blob", fenced=True)
PUBLISH_DELTA = _load("publish_delta", fenced=True)
TRIM_STREAM = _load("trim_stream")
COUNT_HIT = _load("count_hit", confirmed=False)
HOLD_EVENTS = _load("hold_events")
CHANGE_SOURCES = _load("change_sources")
WRITE_PRESENT = _load("write_present")
ADD_PULSE = _load("add_pulse", confirmed=False)
