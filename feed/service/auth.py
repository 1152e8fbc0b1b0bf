"""Who may call: API keys with scopes, the loopback rule, and rate limits."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from enum import IntEnum

from werkzeug.datastructures import Headers

from feed.config import Settings
from feed.domain import InvalidInputError, StoreUnavailableError
from feed.service.problems import ProblemError
from feed.storage.store import ControlStore

RATE_WINDOW_S = 60


class Scope(IntEnum):
    """What a key may do; a higher scope includes the lower ones."""

    PUBLIC = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


class ApiKeys:
    """The accepted keys, known only by their SHA-256.

    Several may be valid at once, so that a key can be replaced without a gap.
    """

    def __init__(self, hashes: Mapping[str, Scope]) -> None:
        self._hashes = dict(hashes)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    @classmethod
    def parse(cls, text: str) -> ApiKeys:
        """Return the keys of a `scope:sha256-hex,...` setting.

        Raises:
            InvalidInputError: an entry has another form.
        """
        hashes = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            scope, _, digest = entry.partition(":")
            known = {s.name.lower(): s for s in Scope if s is not Scope.PUBLIC}
            if scope not in known or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                raise InvalidInputError(
                    "FEED_API_KEYS", "must be scope:sha256-hex, scope one of read, write, admin"
                )
            hashes[digest] = known[scope]
        return cls(hashes)

    def scope_of(self, key: str) -> Scope:
        """Return what a key may do, `PUBLIC` for an unknown one; takes the same time for all."""
        digest = hash_key(key)
        found = Scope.PUBLIC
        for known, scope in self._hashes.items():
            if hmac.compare_digest(known, digest):
                found = max(found, scope)
        return found


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key, in hex; it is what the settings hold."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def make_key() -> str:
    """Return a new random API key of 256 bits."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Return whether an address to bind can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(settings: Settings) -> None:
    """Refuse to serve the world without a key.

    Raises:
        InvalidInputError: `host` is not loopback and no key is configured, or a key is malformed.
    """
    if not ApiKeys.parse(settings.api_keys) and not is_loopback(settings.host):
        raise InvalidInputError(
            "FEED_HOST", f"must be a loopback address while FEED_API_KEYS is empty: {settings.host}"
        )


class Door:
    """Lets a request in, or ends it with 401, 403 or 429."""

    def __init__(self, settings: Settings, store: ControlStore) -> None:
        self._keys = ApiKeys.parse(settings.api_keys)
        self._rate = settings.rate_per_minute
        self._store = store

    def admit(self, needed: Scope, headers: Headers, address: str) -> None:
        """Return if the request may go on.

        Raises:
            ProblemError: the key is missing, unknown or too weak, or the limit is reached.
        """
        if needed is Scope.PUBLIC or not (self._keys or self._rate):
            return
        key = _key_in(headers)
        if self._keys:
            self._check_scope(needed, key)
        if self._rate:
            self._check_rate(key if self._keys and key else address)

    def _check_scope(self, needed: Scope, key: str) -> None:
        granted = self._keys.scope_of(key) if key else Scope.PUBLIC
        if granted is Scope.PUBLIC:
            raise ProblemError(
                401,
                "an API key is needed: Authorization: Bearer <key>, or X-API-Key: <key>",
                headers={"WWW-Authenticate": 'Bearer realm="feed"'},
            )
        if granted < needed:
            raise ProblemError(403, f"this needs a key with scope {needed.name.lower()}")

    def _check_rate(self, who: str) -> None:
        name = hashlib.sha256(b"rate" + who.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        try:
            hits = self._store.count_hit(f"rate:{name}", RATE_WINDOW_S)
        except StoreUnavailableError:
            return
        if hits > self._rate:
            raise ProblemError(
                429,
                f"more than {self._rate} requests a minute",
                headers={"Retry-After": str(RATE_WINDOW_S)},
            )


def _key_in(headers: Headers) -> str:
    authorization = headers.get("Authorization", "")
    if authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    return headers.get("X-API-Key", "")
