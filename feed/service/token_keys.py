"""The keys that verify readers' tokens: shared secrets, and public keys from a file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import orjson
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from feed.domain import InvalidInputError

SECRET_BYTES = 32
"""Least length of a shared secret: HS256 is as strong as a key of the length of its hash."""

RSA_BITS = 2048

log = structlog.get_logger("feed.tokens")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key, its algorithm, and the name by which tokens choose it.

    `kid` is None for a key that a token chooses by its algorithm only.
    """

    kid: str | None
    algorithm: str
    key: Any


def parse_secrets(text: str) -> list[TokenKey]:
    """Return the keys of a `[kid:]secret,...` setting.

    Raises:
        InvalidInputError: a secret is shorter than 32 bytes, or a kid occurs twice.
    """
    keys = [_parse_secret(entry) for entry in filter(None, (p.strip() for p in text.split(",")))]
    _check_names("FEED_TOKEN_SECRET", keys)
    return keys


def _parse_secret(entry: str) -> TokenKey:
    kid, _, secret = entry.rpartition(":")
    if len(secret.encode()) < SECRET_BYTES:
        raise InvalidInputError(
            "FEED_TOKEN_SECRET", f"must hold secrets of at least {SECRET_BYTES} bytes"
        )
    return TokenKey(kid or None, "HS256", secret.encode())


class TokenKeyFile:
    """The keys of a JWKS or PEM file, read again when the file changes.

    Args:
        path: path of the file.

    Raises:
        InvalidInputError: the file cannot be used.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp = self._look()
        self.keys: Sequence[TokenKey] = read_keys(self._path)

    def follow(self) -> bool:
        """Read the file again if it has changed; return whether other keys hold now."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.keys = read_keys(self._path)
        except InvalidInputError as error:
            log.warning("token_keys_not_taken", reason=str(error))
            return False
        log.info("token_keys_taken", keys=len(self.keys))
        return True

    def _look(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)


def read_keys(path: Path) -> list[TokenKey]:
    """Return the public keys (EdDSA, RS256) and secrets (HS256) of a JWKS or PEM file.

    Raises:
        InvalidInputError: the file is missing or holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(f"cannot be read: {error.strerror}") from None
    keys = [_read_pem(data)] if data.lstrip().startswith(b"-----") else _read_jwks(data)
    _check_names("FEED_TOKEN_KEYS", keys)
    return keys


def _read_pem(data: bytes) -> TokenKey:
    if b"PRIVATE KEY" in data:
        raise _unusable("must hold public keys, and holds a private one")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise _unusable("is not a public key in PEM") from None
    return TokenKey(None, _algorithm_of(key), key)


def _read_jwks(data: bytes) -> list[TokenKey]:
    try:
        entries = orjson.loads(data)["keys"]
        keys = [_read_jwk(entry) for entry in entries]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, binascii.Error):
        raise _unusable("is neither PEM nor a JWKS document") from None
    if not keys:
        raise _unusable("must hold at least one key")
    return keys


def _read_jwk(entry: dict[str, Any]) -> TokenKey:
    kid = entry.get("kid")
    if "d" in entry:
        raise _unusable("must hold public keys, and holds a private one")
    if entry["kty"] == "oct":
        secret = base64.urlsafe_b64decode(entry["k"] + "=" * (-len(entry["k"]) % 4))
        if len(secret) < SECRET_BYTES:
            raise _unusable(f"must hold secrets of at least {SECRET_BYTES} bytes")
        return TokenKey(kid, "HS256", secret)
    try:
        key = jwt.PyJWK(entry).key
    except jwt.PyJWTError as error:
        raise _unusable(f"holds a key that cannot be used: {error}") from None
    algorithm = _algorithm_of(key)
    if entry.get("alg", algorithm) != algorithm:
        raise _unusable("holds a key whose alg is neither EdDSA nor RS256")
    return TokenKey(kid, algorithm, key)


def _algorithm_of(key: Any) -> str:
    if isinstance(key, Ed25519PublicKey):
        return "EdDSA"
    if isinstance(key, RSAPublicKey):
        if key.key_size < RSA_BITS:
            raise _unusable(f"must hold RSA keys of at least {RSA_BITS} bits")
        return "RS256"
    raise _unusable("must hold Ed25519 or RSA keys")


def _check_names(setting: str, keys: Sequence[TokenKey]) -> None:
    names = [key.kid for key in keys if key.kid]
    for name in names:
        if names.count(name) > 1 or name == "feed":
            raise InvalidInputError(setting, f"must not name two keys {name}")


def _unusable(rule: str) -> InvalidInputError:
    return InvalidInputError("FEED_TOKEN_KEYS", rule)
