"""Sends alerts to a webhook: signed, with a limit to the time, and without redirects."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import httpcore
import httpx
import orjson

from feed.config import Settings
from feed.ingest.connections import CheckedTransport, Deadline
from feed.ingest.downloading import FAILURES
from feed.watching.alert_settings import check_alert_settings

SIGNATURE = "X-Feed-Signature"
LIMIT_S = 5.0
"""Seconds that one delivery may take as a whole."""


def sign(secret: str, at: int, body: bytes) -> str:
    """Return the header that proves who sent a body and when.

    Args:
        secret: Which the receiver knows, too.
        at: When it is sent, epoch seconds; old signatures can be refused.
        body: As it is sent.

    Returns:
        `t=SECONDS,v1=HEX`, with HMAC-SHA256 over `SECONDS.BODY`.
    """
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class Webhook:
    """One receiver of alerts.

    Args:
        settings: `alert_url` and `alert_secret`.

    Raises:
        InvalidInputError: as `check_alert_settings`.
    """

    def __init__(self, settings: Settings) -> None:
        check_alert_settings(settings)
        self._url, self._secret = settings.alert_url, settings.alert_secret

    @property
    def is_set(self) -> bool:
        """Whether there is a receiver."""
        return bool(self._url)

    def post(self, body: dict[str, Any], now: float) -> str:
        """Send a body; return why it failed, empty if it arrived.

        The reason names neither the address nor the secret: the path of many a webhook is one.

        Args:
            body: JSON.
            now: Epoch seconds.
        """
        content = orjson.dumps(body)
        headers = {"Content-Type": "application/json", "User-Agent": "feed-alerts"}
        if self._secret:
            headers[SIGNATURE] = sign(self._secret, int(now), content)
        transport = CheckedTransport(_allow, Deadline(LIMIT_S))
        try:
            with (
                httpx.Client(transport=transport, timeout=LIMIT_S) as client,
                client.stream("POST", self._url, content=content, headers=headers) as answer,
            ):
                return "" if answer.is_success else f"the receiver answered {answer.status_code}"
        except (*FAILURES, httpcore.TimeoutException) as error:
            return f"the receiver cannot be reached ({type(error).__name__})"


def _allow(_host: str, _address: str) -> None:
    """The operator chose the receiver: any address is allowed."""
