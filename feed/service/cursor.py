"""Opaque, signed cursors, each of which names a slate, an offset, an expiry and a reader."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass

import orjson

from feed.config import Settings
from feed.domain import CursorExpiredError, InvalidInputError, ServedFeed
from feed.features.sections import SectionVocabulary
from feed.schemas import FeedQuery
from feed.service.problems import ProblemError
from feed.storage.control_part import ControlPart

_MAC_BYTES = 16

CURSOR_SECRET = "cursor"  # noqa: S105 - the name of a secret, not one


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a stored slate; `offset` counts slots of the slate, whether shown or not."""

    request_id: str
    offset: int
    expires_at: float


class CursorSigner:
    """Signs cursors with the installation's secret, so that nobody can forge one.

    The signature covers the reader's id, which is not in the cursor itself. So the cursor of
    another reader counts as forged.
    """

    def __init__(self, secret: bytes) -> None:
        # Copied for each cursor: to look the algorithm up anew takes ten times as long.
        self._keyed = hmac.new(secret, digestmod="sha256")

    def sign(self, user_id: str, cursor: Cursor) -> str:
        """Return a cursor for one reader as text."""
        body = orjson.dumps([cursor.request_id, cursor.offset, int(cursor.expires_at)])
        return base64.urlsafe_b64encode(self._mac(user_id, body) + body).decode().rstrip("=")

    def read(self, user_id: str, text: str, now: float) -> Cursor:
        """Return the cursor that a text holds.

        Raises:
            InvalidInputError: the text is not a cursor of this reader.
            CursorExpiredError: it is one, but it has expired.
        """
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            raw = b""
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not body or not hmac.compare_digest(mac, self._mac(user_id, body)):
            raise InvalidInputError("cursor", "was not issued to this reader by this service")
        request_id, offset, expires_at = orjson.loads(body)
        if now >= expires_at:
            raise CursorExpiredError("this cursor has expired; ask for a fresh feed")
        return Cursor(request_id, offset, expires_at)

    def _mac(self, user_id: str, body: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(user_id.encode("utf-8", "surrogatepass") + b"\0" + body)
        return mac.digest()[:_MAC_BYTES]


class Cursors:
    """Makes cursors for readers and reads them again.

    Args:
        settings: how long a slate is kept, and the cursor secret if one is set.
        store: holds the installation's secret, which is made at first use.
    """

    def __init__(self, settings: Settings, store: ControlPart) -> None:
        self._settings = settings
        self._store = store
        self._signer: CursorSigner | None = None

    def give(self, user_id: str, request_id: str, offset: int, now: float) -> str:
        """Return the cursor of an offset in a slate.

        Raises:
            StoreUnavailableError: the secret is not known yet and its node is away.
        """
        expires_at = now + self._settings.slate_ttl_minutes * 60
        return self._open_signer().sign(user_id, Cursor(request_id, offset, expires_at))

    def read(self, user_id: str, text: str, now: float) -> Cursor:
        """Return the cursor behind a text.

        Raises:
            ProblemError: 400, it is no cursor of this reader.
            CursorExpiredError: its time is over.
            StoreUnavailableError: as in `give`.
        """
        try:
            return self._open_signer().read(user_id, text, now)
        except InvalidInputError as error:
            broken = [(error.field_name, error.rule)]
            raise ProblemError(400, str(error), broken) from None

    def _open_signer(self) -> CursorSigner:
        if self._signer is None:
            text = self._settings.cursor_secret
            secret = text.encode() if text else self._store.secret(CURSOR_SECRET)
            self._signer = CursorSigner(secret)
        return self._signer


def check_same_feed(query: FeedQuery, slate: ServedFeed, sections: SectionVocabulary) -> None:
    """Check that a request for a later page asks for the feed that its cursor goes through.

    Raises:
        InvalidInputError: mode, section or language is given, and is not that of the feed.
    """
    language = query.language or slate.language
    differs = {
        "mode": "mode" in query.model_fields_set and query.mode is not slate.mode,
        "section": query.section and sections.key(query.section) != sections.key(slate.section),
        "language": language.lower() != slate.language.lower(),
    }
    for field, wrong in differs.items():
        if wrong:
            raise InvalidInputError(field, "must be left out, or be as it was for the first page")
