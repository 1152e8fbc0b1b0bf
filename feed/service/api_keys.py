"""API keys: those in the settings and those in the store, known only by their hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from feed.catalogue.decisions import Editor
from feed.domain import ConflictError, InvalidInputError, NotFoundError, check_id
from feed.service.credentials import KEY_SCOPES, Scope
from feed.storage.control_part import ControlPart
from feed.storage.records import AuditEntry, StoredKey

USES_WRITTEN_EVERY_S = 60.0
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One accepted key.

    Attributes:
        name: what people call it; unique.
        scope: what it may do.
        digest: SHA-256 of the key, hex.
        stored: whether it lives in the store, else in the settings.
        created_at: epoch seconds; None for a key of the settings.
    """

    name: str
    scope: Scope
    digest: str
    stored: bool = False
    created_at: float | None = None


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key in hex, the only form that settings and store hold."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def make_key() -> str:
    """Return a new random API key of 256 bits."""
    return secrets.token_urlsafe(32)


def parse_keys(text: str) -> list[ApiKey]:
    """Return the keys of a `[name:]scope:sha256-hex,...` setting.

    The name of a key without one is the first eight digits of its hash.

    Raises:
        InvalidInputError: an entry has another form, or two keys have one name.
    """
    keys = [_parse_key(entry) for entry in filter(None, (p.strip() for p in text.split(",")))]
    names = [key.name for key in keys]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError("FEED_API_KEYS", f"must not name two keys {name}")
    return keys


def _parse_key(entry: str) -> ApiKey:
    *name, scope, digest = ["", "", *entry.split(":")][-3:]
    known = {scope.value: scope for scope in KEY_SCOPES}
    if scope not in known or len(digest) != 64 or set(digest) - _HEX or entry.count(":") > 2:
        raise InvalidInputError(
            "FEED_API_KEYS",
            f"must be [name:]scope:sha256-hex, scope one of {', '.join(known)}",
        )
    given = "".join(name) or f"key-{digest[:8]}"
    return ApiKey(check_id("FEED_API_KEYS", given), known[scope], digest)


class KeyRing:
    """Every accepted key. Keys in the store are read again by `follow`, so none needs a restart.

    Args:
        configured: the keys of the settings.
        site_key: the publishable site key of the settings, in clear; empty for none.
        store: where the other keys are.
    """

    def __init__(self, configured: Iterable[ApiKey], site_key: str, store: ControlPart) -> None:
        self._configured = list(configured)
        if site_key:
            self._configured.append(ApiKey("site-key", Scope.SITE, hash_key(site_key)))
        self._store = store
        self._stored: list[ApiKey] | None = None
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}
        self._written_at = float("-inf")

    @property
    def known(self) -> bool:
        """Whether the keys in the store have been read since this process began."""
        return self._stored is not None

    def __bool__(self) -> bool:
        return bool(self._configured or self._stored)

    def all(self) -> list[ApiKey]:
        """Return every accepted key, those of the settings first."""
        return [*self._configured, *(self._stored or ())]

    def find(self, key: str) -> ApiKey | None:
        """Return the accepted key that was presented, in the same time for every key."""
        digest = hash_key(key)
        found = None
        for known in self.all():
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found

    def note_use(self, name: str, now: float) -> None:
        """Remember that a key was used; `follow` stores that."""
        self._used[name] = now

    def follow(self, now: float) -> None:
        """Read the store's keys again, and occasionally store which keys were used.

        Raises:
            StoreUnavailableError: the store does not answer; the keys known so far stay.
        """
        taken = {key.name for key in self._configured}
        stored = [key_of(k) for k in self._store.read_keys() if k.name not in taken]
        self._stored = stored
        if self._used and not 0 <= now - self._written_at < USES_WRITTEN_EVERY_S:
            with self._lock:
                used, self._used = self._used, {}
            self._written_at = now
            self._store.write_key_uses(used)

    def add(self, name: str, scope: Scope, editor: Editor) -> str:
        """Make a key in the store and return it; it is shown only once.

        Raises:
            ConflictError: there is a key of this name.
        """
        check_id("name", name)
        if any(key.name == name for key in self._configured):
            raise ConflictError(f"the settings hold a key named {name}")
        key = make_key()
        entry = editor.entry("added", key_subject(name), None, {"scope": scope.value})
        self._store.add_key(StoredKey(name, scope.value, hash_key(key), editor.at), entry)
        self.follow(editor.at)
        return key

    def remove(self, name: str, editor: Editor) -> AuditEntry:
        """Remove a key from the store; every process refuses it after it next reads the keys.

        Returns:
            The entry of the audit log.

        Raises:
            ConflictError: the key is one of the settings.
            NotFoundError: there is no key of this name.
        """
        if any(key.name == name for key in self._configured):
            raise ConflictError(f"the key {name} is in the settings; take it out of them")
        scopes = {key.name: key.scope for key in self._store.read_keys()}
        entry = editor.entry("removed", key_subject(name), {"scope": scopes.get(name)}, None)
        if not self._store.remove_key(name, entry):
            raise NotFoundError(f"there is no key {name}")
        self.follow(editor.at)
        return entry

    def last_uses(self) -> Mapping[str, float]:
        """Return when keys were last used, by name, epoch seconds accurate to about a minute."""
        return {**self._store.read_key_uses(), **self._used}


def key_subject(name: str) -> str:
    """Return what the audit log calls a key."""
    return f"keys/{name}"


def key_of(stored: StoredKey) -> ApiKey:
    """Return a key of the store as an accepted key."""
    return ApiKey(
        stored.name, Scope(stored.scope), stored.digest, stored=True, created_at=stored.created_at
    )
