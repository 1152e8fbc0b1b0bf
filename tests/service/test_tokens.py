"""Readers' tokens: which keys sign them, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from reader_tokens import SECRET, bearer, token_for

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.service.reader_tokens import ReaderTokens, TokenRefusedError, looks_like_token

NOW = 1_790_000_000.0
OWN = b"o" * 32
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(b"e" * 32)
RSA = rsa.generate_private_key(65537, 2048)


def tokens(**settings: Any) -> ReaderTokens:
    return ReaderTokens(replace(Settings(), **settings), lambda: OWN)


def jwk(key: Any, kid: str) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.OKPAlgorithm
    )
    return {**orjson.loads(algorithm.to_jwk(key.public_key())), "kid": kid}


def pem(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


def write(path: Path, data: bytes) -> str:
    """Write a file with a time of its own, as a later edit has."""
    written = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(data)
    os.utime(path, ns=(written + 10**9, written + 10**9))
    return str(path)


def test_a_token_speaks_for_its_subject() -> None:
    claims = tokens(token_secret=SECRET).verify(token_for("reader", NOW), NOW)
    assert claims.user_id == "reader"
    assert claims.expires_at == NOW + 3600
    assert not claims.anonymous


def test_a_token_is_good_until_its_end_and_the_leeway() -> None:
    checker = tokens(token_secret=SECRET, token_leeway_seconds=10)
    token = token_for("reader", NOW, lifetime_s=100)
    checker.verify(token, NOW + 109)
    with pytest.raises(TokenRefusedError, match="expired"):
        checker.verify(token, NOW + 110)
    early = token_for("reader", NOW, nbf=int(NOW) + 100)
    with pytest.raises(TokenRefusedError, match="not valid yet"):
        checker.verify(early, NOW + 89)
    checker.verify(early, NOW + 90)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": float("inf")}, "not"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "[Ss]ub"),
        ({"sub": "two words"}, "sub"),
        ({"sub": "x" * 129}, "sub"),
        ({"aud": "another-service"}, "udience"),
        ({"nbf": "later"}, "nbf"),
        ({"since": "ever"}, "since"),
    ],
)
def test_wrong_claims_are_refused(claims: dict[str, Any], reason: str) -> None:
    payload = {"sub": "reader", "exp": int(NOW) + 60, **claims}
    body = {name: value for name, value in payload.items() if value is not None}
    with pytest.raises(TokenRefusedError, match=reason):
        tokens(token_secret=SECRET).verify(raw(body), NOW)


def raw(payload: dict[str, Any], headers: dict[str, Any] | None = None) -> str:
    """Sign whatever it is: the library would refuse some of it itself."""
    body = orjson.dumps(payload) if float("inf") not in payload.values() else b'{"exp":1e999}'
    return jwt.api_jws.encode(body, SECRET.encode(), "HS256", headers)


@pytest.mark.parametrize(
    "text",
    ["", "a.b.c", "eyJ.eyJ.x", "eyJhbGciOiJIUzI1NiJ9.e30.", "x" * 5000, "eyJhbGciOjF9.e30.AA"],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenRefusedError):
        tokens(token_secret=SECRET).verify(text, NOW)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "none"])
def test_a_secret_signs_with_one_algorithm(algorithm: str) -> None:
    secret = None if algorithm == "none" else SECRET
    with pytest.raises(TokenRefusedError, match="alg"):
        tokens(token_secret=SECRET).verify(
            token_for("reader", NOW, secret=secret, algorithm=algorithm), NOW
        )


def test_demands_that_are_not_understood_are_refused() -> None:
    headers = {"crit": ["exotic"], "exotic": 1}
    with pytest.raises(TokenRefusedError, match="not a JSON Web Token"):
        tokens(token_secret=SECRET).verify(
            raw({"sub": "reader", "exp": int(NOW) + 60}, headers), NOW
        )


def test_a_public_key_is_never_taken_for_a_shared_secret(tmp_path: Path) -> None:
    """The classic confusion: an HS256 token signed with the bytes of the public key."""
    checker = tokens(token_keys=write(tmp_path / "key.pem", pem(RSA)))
    payload = orjson.dumps({"sub": "reader", "exp": int(NOW) + 60})
    forged = _hmac_sign(payload, pem(RSA))
    with pytest.raises(TokenRefusedError, match="alg"):
        checker.verify(forged, NOW)


def _hmac_sign(payload: bytes, key: bytes) -> str:
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    head = jwt.utils.base64url_encode(b'{"alg":"HS256","typ":"JWT"}')
    signed = head + b"." + jwt.utils.base64url_encode(payload)
    signature = jwt.utils.base64url_encode(algorithm.sign(signed, key))
    return (signed + b"." + signature).decode()


@pytest.mark.parametrize(("key", "algorithm"), [(ED25519, "EdDSA"), (RSA, "RS256")])
def test_public_keys_come_from_pem_and_jwks(tmp_path: Path, key: Any, algorithm: str) -> None:
    token = token_for("reader", NOW, secret=key, algorithm=algorithm)
    single = write(tmp_path / "key.pem", pem(key))
    assert tokens(token_keys=single).verify(token, NOW).user_id == "reader"
    several = write(tmp_path / "keys.json", orjson.dumps({"keys": [jwk(key, "k1")]}))
    assert tokens(token_keys=several).verify(token, NOW).user_id == "reader"
    named = token_for("reader", NOW, secret=key, algorithm=algorithm, headers={"kid": "k1"})
    assert tokens(token_keys=several).verify(named, NOW).user_id == "reader"
    unknown = token_for("reader", NOW, secret=key, algorithm=algorithm, headers={"kid": "k2"})
    with pytest.raises(TokenRefusedError, match="kid"):
        tokens(token_keys=several).verify(unknown, NOW)


def test_keys_are_rotated_by_kid_without_a_restart(tmp_path: Path) -> None:
    new = ed25519.Ed25519PrivateKey.from_private_bytes(b"n" * 32)
    path = tmp_path / "keys.json"
    checker = tokens(token_keys=write(path, orjson.dumps({"keys": [jwk(ED25519, "old")]})))
    old_token = token_for("reader", NOW, secret=ED25519, algorithm="EdDSA", headers={"kid": "old"})
    new_token = token_for("reader", NOW, secret=new, algorithm="EdDSA", headers={"kid": "new"})
    checker.verify(old_token, NOW)
    with pytest.raises(TokenRefusedError):
        checker.verify(new_token, NOW)
    write(path, orjson.dumps({"keys": [jwk(ED25519, "old"), jwk(new, "new")]}))
    checker.follow()
    checker.verify(old_token, NOW)
    checker.verify(new_token, NOW)
    write(path, orjson.dumps({"keys": [jwk(new, "new")]}))
    checker.follow()
    with pytest.raises(TokenRefusedError):
        checker.verify(old_token, NOW)


def test_a_broken_key_file_leaves_the_old_keys_in_force(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    checker = tokens(token_keys=write(path, pem(ED25519)))
    token = token_for("reader", NOW, secret=ED25519, algorithm="EdDSA")
    write(path, b"half a fi")
    checker.follow()
    assert checker.verify(token, NOW).user_id == "reader"


def test_shared_secrets_are_rotated_by_kid() -> None:
    other = "another-shared-secret-of-enough-bytes"
    checker = tokens(token_secret=f"2026b:{other},2026a:{SECRET}")
    for kid, secret in (("2026a", SECRET), ("2026b", other)):
        named = token_for("reader", NOW, secret=secret, headers={"kid": kid})
        assert checker.verify(named, NOW).user_id == "reader"
        assert checker.verify(token_for("reader", NOW, secret=secret), NOW).user_id == "reader"
    crossed = token_for("reader", NOW, secret=other, headers={"kid": "2026a"})
    with pytest.raises(TokenRefusedError, match="signature"):
        checker.verify(crossed, NOW)


def test_issuer_and_audience_are_demanded_where_they_are_set() -> None:
    checker = tokens(token_secret=SECRET, token_issuer="https://news", token_audience="feed")
    checker.verify(token_for("reader", NOW, iss="https://news", aud="feed"), NOW)
    for claims in ({"iss": "https://news"}, {"aud": "feed"}, {"iss": "other", "aud": "feed"}):
        with pytest.raises(TokenRefusedError):
            checker.verify(token_for("reader", NOW, **claims), NOW)


def test_a_minted_token_is_accepted_and_short_lived() -> None:
    for settings in (
        {"token_secret": f"k1:{SECRET}", "token_issuer": "news", "token_audience": "feed"},
        {},
    ):
        checker = tokens(**settings)
        claims = checker.verify(checker.mint("reader", NOW, 60), NOW)
        assert (claims.user_id, claims.expires_at) == ("reader", NOW + 60)
    with pytest.raises(InvalidInputError, match="user_id"):
        tokens().mint("two words", NOW, 60)


def test_an_anonymous_token_says_since_when() -> None:
    checker = tokens(token_secret=SECRET, token_issuer="news", token_audience="feed")
    claims = checker.verify(checker.mint_anonymous("anon-1", NOW, 60, since=NOW - 500), NOW)
    assert claims.anonymous
    assert claims.since == NOW - 500


@pytest.mark.parametrize(
    ("setting", "data"),
    [
        ("token_secret", "short"),
        ("token_secret", f"kid:{'x' * 31}"),
        ("token_secret", f"feed:{SECRET}"),
        ("token_secret", f"a:{SECRET},a:{SECRET}2"),
        ("token_keys", b"{}"),
        ("token_keys", b'{"keys": []}'),
        ("token_keys", b'{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}'),
        ("token_keys", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
        (
            "token_keys",
            ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ),
        ("token_keys", orjson.dumps({"keys": [{**jwk(ED25519, "k"), "d": "secret"}]})),
        ("token_keys", orjson.dumps({"keys": [{**jwk(RSA, "k"), "alg": "RS512"}]})),
        ("token_keys", pem(ec.generate_private_key(ec.SECP256R1()))),
        ("token_keys", pem(rsa.generate_private_key(65537, 1024))),
    ],
)
def test_keys_that_cannot_be_used_are_refused_at_the_start(
    tmp_path: Path, setting: str, data: Any
) -> None:
    value = data if isinstance(data, str) else write(tmp_path / "keys", data)
    with pytest.raises(InvalidInputError, match=f"FEED_{setting.upper()}"):
        tokens(**{setting: value})


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="FEED_TOKEN_KEYS"):
        tokens(token_keys=str(tmp_path / "nothing"))


def test_tokens_are_told_from_keys() -> None:
    assert looks_like_token(token_for("reader", NOW))
    assert not looks_like_token("WJ3kPq_9-secret-key")


def test_a_stranger_gets_an_id_and_renews_it(
    make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site = make_site(replace(settings, site_key="publishable", anonymous_token_days=2))
    ask = site.client.post
    assert ask("/v1/anonymous").status_code == 401
    first = ask("/v1/anonymous", headers=bearer("publishable"))
    assert first.status_code == 201
    user_id, token = first.json["user_id"], first.json["token"]
    assert user_id.startswith("anon-")
    assert ask("/v1/anonymous", headers={"X-API-Key": "publishable"}).json["user_id"] != user_id
    site.clock.now += 86_400
    again = ask("/v1/anonymous", headers=bearer(token)).json
    assert again["user_id"] == user_id
    assert again["token"] != token
    old, new = (site.services.access.reader_of(t) for t in (token, again["token"]))
    assert new.since == old.since == pytest.approx(site.clock.now - 86_400)
    site.clock.now += 1.5 * 86_400
    assert site.client.get("/v1/trending", headers=bearer(token)).status_code == 401
    assert site.client.get("/v1/trending", headers=bearer(again["token"])).status_code == 200


def test_a_known_reader_is_not_made_anonymous(
    make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site = make_site(replace(settings, token_secret=SECRET))
    known = bearer(token_for("subscriber", site.clock.now))
    assert site.client.post("/v1/anonymous", headers=known).status_code == 403


def test_strangers_are_limited_by_address_and_renewals_are_not(
    make_site: Callable[[Settings], Any], settings: Settings
) -> None:
    site = make_site(
        replace(settings, site_key="s", anonymous_per_minute=3, trusted_proxies="127.0.0.1")
    )

    def ask(address: str, credential: str = "s") -> Any:
        headers = {**bearer(credential), "X-Forwarded-For": address}
        return site.client.post("/v1/anonymous", headers=headers)

    first = ask("203.0.113.9")
    answers = [ask("203.0.113.9") for _ in range(7)]
    assert answers[-1].status_code == 429
    assert answers[-1].headers["Retry-After"]
    assert ask("203.0.113.10").status_code == 201
    assert ask("203.0.113.9", first.json["token"]).status_code == 201
