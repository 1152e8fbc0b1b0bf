"""What editors do to an article by hand, as entries of the audit log that can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import ValidationError

from feed.article_schemas import ArticleChangesIn
from feed.catalogue.merging import change_fields
from feed.domain import ALL_FIELDS, ConflictError, format_time
from feed.storage.records import AuditEntry, StoredArticle

OWNED = "owned_fields"
"""Name in entries of the fields that the API has set, which no source changes."""
HELD = "held_fields"
"""Name of those that later deliveries of the API do not change either."""
TAKEN_BACK = "taken back"
"""What an entry about taking back another one says was done."""
_TIMES = frozenset({"published_at", "updated_at", "expires_at"})
_LONG = frozenset({"body", "embedding"})
"""Fields of which an entry says only that they changed: they are too long for the log."""
_CHANGED = "changed; too long for this log"


@dataclass(frozen=True, slots=True)
class Editor:
    """Who does something by hand, and when.

    Attributes:
        name: For the audit log, as `Principal.signature`.
        at: Epoch seconds.
    """

    name: str
    at: float

    def entry(
        self,
        action: str,
        subject: str,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> AuditEntry:
        """Return the entry about an action of theirs."""
        return AuditEntry(self.at, self.name, action, subject, before, after)


def article_subject(article_id: str) -> str:
    """Return what the audit log calls an article."""
    return f"articles/{article_id}"


def change_entry(
    before: StoredArticle, after: StoredArticle, editor: Editor, action: str
) -> AuditEntry:
    """Return the entry about a change of an article: only the fields that changed."""
    old, new = before.article, after.article
    changed = sorted(name for name in ALL_FIELDS if getattr(old, name) != getattr(new, name))
    was = {name: _to_json(name, getattr(old, name)) for name in changed}
    now = {name: _to_json(name, getattr(new, name)) for name in changed}
    if before.owned != after.owned:
        was[OWNED], now[OWNED] = sorted(before.owned), sorted(after.owned)
    if before.held != after.held:
        was[HELD], now[HELD] = sorted(before.held), sorted(after.held)
    return editor.entry(action, article_subject(new.article_id), was, now)


def reversal(entry: AuditEntry, now: float) -> Callable[[StoredArticle], StoredArticle]:
    """Return the change that takes an entry back.

    The fields get the values they had. Those that sources could change before, they can change
    again.

    Args:
        entry: About a change of an article.
        now: Epoch seconds.

    Raises:
        ConflictError: The log does not hold what the article was before; when called, the change
            raises it if the article is not what the entry left, or if it had a value that a source
            may send and nobody may set.
    """
    before, after = dict(entry.before or {}), dict(entry.after or {})
    owned, owned_after = set(before.pop(OWNED, ())), set(after.pop(OWNED, ()))
    held, held_after = set(before.pop(HELD, ())), set(after.pop(HELD, ()))
    if _LONG & set(after):
        raise ConflictError("the audit log does not keep long texts: this cannot be taken back")

    def reverse(stored: StoredArticle) -> StoredArticle:
        article = stored.article
        for name, left in after.items():
            if _to_json(name, getattr(article, name)) != left:
                raise ConflictError(f"{name} was changed since: look at the article again")
        try:
            body = ArticleChangesIn.model_validate_json(orjson.dumps(before))
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            raise ConflictError(f"{name} had a value that nobody can set by hand") from None
        submission = body.to_submission(article.article_id)
        changed = change_fields(stored, submission, owned_after - owned, now)
        owned_now = changed.owned | (owned - owned_after)
        held_now = (changed.held | (held - held_after)) - (held_after - held)
        return replace(changed, owned=owned_now, held=held_now)

    return reverse


def _to_json(name: str, value: Any) -> Any:
    if name in _LONG:
        return _CHANGED
    if name in _TIMES and value is not None:
        return format_time(value)
    return list(value) if isinstance(value, tuple) else value
