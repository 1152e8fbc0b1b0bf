"""Which hosts may be polled: the public ones, and those that the settings list."""

from __future__ import annotations

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from feed.domain import InvalidInputError

SETTING = "FEED_SOURCE_NETWORKS"
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.IGNORECASE)
NAT64 = IPv6Network("64:ff9b::/96")
GLOBAL_UNICAST = IPv6Network("2000::/3")


class AllowedHosts:
    """Tells addresses that may be polled from those of the machine and of its neighbours.

    Args:
        listed: further hosts and networks, separated by commas.

    Raises:
        InvalidInputError: an entry is neither a network nor a host.
    """

    def __init__(self, listed: str) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        self._hosts: set[str] = set()
        for entry in (part.strip() for part in listed.split(",")):
            if not entry:
                continue
            try:
                self._networks.append(ip_network(entry, strict=False))
            except ValueError:
                if not HOST.fullmatch(entry) or entry.replace(".", "").isdigit():
                    rule = f"{entry} is neither a host nor a network such as 10.0.0.0/8"
                    raise InvalidInputError(SETTING, rule) from None
                self._hosts.add(entry.lower().rstrip("."))

    def check(self, host: str, address: str) -> None:
        """Refuse an address that is not public, unless it or its host is listed.

        Args:
            host: as the web address names it.
            address: one of those that the host has.

        Raises:
            InvalidInputError: it must not be reached.
        """
        found = _unwrap(ip_address(address.partition("%")[0]))
        is_listed = any(found in net for net in self._networks if net.version == found.version)
        if not is_listed and host.lower().rstrip(".") not in self._hosts and not _is_public(found):
            where = host if host == address else f"{host} ({address})"
            raise InvalidInputError("source", f"{where} is not a public address: see {SETTING}")

    def check_literal(self, host: str) -> None:
        """Refuse a host at once if it is an address itself, or this machine.

        Raises:
            InvalidInputError: it must not be reached.
        """
        if host.lower().rstrip(".") == "localhost":
            self.check(host, "127.0.0.1")
        try:
            ip_address(host)
        except ValueError:
            return
        self.check(host, host)


def _unwrap(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address in an IPv6 address that stands for one."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    return inner or address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
