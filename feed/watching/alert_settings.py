"""The rules for the settings of alerts, without what sends them."""

from __future__ import annotations

from urllib.parse import urlsplit

from feed.config import Settings
from feed.domain import InvalidInputError

SECRET_BYTES = 32


def check_alert_settings(settings: Settings) -> None:
    """Refuse settings with which no alert can be sent.

    Raises:
        InvalidInputError: an address is not one of the web, or the secret is too short.
    """
    addresses = {"FEED_ALERT_URL": settings.alert_url, "FEED_PUBLIC_URL": settings.public_url}
    for label, address in addresses.items():
        if address and not _is_web_url(address):
            raise InvalidInputError(label, "must begin with http:// or https://")
    if settings.alert_secret and len(settings.alert_secret.encode()) < SECRET_BYTES:
        raise InvalidInputError("FEED_ALERT_SECRET", f"must have {SECRET_BYTES} bytes or more")


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
