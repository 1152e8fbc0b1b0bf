"""Checks each request's credential against the needs of its route, and limits the request rate."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import structlog
from werkzeug.datastructures import Headers

from feed.config import Settings
from feed.domain import InvalidInputError, StoreUnavailableError
from feed.service.addresses import is_loopback
from feed.service.api_keys import KeyRing, parse_keys
from feed.service.credentials import (
    KEY_SCOPES,
    NOBODY,
    TRUSTED,
    Caller,
    Principal,
    Scope,
    presented_credential,
)
from feed.service.desk.provider_settings import check_provider_settings
from feed.service.operations import Operation, ReaderAccess
from feed.service.problems import ProblemError
from feed.service.reader_tokens import ReaderTokens, TokenRefusedError, looks_like_token
from feed.storage.control_part import ControlPart

RATE_WINDOW_S = 60
LOG_EVERY_S = 1.0
TOKEN_SECRET = "reader-tokens"  # noqa: S105 - the name of a secret, not one
LIMITS_SECRET = "limits"  # noqa: S105 - the name of a secret, not one

log = structlog.get_logger("feed.access")


def check_access_settings(settings: Settings) -> None:
    """Refuse invalid settings, and any address but loopback if there is no credential.

    Raises:
        InvalidInputError: a key, secret or file is malformed, or `host` is not loopback and
            neither keys nor tokens are configured.
    """
    check_provider_settings(settings)
    keys = parse_keys(settings.api_keys)
    tokens = ReaderTokens(settings, bytes)
    if not (keys or settings.site_key or tokens.configured or is_loopback(settings.host)):
        raise InvalidInputError(
            "FEED_HOST",
            "must be a loopback address while FEED_API_KEYS, FEED_SITE_KEY, FEED_TOKEN_SECRET "
            f"and FEED_TOKEN_KEYS are empty: {settings.host}",
        )


class AccessControl:
    """Finds out who makes a request, or ends the request with 401, 403, 429 or 503.

    An installation on a loopback address without any credential is open: everybody who can reach
    it may do everything. On any other address, and as soon as there is a key, every caller needs
    a credential.

    Args:
        settings: keys, tokens and limits.
        store: holds further keys, the secrets, and the counts for the limits.
        clock: epoch seconds.
    """

    def __init__(self, settings: Settings, store: ControlPart, clock: Callable[[], float]) -> None:
        self.keys = KeyRing(parse_keys(settings.api_keys), settings.site_key, store)
        self.tokens = ReaderTokens(settings, lambda: store.secret(TOKEN_SECRET))
        self._always_closed = (
            self.tokens.configured or bool(settings.oidc_issuer) or not is_loopback(settings.host)
        )
        self._public_metrics = settings.public_metrics
        self._rate = settings.rate_per_minute
        self._store = store
        self._clock = clock
        self._limits_secret: bytes | None = None
        self._logged_at = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether callers need no credential at all."""
        return not (self._always_closed or self.keys)

    def follow(self) -> None:
        """Bring the keys of the store and of the token file up to date.

        Raises:
            StoreUnavailableError: the store does not answer; the keys known so far stay.
        """
        self.tokens.follow()
        self.keys.follow(self._clock())

    def admit(
        self,
        needed: Operation,
        headers: Headers,
        address: str,
        user_id: str = "",
        visitor: Principal | None = None,
    ) -> Principal:
        """Return the caller, if the request is allowed.

        Args:
            needed: what the route declares.
            headers: of the request.
            address: the reader's address.
            user_id: the reader that the path names, where it does. A reader that query or body
                name is checked by `speaks_for` once they are read.
            visitor: whose session a page of the desk sends; it counts if no credential is sent.

        Raises:
            ProblemError: the credential is missing, not valid or too weak, or a limit is reached.
            StoreUnavailableError: the keys are in the store, and the store was never read.
        """
        if needed.scope is Scope.PUBLIC or (self._public_metrics and needed.scope is Scope.METRICS):
            return NOBODY
        try:
            principal = self._identify(headers, visitor)
            _check_grant(principal, needed, user_id)
            if self._rate:
                self._check_rate(principal, address)
        except ProblemError as problem:
            self._note_refusal(problem, address)
            raise
        return principal

    def limit(self, name: str, most: int, address: str) -> None:
        """Count one request from an address towards a limit per minute.

        While the store is not available nothing is limited, so that readers do not suffer from it.

        Raises:
            ProblemError: 429, the limit is reached.
        """
        try:
            if self._limits_secret is None:
                self._limits_secret = self._store.secret(LIMITS_SECRET)
            # Keyed, so that nobody who reads the store can try which address it was.
            who = hashlib.blake2b(
                f"{name} {address}".encode("utf-8", "surrogatepass"),
                digest_size=12,
                key=self._limits_secret,
            ).hexdigest()
            hits = self._store.count_hit(f"{name}:{who}", RATE_WINDOW_S, self._clock())
        except StoreUnavailableError:
            return
        if hits > most:
            raise ProblemError(
                429,
                f"more than {most} requests a minute",
                headers={"Retry-After": str(RATE_WINDOW_S)},
            )

    def reader_of(self, token: str) -> Principal:
        """Return the reader that a token speaks for.

        Raises:
            ProblemError: 401, the token is not valid.
        """
        try:
            claims = self.tokens.verify(token, self._clock())
        except TokenRefusedError as error:
            raise _unauthorized(str(error), error="invalid_token") from None
        return Principal(
            Caller.READER,
            user_id=claims.user_id,
            anonymous=claims.anonymous,
            since=claims.since,
        )

    def _identify(self, headers: Headers, visitor: Principal | None) -> Principal:
        credential = presented_credential(headers)
        if looks_like_token(credential):
            return self.reader_of(credential)
        if not self.keys.known:
            self.keys.follow(self._clock())  # never let anybody in who knows no key
        if self.is_open:
            return TRUSTED
        if not credential and visitor is not None:
            return visitor
        if not credential:
            raise _unauthorized(
                "a credential is needed: Authorization: Bearer <reader's token or API key>"
            )
        key = self.keys.find(credential)
        if key is None:
            raise _unauthorized("the key is not known", error="invalid_token")
        self.keys.note_use(key.name, self._clock())
        caller = Caller.SITE if key.scope is Scope.SITE else Caller.KEY
        return Principal(caller, KEY_SCOPES[key.scope], name=key.name)

    def _check_rate(self, principal: Principal, address: str) -> None:
        who = principal.user_id or principal.name or address
        if principal.caller is Caller.SITE:
            who = address
        self.limit("rate", self._rate, who)

    def _note_refusal(self, problem: ProblemError, address: str) -> None:
        if time.monotonic() - self._logged_at > LOG_EVERY_S:
            self._logged_at = time.monotonic()
            log.info("refused", status=problem.status, reason=problem.detail, address=address)


