"""Readers' tokens as a newsroom's backend, or somebody with bad intentions, would make them."""

from __future__ import annotations

from typing import Any

import jwt

SECRET = "a-shared-secret-that-is-long-enough-for-each-of-the-hmac-algorithms"


def token_for(
    user_id: str,
    now: float,
    *,
    secret: Any = SECRET,
    algorithm: str = "HS256",
    lifetime_s: float = 3600.0,
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """Return a signed token; a claim of None is left out."""
    payload = {"sub": user_id, "iat": int(now), "exp": int(now + lifetime_s), **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, secret, algorithm=algorithm, headers=headers)


def bearer(credential: str) -> dict[str, str]:
    """Return the header that carries a credential."""
    return {"Authorization": f"Bearer {credential}"} if credential else {}
