"""Makes connections to the store from the address that the settings give."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis import Connection, ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.retry import Retry

from feed.domain import InvalidInputError

_DATABASE = re.compile(r"/?\d*/?")


def server_connector(url: str, timeout_s: float) -> Callable[[], Any]:
    """Return what makes connections to the server at an address.

    Raises:
        InvalidInputError: the address cannot lead to a server.
    """
    try:
        rule = _broken_rule(urlsplit(url))
        if rule:
            raise InvalidInputError("FEED_REDIS_URL", rule)
        pool = ConnectionPool.from_url(url, **_options(timeout_s))
        connector = partial(pool.connection_class, **pool.connection_kwargs)
        connector()  # does not connect yet, and refuses options that it does not know
    except (ValueError, TypeError) as error:
        raise InvalidInputError("FEED_REDIS_URL", f"must be an address: {error}") from None
    return connector


def _broken_rule(parts: SplitResult) -> str:
    if parts.scheme == "unix":
        return "" if parts.path else "must name a socket, as in unix:///run/redis.sock"
    if parts.scheme not in {"redis", "rediss"}:
        return "must begin with redis://, rediss:// or unix://"
    if not parts.hostname:
        return "must name a host"
    # redis-py takes a word for database 0.
    return "" if _DATABASE.fullmatch(parts.path) else "must end with the number of a database"


def node_connector(url: str, host: str, port: int, timeout_s: float) -> Callable[[], Any]:
    """Return what makes connections to one node of a cluster, credentials as in its address."""
    credentials, at, _ = url.rpartition("@")
    parts = urlsplit(f"{credentials}@" if at else url.partition(",")[0])
    return partial(
        SSLConnection if parts.scheme == "rediss" else Connection,
        host=host,
        port=port,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        **_options(timeout_s),
    )


def _options(timeout_s: float) -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
