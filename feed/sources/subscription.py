"""A source that is polled, and what the poller knows about it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self

import httpx

from feed.domain import AgeFrom, InvalidInputError
from feed.ingest.urls import is_web_address, mask_login

LARGEST_PORT = 65_535
MAX_ADDRESS = 2048
FEED_SCHEMES = ("feed://", "feed:", "pcast://")
MOST_FINDINGS = 20


class SourceStatus(StrEnum):
    """The present state of a source."""

    ACTIVE = "active"
    PAUSED = "paused"
    FAILING = "failing"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What people have set for one source.

    Args:
        address: as given, with a login if it has one.
        name: what people call it; empty: the title of its feed.
        zone: IANA name of the time zone that applies to times without one.
        age_from: what the age of its articles counts from.
        min_minutes: shortest time between two checks; None: the default.
        max_minutes: longest time between two checks, whatever the feed asks; None: the default.
        paused: whether it is not polled for now.
        asked: how often somebody has asked to check it at once.
    """

    address: str
    name: str = ""
    zone: str = "UTC"
    age_from: AgeFrom = AgeFrom.UPDATED
    min_minutes: float | None = None
    max_minutes: float | None = None
    paused: bool = False
    asked: int = 0

    @property
    def origin(self) -> str:
        """Return the name by which the catalogue knows the source: its address without a login."""
        return mask_login(self.address, b"")

    @property
    def source_id(self) -> str:
        """Return the id: short, and the same for an address with another password."""
        return id_of_address(self.address)

    def to_json(self) -> dict[str, Any]:
        """Return the source as the store keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Return a source of the store; fields of other versions are left out."""
        known = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        return cls(**{**known, "age_from": AgeFrom(known.get("age_from", AgeFrom.UPDATED))})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """What the poller knows about a source; all times are epoch seconds, 0: never.

    Args:
        feed_address: where the feed is, if that is not the address of the source.
        title: of the feed.
        etag, last_modified: of the last answer; sent back so that only news is returned.
        digest: of the last document.
        wait_s: how long the feed itself asks to wait between two checks, seconds.
        checked_at, succeeded_at, changed_at: when it was last fetched, read, and found changed.
        next_at: when to check it again.
        interval_s: the present time between two checks, seconds.
        failures: how many checks in a row failed.
        gone: whether its server said that it is gone for good.
        message: what happened at the last check, in words.
        articles: how many articles the last document held.
        left_out: how many of its records were left out.
        findings: the first of them, and of those that were changed: record, field and rule.
        answered: `asked` of the source at the last check.
    """

    feed_address: str = ""
    title: str = ""
    etag: str = ""
    last_modified: str = ""
    digest: str = ""
    wait_s: float = 0.0
    checked_at: float = 0.0
    succeeded_at: float = 0.0
    changed_at: float = 0.0
    next_at: float = 0.0
    interval_s: float = 0.0
    failures: int = 0
    gone: bool = False
    message: str = "not checked yet"
    articles: int = 0
    left_out: int = 0
    findings: tuple[tuple[str, str, str], ...] = ()
    answered: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the state as the store keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Return a state of the store; fields of other versions are left out."""
        known = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        findings = tuple(tuple(finding) for finding in known.pop("findings", ()))
        return cls(**known, findings=findings)


def status_of(source: Source, state: SourceState) -> SourceStatus:
    """Return the present status of a source."""
    if source.paused:
        return SourceStatus.PAUSED
    if state.gone:
        return SourceStatus.GONE
    return SourceStatus.FAILING if state.failures else SourceStatus.ACTIVE


def read_address(text: str, field: str = "address") -> str:
    """Return an address in its normal form.

    Raises:
        InvalidInputError: it is no http(s) address with a host, or there can be no such port.
    """
    text = text.strip()
    for scheme in FEED_SCHEMES:
        if text.lower().startswith(scheme):
            rest = text[len(scheme) :]
            text = rest if is_web_address(rest) else f"http://{rest}"
            break
    if len(text) > MAX_ADDRESS:
        raise InvalidInputError(field, f"must be at most {MAX_ADDRESS} characters")
    try:
        address = httpx.URL(text)
    except httpx.InvalidURL:
        raise InvalidInputError(field, "must be a valid http(s) address") from None
    if address.scheme not in {"http", "https"} or not address.host or set(text) & set(" \r\n\t"):
        raise InvalidInputError(field, "must be an http(s) address such as https://paper.example")
    if address.port is not None and not 1 <= address.port <= LARGEST_PORT:
        raise InvalidInputError(field, f"must have a port from 1 to {LARGEST_PORT}, or none")
    return str(address.copy_with(fragment=None))


def has_login(address: str) -> bool:
    """Return whether an address in its normal form has a name or a password before its host."""
    return bool(httpx.URL(address).userinfo)


def id_of_address(address: str) -> str:
    """Return the id of the source at an address in its normal form."""
    public = mask_login(address, b"").encode()
    return hashlib.blake2b(public, digest_size=5).hexdigest()
