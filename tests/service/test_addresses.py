"""The reader's address behind proxies: what is believed and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from feed.domain import InvalidInputError
from feed.service.addresses import TrustedProxies, parse_address, parse_networks

PROXIES = TrustedProxies(parse_networks("10.0.0.0/8, 192.0.2.7, 2001:db8:1::/48"))


def seen(peer: str, *forwarded: str) -> str:
    return PROXIES.reader_address(peer, Headers([("X-Forwarded-For", f) for f in forwarded]))


@pytest.mark.parametrize(
    ("peer", "forwarded", "reader"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.5"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.5, 10.0.0.2"], "203.0.113.5"),
        ("10.0.0.1", ["6.6.6.6", "203.0.113.5", "192.0.2.7"], "203.0.113.5"),
        ("10.0.0.1", ["203.0.113.5, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["10.1.1.1, 10.0.0.2"], "10.1.1.1"),
        ("10.0.0.1", ["[2001:db8:2::5]:443"], "2001:db8:2::5"),
        ("10.0.0.1", ["203.0.113.5:1234"], "203.0.113.5"),
        ("10.0.0.1", [", ,"], "10.0.0.1"),
        ("2001:db8:1::9", ["203.0.113.5"], "203.0.113.5"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.5"], "203.0.113.5"),
        ("", ["203.0.113.5"], ""),
    ],
)
def test_the_nearest_untrusted_address_is_the_reader_s(
    peer: str, forwarded: list[str], reader: str
) -> None:
    assert seen(peer, *forwarded) == reader


@given(st.lists(st.ip_addresses().map(str), max_size=4))
def test_what_a_reader_writes_changes_nothing(made_up: list[str]) -> None:
    """A reader may send any header; the proxy appends the address that it sees."""
    assert seen("10.0.0.1", ", ".join([*made_up, "203.0.113.5"])) == "203.0.113.5"


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    found = parse_address(text)
    assert found is None or parse_address(str(found)) == found


def test_without_trusted_proxies_the_peer_is_the_reader() -> None:
    headers = Headers([("X-Forwarded-For", "203.0.113.5")])
    assert TrustedProxies(()).reader_address("10.0.0.1", headers) == "10.0.0.1"


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.0/99", "10.0.0.1;10.0.0.2"])
def test_a_malformed_setting_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="FEED_TRUSTED_PROXIES"):
        parse_networks(text)
