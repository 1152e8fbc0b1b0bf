"""Who uses the desk: roles, and the session that a signed cookie holds."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_hex
from types import MappingProxyType
from typing import Any

from itsdangerous import BadSignature, URLSafeTimedSerializer

from feed.service.api_keys import ApiKey, KeyRing
from feed.service.credentials import KEY_SCOPES, Caller, Principal, Scope

SESSION_SECRET = "desk-sessions"  # noqa: S105 - the name of a secret, not one
SESSION_HOURS = 12
SESSION = "session"


class Role(StrEnum):
    """What somebody may do on the desk; each role includes the ones before it."""

    ANALYST = "analyst"
    EDITOR = "editor"
    ADMIN = "admin"


ROLES_OF_SCOPES: Mapping[Scope, Role] = MappingProxyType(
    {Scope.READ: Role.ANALYST, Scope.WRITE: Role.EDITOR, Scope.ADMIN: Role.ADMIN}
)
"""The role that an API key of a scope gives; keys of other scopes give none."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who uses the desk.

    Attributes:
        name: For the audit log, as `Principal.signature`.
        role: What they may do.
        token: Of the session. It must come back with every form, so that no other site's form is
            taken.
        is_open: Whether they were let in without a key, because this installation has none.
    """

    name: str
    role: Role
    token: str
    is_open: bool = False

    def may(self, role: Role | str) -> bool:
        """Whether their role includes another."""
        order = list(Role)
        return order.index(self.role) >= order.index(Role(role))

    @property
    def session(self) -> str:
        """What the store calls the session: nobody learns the token from it."""
        return hashlib.blake2b(self.token.encode(), digest_size=16).hexdigest()

    def owns(self, token: str) -> bool:
        """Whether a form's token is theirs."""
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode())

    def to_principal(self) -> Principal:
        """Return them as a caller of the API, with what their role allows."""
        scope = next(s for s, role in ROLES_OF_SCOPES.items() if role is self.role)
        return Principal(Caller.KEY, KEY_SCOPES[scope], name=self.name)


class DeskSessions:
    """Makes and reads the signed text of session cookies.

    A session ends with the key that began it: the text holds the key's name and the start of its
    hash, and a key that is gone or was replaced opens nothing. A session that an identity provider
    began ends when the settings of that provider are changed.

    Args:
        secret: Gives the installation's secret; asked once, when it is first needed.
        provider: Digest of the settings of the identity provider; empty: there is none.
    """

    def __init__(self, secret: Callable[[], bytes], provider: str = "") -> None:
        self._secret, self._provider = secret, provider
        self._known: bytes | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Read the secret, so that the desk opens also when the store goes away later."""
        self._held()

    def begin(self, key: ApiKey) -> str:
        """Return the text of a new session's cookie."""
        held = {"key": key.name, "digest": key.digest[:16], "token": token_hex(16)}
        return self.sign(held, SESSION)

    def begin_for(self, person: str, role: Role) -> str:
        """Return the text of a cookie for somebody whom the identity provider names."""
        held = {
            "person": person,
            "role": role,
            "digest": self._provider,
            "token": token_hex(16),
        }
        return self.sign(held, SESSION)

    def read(self, text: str, keys: KeyRing) -> Visitor | None:
        """Return whose session a cookie is, None if it is no valid one any more.

        Raises:
            StoreUnavailableError: the secret was never read, and the store does not answer.
        """
        held = self.unsign(text, SESSION_HOURS * 3600, SESSION) if text else None
        if not held:
            return None
        if "person" in held:
            is_same = bool(self._provider) and held["digest"] == self._provider
            return Visitor(held["person"], Role(held["role"]), held["token"]) if is_same else None
        for key in keys.all():
            role = ROLES_OF_SCOPES.get(key.scope)
            is_same = hmac.compare_digest(key.digest[:16], str(held.get("digest", "")))
            if key.name == held.get("key") and is_same and role is not None:
                return Visitor(key.name, role, str(held["token"]))
        return None

    def open_visitor(self) -> Visitor:
        """Return the visitor of an installation without keys; the form's token is its own."""
        digest = hmac.new(self._held(), b"open desk", "sha256").hexdigest()
        return Visitor("open access", Role.ADMIN, digest[:32], is_open=True)

    def sign(self, value: Any, purpose: str) -> str:
        """Return a small JSON value as signed text, which counts for one purpose alone."""
        return self._serializer(purpose).dumps(value)

    def unsign(self, text: str, most_s: int, purpose: str) -> Any:
        """Return the value of a text that this installation signed at most so long ago, or None."""
        try:
            return self._serializer(purpose).loads(text, max_age=most_s)
        except BadSignature:
            return None

    def _serializer(self, purpose: str) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self._held(), salt=f"desk-{purpose}")

    def _held(self) -> bytes:
        with self._lock:
            if self._known is None:
                self._known = self._secret()
            return self._known
