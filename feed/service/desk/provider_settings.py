"""The settings of an OpenID Connect provider, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.service.addresses import is_loopback
from feed.service.desk.visitors import Role


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Which claim decides about roles, and the role that each of its values gives."""

    claim: str
    roles: Mapping[str, Role]

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the highest role that somebody's claims give, None if they give none."""
        held = claims.get(self.claim)
        values = held if isinstance(held, list) else [held]
        found = {role for value, role in self.roles.items() if value in values}
        return max(found, key=list(Role).index, default=None)


def read_roles(text: str) -> RoleRule:
    """Return the rule in a text such as `groups: editors=editor, admins=admin`.

    Raises:
        InvalidInputError: it has another form, or names a role that there is not.
    """
    claim, _, rest = text.partition(":")
    pairs = [part.rpartition("=") for part in rest.split(",") if part.strip()]
    roles = {value.strip(): role.strip() for value, _, role in pairs}
    if not claim.strip() or not roles or not all(roles) or not set(roles.values()) <= set(Role):
        raise InvalidInputError(
            "FEED_OIDC_ROLES",
            "must name a claim, and roles by its values, such as groups: editors=editor, "
            f"admins=admin; the roles are {', '.join(Role)}",
        )
    return RoleRule(claim.strip(), {value: Role(role) for value, role in roles.items()})


def check_provider_settings(settings: Settings) -> None:
    """Refuse settings with which nobody could sign in, or not safely.

    Raises:
        InvalidInputError: names the setting.
    """
    if not settings.oidc_issuer:
        return
    issuer = urlsplit(settings.oidc_issuer)
    is_safe = issuer.scheme == "https" or is_loopback(issuer.hostname or "")
    if not issuer.hostname or not is_safe:
        raise InvalidInputError(
            "FEED_OIDC_ISSUER", f"must be an https address: {settings.oidc_issuer}"
        )
    if not settings.oidc_client_id:
        raise InvalidInputError("FEED_OIDC_CLIENT_ID", "is needed beside FEED_OIDC_ISSUER")
    read_roles(settings.oidc_roles)


def digest_settings(settings: Settings) -> str:
    """Return what changes with the settings, so that sessions end with them; empty without any."""
    if not settings.oidc_issuer:
        return ""
    parts = (settings.oidc_issuer, settings.oidc_client_id, settings.oidc_roles)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
