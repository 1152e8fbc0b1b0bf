"""Who makes a request, and what each kind of credential allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from werkzeug.datastructures import Headers


class Scope(StrEnum):
    """What a route requires of its caller."""

    PUBLIC = "public"
    SITE = "site"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    METRICS = "metrics"


KEY_SCOPES: Mapping[Scope, frozenset[Scope]] = MappingProxyType(
    {
        Scope.SITE: frozenset({Scope.SITE}),
        Scope.METRICS: frozenset({Scope.METRICS}),
        Scope.READ: frozenset({Scope.READ}),
        Scope.WRITE: frozenset({Scope.SITE, Scope.READ, Scope.WRITE}),
        Scope.ADMIN: frozenset({Scope.SITE, Scope.READ, Scope.WRITE, Scope.ADMIN, Scope.METRICS}),
    }
)
"""The scopes a key may be given, and what each of them includes."""


class Caller(StrEnum):
    """The kinds of caller that the service distinguishes."""

    ANYONE = "anyone"
    SITE = "site key"
    READER = "reader token"
    KEY = "API key"


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of one request.

    Attributes:
        caller: the kind of its credential.
        grants: the scopes that it has.
        name: name of the API key; empty for other credentials.
        user_id: the reader for whom a token speaks; None for other credentials.
        anonymous: whether the service made that reader's id for a browser.
        since: when that id was made, epoch seconds; None if the token does not say.
    """

    caller: Caller
    grants: frozenset[Scope] = frozenset()
    name: str = ""
    user_id: str | None = None
    anonymous: bool = False
    since: float | None = None

    @property
    def signature(self) -> str:
        """How the audit log names the caller of a route that changes something."""
        return self.name or "open access"


NOBODY = Principal(Caller.ANYONE)
"""A caller without any credential."""

TRUSTED = Principal(Caller.ANYONE, frozenset(Scope))
"""Any caller of an installation that nobody else can reach and that has no credentials."""


def presented_credential(headers: Headers) -> str:
    """Return the credential that a request carries, or an empty text."""
    authorization = headers.get("Authorization", "")
    if authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    return headers.get("X-API-Key", "").strip()
