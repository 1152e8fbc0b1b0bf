"""The address from which a request came, also behind trusted proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from werkzeug.datastructures import Headers

from feed.domain import InvalidInputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FORWARDED_FOR = "X-Forwarded-For"
FORWARDED_PROTO = "X-Forwarded-Proto"


def is_loopback(host: str) -> bool:
    """Return whether an address to bind can be reached only from this machine."""
    if host == "localhost":
        return True
    address = parse_address(host)
    return address is not None and address.is_loopback


@lru_cache(maxsize=64)
def is_loopback_name(host: str) -> bool:
    """Return whether a `Host` header names this machine as only this machine can reach it.

    A page of another site can have a name of its own point at the loopback address; its requests
    carry that name.
    """
    name = host if host.startswith("[") else host.partition(":")[0]
    return name.endswith(".localhost") or is_loopback(name.strip("[]").partition("]")[0])


def parse_address(text: str) -> Address | None:
    """Return the IP address in a text, which may have brackets or a port; None if there is none.

    An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
    """
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated setting; a single address is a network of one.

    Raises:
        InvalidInputError: an entry is neither an address nor a network.
    """
    try:
        return tuple(
            ipaddress.ip_network(part.strip(), strict=False)
            for part in text.split(",")
            if part.strip()
        )
    except ValueError as error:
        raise InvalidInputError("FEED_TRUSTED_PROXIES", f"{error}") from None


class TrustedProxies:
    """Finds a reader's address in the header that proxies add.

    Each proxy appends to `X-Forwarded-For` the address that it saw. So the entries are trusted
    from the right, as long as a trusted proxy wrote them. The reader may have made up everything
    further left.

    Args:
        networks: the addresses of the proxies.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def reader_address(self, peer: str, headers: Headers) -> str:
        """Return the address of the reader.

        Args:
            peer: who opened the connection.
            headers: of the request.
        """
        if not self._networks:
            return _as_written(peer)
        address = parse_address(peer)
        if address is None:
            return peer
        if self._trusts(address):
            written = ",".join(headers.getlist(FORWARDED_FOR))
            for entry in reversed([part for part in written.split(",") if part.strip()]):
                before = parse_address(entry)
                if before is None:
                    break
                address = before
                if not self._trusts(address):
                    break
        return str(address)

    def is_proxy(self, peer: str) -> bool:
        """Return whether a connection comes from a trusted proxy."""
        address = parse_address(peer)
        return address is not None and self._trusts(address)

    def is_secure(self, peer: str, scheme: str, headers: Headers) -> bool:
        """Return whether the reader's browser speaks https, as the last trusted proxy says."""
        if not self.is_proxy(peer):
            return scheme == "https"
        said = headers.get(FORWARDED_PROTO, scheme).split(",")[-1]
        return said.strip().lower() == "https"

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


@lru_cache(maxsize=64)
def _as_written(peer: str) -> str:
    """Return an address in its usual form, and anything else as it is."""
    address = parse_address(peer)
    return peer if address is None else str(address)