def _check_grant(principal: Principal, needed: Operation, user_id: str) -> None:
    if principal.caller is Caller.READER:
        if needed.reader is ReaderAccess.NONE:
            raise ProblemError(403, f"a reader's token may not do this; {_key_for(needed.scope)}")
        if needed.reader is ReaderAccess.OWN:
            speaks_for(principal, user_id)
    elif needed.scope not in principal.grants:
        if principal.caller is Caller.SITE:
            raise ProblemError(403, "the site key may only ask for a token: POST /v1/anonymous")
        raise ProblemError(403, _key_for(needed.scope))


def speaks_for(principal: Principal, user_id: str, field: str = "user_id") -> str:
    """Return the reader that a request is about: the one it names, or the token's own.

    Raises:
        ProblemError: 403, a token's reader names somebody else; 422, nobody is named.
    """
    if principal.user_id is None:
        if user_id:
            return user_id
        rule = "is needed unless a reader's token is sent"
        raise ProblemError(422, f"{field} {rule}", [(field, rule)])
    if user_id and user_id != principal.user_id:
        rule = "must be the reader whom the token speaks for, or be left out"
        raise ProblemError(403, "the token speaks for another reader", [(field, rule)])
    return principal.user_id


def refuse_merged(*, moved: bool) -> None:
    """Refuse the token of an anonymous id that was merged into a reader at login.

    Somebody who finds the token later in a browser must not see what the reader did since.

    Raises:
        ProblemError: 403, the id was merged.
    """
    if moved:
        raise ProblemError(403, "this anonymous reader signed in; the reader's own token is needed")


def _key_for(scope: Scope) -> str:
    return f"this needs a key with scope {scope.value}"


def _unauthorized(detail: str, error: str = "") -> ProblemError:
    challenge = 'Bearer realm="feed"' + (f', error="{error}"' if error else "")
    return ProblemError(401, detail, headers={"WWW-Authenticate": challenge})
