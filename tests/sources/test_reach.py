"""Which hosts the poller reaches: the public ones, and those that the settings list."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from feed_server import FeedServer, rss

from feed.domain import InvalidInputError
from feed.ingest.connections import trusted
from feed.sources.reach import AllowedHosts

PUBLIC = [
    "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14",
    "64:ff9b::5db8:d70e",  # an IPv4 address as a network without IPv4 sees it
]  # fmt: skip
NOT_PUBLIC = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "ff0e::1",
    "2001:db8::1", "::ffff:127.0.0.1", "::ffff:a00:1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::1", "2002:c0a8:101::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_reached(address: str) -> None:
    AllowedHosts("").check("paper.example", address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_other_addresses_may_not(address: str) -> None:
    with pytest.raises(InvalidInputError, match=r"paper\.example .* is not a public address"):
        AllowedHosts("").check("paper.example", address)


def test_listed_networks_and_hosts_may_be_reached() -> None:
    allowed = AllowedHosts("10.1.0.0/16, Feeds.Intranet, fd12::/16,192.168.7.7")
    for host, address in (
        ("any.example", "10.1.2.3"),
        ("any.example", "::ffff:10.1.2.3"),
        ("any.example", "fd12::5"),
        ("any.example", "192.168.7.7"),
        ("feeds.intranet.", "192.168.3.4"),
    ):
        allowed.check(host, address)
    for host, address in (("any.example", "10.2.0.1"), ("other.feeds.intranet", "10.2.0.1")):
        with pytest.raises(InvalidInputError):
            allowed.check(host, address)


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "10.0.0", "two words", "http://intranet", "a/b"])
def test_a_wrong_entry_of_the_setting_is_named(entry: str) -> None:
    with pytest.raises(InvalidInputError, match=r"FEED_SOURCE_NETWORKS: .*" + entry[:5]):
        AllowedHosts(f"10.0.0.0/8, {entry}")


def test_a_source_on_this_machine_is_refused_unasked(desk: Any, server: FeedServer) -> None:
    desk.settings = replace(desk.settings, source_networks="")
    desk.poller = desk.make_poller("strict")
    source = desk.add(server.say("/feed", rss("one")))
    desk.poll()
    assert "127.0.0.1 is not a public address" in desk.state(source).message
    assert (server.heard, desk.titles()) == ([], [])


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data/", "http://[::1]:6379/", "file:///etc/hosts"],
)
def test_a_redirect_leads_to_no_other_address(desk: Any, server: FeedServer, target: str) -> None:
    source = desk.add(server.say("/feed", status=301, Location=target))
    desk.poll()
    state = desk.state(source)
    assert ("is not a public address" in state.message) == target.startswith("http")
    assert (state.failures, state.feed_address) == (1, "")


def test_a_page_leads_to_no_other_address(desk: Any, server: FeedServer) -> None:
    page = b"<link rel='alternate' type='application/rss+xml' href='http://10.0.0.1/rss'>"
    source = desk.add(server.say("/", page))
    desk.poll()
    assert "10.0.0.1 is not a public address" in desk.state(source).message


def test_the_address_that_was_checked_is_the_one_that_is_reached(
    desk: Any, server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name service that answers differently the second time changes nothing."""
    asked = []
    usual = socket.getaddrinfo

    def answer(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "paper.example":
            return usual(host, port, *rest, **more)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.9"
        return usual(address, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    server.say("/feed", rss("one"))
    source = desk.add(f"http://paper.example:{server.server_port}/feed")
    desk.poll()
    assert desk.state(source).failures == 0, desk.state(source).message
    assert server.heard[0][1]["Host"] == f"paper.example:{server.server_port}"
    assert len(asked) == 1


def test_one_address_of_a_host_that_may_not_be_reached_is_enough_to_refuse_it(
    desk: Any, server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.getaddrinfo

    def answer(_host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        return [*usual("127.0.0.1", port, *rest, **more), *usual("10.0.0.1", port, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    source = desk.add(f"http://paper.example:{server.server_port}/feed")
    desk.poll()
    assert "paper.example (10.0.0.1) is not a public address" in desk.state(source).message
    assert server.heard == []


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a certificate for paper.example that the system trusts."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "paper.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("paper.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "paper.pem"
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *plain))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    trusted.cache_clear()
    yield path
    trusted.cache_clear()


@pytest.mark.parametrize(("host", "is_right"), [("paper.example", True), ("other.example", False)])
def test_the_certificate_must_be_that_of_the_named_host(
    desk: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str, *, is_right: bool
) -> None:
    usual = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda _, port, *rest, **more: usual("127.0.0.1", port, *rest, **more),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FeedServer.running() as server:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        server.say("/feed", rss("one"))
        source = desk.add(f"https://{host}:{server.server_port}/feed")
        desk.poll()
    assert desk.titles() == (["one"] if is_right else [])
    assert ("CERTIFICATE_VERIFY_FAILED" in desk.state(source).message) is not is_right
