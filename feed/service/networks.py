"""Pseudonyms of networks, which change daily and do not reveal an address."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from ipaddress import IPv6Address

import structlog

from feed.config import DAY_S
from feed.domain import Origin, StoreUnavailableError
from feed.service.addresses import parse_address
from feed.service.credentials import Caller, Principal
from feed.storage.control_part import ControlPart

IPV4_PREFIX = 24
IPV6_PREFIX = 48
"""Bits of an address that make its network: the least that is usually given to one customer."""

NAME_BYTES = 8

FRESH_S = 1800.0
"""An anonymous reader is new this long after their id was made, seconds."""

log = structlog.get_logger("feed.service")


class NetworkNames:
    """Names networks by a hash of the address's prefix, keyed with a random salt of the UTC day.

    All processes share the salt through the store, which deletes it within a day. After that,
    nobody can tell to which network a name belonged. The names of one network on two days have
    nothing in common. No address is stored, here or anywhere else.

    Args:
        store: keeps the day's salt.
        clock: epoch seconds.
    """

    def __init__(self, store: ControlPart, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._salt = (-1, b"")
        self._own = secrets.token_bytes(hashlib.blake2b.MAX_KEY_SIZE)

    def name_of(self, address: str) -> str:
        """Return today's name of an address's network, 16 hex digits.

        What is no IP address (a unix socket has none) belongs to one network of its own.
        """
        prefix = network_of(address)
        return hashlib.blake2b(prefix, key=self._todays_salt(), digest_size=NAME_BYTES).hexdigest()

    def origin_of(self, principal: Principal, address: str) -> Origin | None:
        """Return where the events of a request come from; None for a trusted caller."""
        if principal.caller is not Caller.READER:
            return None
        since = principal.since
        is_fresh = since is not None and self._clock() - since < FRESH_S
        return Origin(self.name_of(address), is_fresh)

    def _todays_salt(self) -> bytes:
        today = int(self._clock() // DAY_S)
        if self._salt[0] != today:
            try:
                self._salt = today, self._store.daily_salt(today)
            except StoreUnavailableError as error:  # its node may be away, the reader's not
                log.warning("no_daily_salt", reason=str(error))
                return self._own
        return self._salt[1]


def network_of(address: str) -> bytes:
    """Return the prefix of an address that stands for its network: /24 of IPv4, /48 of IPv6.

    An IPv4 address written as IPv6 (::ffff:192.0.2.1) is the IPv4 address; what is no address
    has an empty prefix.
    """
    parsed = parse_address(address)
    if parsed is None:
        return b""
    bits = IPV6_PREFIX if isinstance(parsed, IPv6Address) else IPV4_PREFIX
    return parsed.packed[: bits // 8]
