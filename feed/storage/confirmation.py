"""Which servers must have a change before the store counts it as kept."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from feed.domain import InvalidInputError
from feed.storage.node import Command

CONFIRMATIONS = ("primary", "replica", "disk")
_SHARE = 0.8
"""Part of a round trip's time for which the primary waits, so that it answers within that time."""


class UnconfirmedError(ResponseError):
    """The primary has made a change, but what must confirm it has not done so in time."""


class Confirmation:
    """The commands that follow changes, and the check of their replies.

    A primary answers before its replica has the change, so a primary that dies at once takes it
    along. `WAIT` holds the answer back until a replica has the change in memory. `WAITAOF` waits
    for the disk: of the primary only, because replicas report their disks once a second.

    Args:
        confirmed_by: the setting `store_confirmed_by`.
        timeout_s: seconds that one round trip may take.

    Raises:
        InvalidInputError: there is no such way.
    """

    def __init__(self, confirmed_by: str, timeout_s: float) -> None:
        if confirmed_by not in CONFIRMATIONS:
            raise InvalidInputError(
                "FEED_STORE_CONFIRMED_BY", "must be one of " + ", ".join(CONFIRMATIONS)
            )
        waits: dict[str, tuple[Command, ...]] = {
            "primary": (),
            "replica": (("WAIT", 1),),
            "disk": (("WAIT", 1), ("WAITAOF", 1, 0)),
        }
        chosen = waits[confirmed_by]
        self._wait_ms = max(1, round(timeout_s * 1000 * _SHARE / max(1, len(chosen))))
        self.commands = tuple((*command, self._wait_ms) for command in chosen)

    def check(self, replies: list[Any]) -> None:
        """Take the replies to our own commands, if there are any, from the end of `replies`.

        Raises:
            UnconfirmedError: something has changed, and was not confirmed in time.
        """
        own = [replies.pop() for _ in self.commands]
        if all(isinstance(reply, Exception) for reply in replies):
            return  # nothing has changed
        for reply in own:
            if isinstance(reply, Exception):
                raise reply
            on_disk = isinstance(reply, list)
            if (reply[0] if on_disk else reply) < 1:
                raise UnconfirmedError(
                    f"{'the disk has not' if on_disk else 'no replica has'} confirmed the change "
                    f"within {self._wait_ms} ms; it may be kept nevertheless"
                )
