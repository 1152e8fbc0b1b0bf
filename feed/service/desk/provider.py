"""Signing in at an OpenID Connect provider: authorization code with PKCE, state and nonce.

Source: OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE); RFC 9207 (issuer in the answer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog

from feed.config import Settings
from feed.service.desk.provider_settings import digest_settings, read_roles
from feed.service.desk.visitors import Role

try:
    from authlib.oauth2.auth import ClientAuth
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    HAS_LIBRARY = True
except ImportError:  # the extra feed[oidc] is not installed
    HAS_LIBRARY = False

TIMEOUT_S = 5.0
LEEWAY_S = 60
LONGEST_NAME = 128
SAFE_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Those with public keys: an ID token that the client secret signs proves less."""

log = structlog.get_logger("feed.desk.provider")


class SignInRefusedError(Exception):
    """Somebody cannot be let in; the text tells them why.

    Args:
        text: a sentence for the page.
        status: HTTP status: 403 for the person, 502 for the provider, 503 for the installation.
    """

    def __init__(self, text: str, status: int = 403) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """What a browser keeps while somebody is at the provider, signed."""

    state: str
    nonce: str
    verifier: str
    target: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the provider knows, and their role here."""

    name: str
    role: Role


class IdentityProvider:
    """One OpenID Connect provider. It is asked anew at every sign-in, so that its keys may change.

    Args:
        settings: those named `oidc_`.
        clock: epoch seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self.digest = digest_settings(settings)

    @property
    def is_configured(self) -> bool:
        """Whether people may sign in at a provider."""
        return bool(self.digest)

    def begin(self, callback: str, target: str) -> tuple[str, SignInAttempt]:
        """Return the provider's address for somebody who wants to sign in, and the attempt.

        Args:
            callback: address of the desk to which the provider sends them back.
            target: page of the desk that they want to see.

        Raises:
            SignInRefusedError: the provider or the library is missing.
        """
        metadata = self._read_metadata()
        attempt = SignInAttempt(token_urlsafe(24), token_urlsafe(24), token_urlsafe(48), target)
        address: str = prepare_grant_uri(
            metadata["authorization_endpoint"],
            client_id=self._settings.oidc_client_id,
            response_type="code",
            redirect_uri=callback,
            scope="openid profile email",
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return address, attempt

    def finish(self, attempt: SignInAttempt, answer: Mapping[str, str], callback: str) -> Person:
        """Return who has signed in.

        Args:
            attempt: as `begin` returned it.
            answer: the query with which the provider sent the browser back.
            callback: as for `begin`.

        Raises:
            SignInRefusedError: the answer is not one to this attempt, the provider is at fault, or
                this person has no role here.
        """
        metadata = self._read_metadata()
        says_who = metadata.get("authorization_response_iss_parameter_supported") is True
        if (says_who or "iss" in answer) and answer.get("iss") != metadata["issuer"]:
            raise SignInRefusedError("The answer came from another identity provider. Try again.")
        if "error" in answer or not answer.get("code"):
            raise SignInRefusedError("The identity provider did not let you in.")
        tokens = self._fetch_tokens(metadata, attempt, answer["code"], callback)
        claims = self._verify(metadata, attempt, tokens)
        rule = read_roles(self._settings.oidc_roles)
        if rule.claim not in claims and metadata.get("userinfo_endpoint"):
            claims = {**claims, **self._fetch_claims(metadata, tokens, claims["sub"])}
        role = rule.role_of(claims)
        name = _name_of(claims, metadata["issuer"])
        if role is None:
            text = f"{name} has no role here. An administrator gives roles by {rule.claim}."
            raise SignInRefusedError(text)
        return Person(name, role)

    def _read_metadata(self) -> dict[str, Any]:
        if not HAS_LIBRARY:
            raise SignInRefusedError(
                "The OpenID Connect library is not installed here: pip install 'feed[oidc]'.", 503
            )
        issuer = self._settings.oidc_issuer
        address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        metadata = _ask("GET", address)
        needed = {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"}
        if not needed <= metadata.keys() or metadata["issuer"] != issuer:
            log.error("provider_describes_itself_wrongly", issuer=issuer)
            raise SignInRefusedError("The identity provider is not the one that is set.", 502)
        return metadata

    def _fetch_tokens(
        self, metadata: Mapping[str, Any], attempt: SignInAttempt, code: str, callback: str
    ) -> dict[str, Any]:
        secret = self._settings.oidc_client_secret
        known = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        method = "client_secret_basic" if "client_secret_basic" in known else "client_secret_post"
        client = ClientAuth(self._settings.oidc_client_id, secret, method if secret else "none")
        body = prepare_grant_uri(
            "",
            client_id=self._settings.oidc_client_id,
            response_type=None,
            grant_type="authorization_code",
            code=code,
            redirect_uri=callback,
            code_verifier=attempt.verifier,
        ).lstrip("?")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        address, headers, body = client.prepare("POST", metadata["token_endpoint"], form, body)
        return _ask("POST", address, content=body, headers=headers)

    def _verify(
        self, metadata: Mapping[str, Any], attempt: SignInAttempt, tokens: Mapping[str, Any]
    ) -> dict[str, Any]:
        offered = set(metadata.get("id_token_signing_alg_values_supported", ["RS256"]))
        published: Any = _ask("GET", metadata["jwks_uri"])
        client_id = self._settings.oidc_client_id
        try:
            keys = KeySet.import_key_set(published)
            read = jwt.decode(
                f"{tokens.get('id_token', '')}", keys, algorithms=sorted(offered & SAFE_ALGORITHMS)
            )
            claims = CodeIDToken(
                read.claims,
                read.header,
                {
                    "iss": {"essential": True, "value": metadata["issuer"]},
                    "aud": {"essential": True, "value": client_id},
                },
                {
                    "client_id": client_id,
                    "nonce": attempt.nonce,
                    "access_token": tokens.get("access_token"),
                },
            )
            claims.validate(now=int(self._clock()), leeway=LEEWAY_S)
        except (JoseError, ValueError) as error:
            log.warning("id_token_refused", reason=str(error))
            raise SignInRefusedError(
                "The identity provider's answer is not valid, or is too old. Try again."
            ) from None
        return dict(claims)

    def _fetch_claims(
        self, metadata: Mapping[str, Any], tokens: Mapping[str, Any], subject: str
    ) -> dict[str, Any]:
        """Return further claims about the person, which some providers keep out of ID tokens."""
        headers = {"Authorization": f"Bearer {tokens.get('access_token', '')}"}
        claims = _ask("GET", metadata["userinfo_endpoint"], headers=headers)
        return claims if claims.get("sub") == subject else {}


def _ask(method: str, address: str, **request: Any) -> dict[str, Any]:
    """Return the JSON object that the provider answers."""
    try:
        answer = httpx.request(method, address, timeout=TIMEOUT_S, **request)
        answer.raise_for_status()
        found = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        log.error("provider_failed", address=address, reason=str(error))
        found = None
    if not isinstance(found, dict):
        raise SignInRefusedError(
            "The identity provider does not answer as it should. Try again, or use a key.", 502
        )
    return found


def _name_of(claims: Mapping[str, Any], issuer: str) -> str:
    """Return a name for the audit log: nobody can choose an address that is not theirs."""
    if claims.get("email") and claims.get("email_verified") is True:
        return f"{claims['email']}"[:LONGEST_NAME]
    return f"{claims['sub']} at {urlsplit(issuer).hostname}"[:LONGEST_NAME]
