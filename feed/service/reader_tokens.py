"""Readers' tokens: JSON Web Tokens whose subject is the reader for whom they speak."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt

from feed.config import Settings
from feed.domain import ID_PATTERN, FeedError, InvalidInputError
from feed.service.token_keys import TokenKey, TokenKeyFile, parse_secrets

OWN_KEY_ID = "feed"
"""`kid` of the key that this installation made for itself and keeps in the store."""

CACHED_TOKENS = 8192
"""Tokens whose signature need not be checked again: a reader sends one with every request."""

MAX_TOKEN_CHARACTERS = 4096
DAY_S = 86_400.0


class TokenRefusedError(FeedError):
    """A token is malformed, badly signed, expired or not meant for this service."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token whose signature was verified. Times are epoch seconds."""

    user_id: str
    expires_at: float
    not_before: float
    anonymous: bool
    since: float | None


class ReaderTokens:
    """Verifies and makes readers' tokens.

    Each key has one algorithm, whatever a token's header says: HS256 for shared secrets, EdDSA
    or RS256 for public keys. `exp` and `sub` are required.

    Args:
        settings: secrets, key file, issuer, audience and leeway.
        own_secret: returns the installation's own secret of 32 bytes, which the store keeps.

    Raises:
        InvalidInputError: a secret is too short or the key file cannot be used.
    """

    def __init__(self, settings: Settings, own_secret: Callable[[], bytes]) -> None:
        self._secrets = parse_secrets(settings.token_secret)
        self._file = TokenKeyFile(settings.token_keys) if settings.token_keys else None
        self._own_secret = own_secret
        self._own: TokenKey | None = None
        self._issuer = settings.token_issuer or None
        self._audience = settings.token_audience or None
        self._leeway_s = settings.token_leeway_seconds
        self._checked = lru_cache(CACHED_TOKENS)(self._check)

    @property
    def configured(self) -> bool:
        """Whether the settings name a key that readers' tokens may be signed with."""
        return bool(self._secrets or self._file)

    def verify(self, token: str, now: float) -> Claims:
        """Return what a token says.

        Raises:
            TokenRefusedError: it is not valid now; the message says why, for the caller.
        """
        claims = self._checked(token)
        if claims.expires_at + self._leeway_s <= now:
            raise TokenRefusedError("the token has expired")
        if claims.not_before - self._leeway_s > now:
            raise TokenRefusedError("the token is not valid yet")
        return claims

    def mint(self, user_id: str, now: float, lifetime_s: float, **claims: Any) -> str:
        """Return a token for a reader, signed as a newsroom's own backend would sign it.

        Signed with the first shared secret, or with the installation's own where there is none.
        """
        if not self._secrets:
            return _sign(self._own_key(), user_id, now, lifetime_s, claims)
        expected = {"iss": self._issuer, "aud": self._audience}
        claims |= {name: value for name, value in expected.items() if value}
        return _sign(self._secrets[0], user_id, now, lifetime_s, claims)

    def mint_anonymous(self, user_id: str, now: float, lifetime_s: float, since: float) -> str:
        """Return a token for a reader whose id this service made up at `since`."""
        claims = {"anonymous": True, "since": round(since)}
        return _sign(self._own_key(), user_id, now, lifetime_s, claims)

    def follow(self) -> None:
        """Take the key file over if it has changed; a broken one leaves the old keys in force.

        Raises:
            StoreUnavailableError: the installation's own secret is not known yet, and the store
                does not answer.
        """
        self._own_key()  # known before the first reader comes, should the store go away
        if self._file is not None and self._file.follow():
            self._checked.cache_clear()

    def _check(self, token: str) -> Claims:
        header = _header(token)
        keys = self._candidates(header)
        for number, key in enumerate(keys):
            is_own = key.kid == OWN_KEY_ID
            try:
                payload = jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    issuer=None if is_own else self._issuer,
                    audience=None if is_own else self._audience,
                    options={
                        "require": ["exp", "sub"],
                        "verify_exp": False,  # `verify` does, by the service's clock
                        "verify_nbf": False,
                        "verify_iat": False,
                    },
                )
            except jwt.InvalidSignatureError:
                if number + 1 < len(keys):
                    continue
                raise TokenRefusedError("the token's signature is wrong") from None
            except (jwt.PyJWTError, ValueError, TypeError) as error:
                raise TokenRefusedError(f"the token is not valid: {error}") from None
            return _claims(payload)
        raise TokenRefusedError("no key fits the token's alg and kid")

    def _candidates(self, header: Mapping[str, Any]) -> Sequence[TokenKey]:
        """Return the keys a token may be signed with: of its kid, or of its algorithm."""
        kid, algorithm = header.get("kid"), header.get("alg")
        if kid == OWN_KEY_ID:
            own = self._own_key()
            return [own] if own.algorithm == algorithm else []
        known = [*self._secrets, *(self._file.keys if self._file else ())]
        return [
            key
            for key in known
            if key.algorithm == algorithm and (kid is None or key.kid in {kid, None})
        ]

    def _own_key(self) -> TokenKey:
        if self._own is None:
            self._own = TokenKey(OWN_KEY_ID, "HS256", self._own_secret())
        return self._own


def looks_like_token(credential: str) -> bool:
    """Return whether a credential has the form of a JSON Web Token, and not of an API key."""
    return credential.startswith("eyJ") and credential.count(".") == 2


def _header(token: str) -> Mapping[str, Any]:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenRefusedError("the token is too long")
    try:
        header: Mapping[str, Any] = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise TokenRefusedError("the token is not a JSON Web Token") from None
    return header


def _claims(payload: Mapping[str, Any]) -> Claims:
    user_id = payload["sub"]
    if not isinstance(user_id, str) or not ID_PATTERN.fullmatch(user_id):
        raise TokenRefusedError("the token's sub is not a reader's id")
    since = payload.get("since")
    return Claims(
        user_id=user_id,
        expires_at=_moment(payload, "exp"),
        not_before=_moment(payload, "nbf") if "nbf" in payload else float("-inf"),
        anonymous=payload.get("anonymous") is True,
        since=_moment(payload, "since") if since is not None else None,
    )


def _moment(payload: Mapping[str, Any], name: str) -> float:
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefusedError(f"the token's {name} is not a time in seconds")
    return float(value)


def _sign(
    key: TokenKey, user_id: str, now: float, lifetime_s: float, claims: Mapping[str, Any]
) -> str:
    if not ID_PATTERN.fullmatch(user_id):
        raise InvalidInputError(
            "user_id", "must be 1 to 128 characters without white space or control characters"
        )
    payload = {"sub": user_id, "iat": round(now), "exp": round(now + lifetime_s), **claims}
    headers = {"kid": key.kid} if key.kid else None
    return jwt.encode(payload, key.key, algorithm=key.algorithm, headers=headers)
