"""Takes an action back: each kind of subject says how."""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import Response, g, redirect, request

from feed.catalogue.article_service import ALLOWED, ERASED
from feed.catalogue.boosting import BOOST, take_back_boost
from feed.catalogue.decisions import Editor
from feed.catalogue.pinning import take_back_pins
from feed.domain import ConflictError, NotAllowedError
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, say
from feed.service.desk.subject_words import subjects_in_words
from feed.service.desk.visitors import Role, Visitor
from feed.service.services import Services, current_services
from feed.storage.records import AuditEntry

pages = desk_blueprint("undo")
_OWN_PATH = re.compile(r"/(desk|experiments)(?=[/?]|$)")
Undoer = Callable[[Services, AuditEntry, str], AuditEntry]
"""Takes an entry back on behalf of somebody; returns the entry about that.

It raises `ConflictError` if what the entry left has been changed since.
"""
UNDOERS: dict[str, Undoer] = {}
"""By the first part of an entry's subject, such as `articles`; each room adds its own."""
FINAL = frozenset({("articles", ERASED), ("articles", ALLOWED), ("keys", "removed")})
"""Kinds of subjects and actions on them that nothing can take back."""

ADMIN_ONLY: set[str] = {"keys"}
"""Subjects, by their first part, of which an editor takes nothing back."""


def can_undo(entry: AuditEntry) -> bool:
    """Whether the desk's present visitor may take an entry back."""
    visitor: Visitor | None = g.get("visitor")
    role = Role.ADMIN if _kind(entry) in ADMIN_ONLY else Role.EDITOR
    return _is_undoable(entry) and visitor is not None and visitor.may(role)


def undo_entry(services: Services, entry_id: str, by: str, *, may_all: bool = True) -> AuditEntry:
    """Take back what an entry of the audit log did; return the entry about that.

    Args:
        services: the parts of this process.
        entry_id: of the entry.
        by: who takes it back.
        may_all: whether they are an admin.

    Raises:
        NotFoundError: the audit log does not hold the entry any more.
        NotAllowedError: only an admin can take it back (`may_all`).
        ConflictError: nothing can take it back, or it was changed since.
    """
    entry = services.store.find_audit(entry_id)
    kind = _kind(entry)
    if not _is_undoable(entry):
        raise ConflictError(f"{entry.subject} was {entry.action}: this cannot be taken back")
    if kind in ADMIN_ONLY and not may_all:
        raise NotAllowedError(f"{entry.subject} was {entry.action}: an admin can take this back")
    done = UNDOERS[kind](services, entry, by)
    services.keeper.wake()
    return done


@pages.post("/desk/undo")
@desk_page(Role.EDITOR)
def undo() -> Response:
    """Take an action back and return to the page it was on."""
    visitor: Visitor = g.visitor
    entry_id, may_all = request.form.get("entry", ""), visitor.may(Role.ADMIN)
    services = current_services()
    done = undo_entry(services, entry_id, visitor.name, may_all=may_all)
    words = subjects_in_words(services, [done])[done.subject]
    say(f"Taken back: the change to the {words.text or 'desk'}.", undo=done)
    return redirect(local_address(request.form.get("back", "")), 303)  # type: ignore[return-value]


def _kind(entry: AuditEntry) -> str:
    return entry.subject.split("/")[0]


def _is_undoable(entry: AuditEntry) -> bool:
    is_final = (_kind(entry), entry.action) in FINAL or entry.before == entry.after
    return bool(entry.id) and _kind(entry) in UNDOERS and not is_final


def _undo_article(services: Services, entry: AuditEntry, by: str) -> AuditEntry:
    editor = Editor(by, services.clock())
    if BOOST in (entry.after or {}):
        return take_back_boost(services.store, entry, editor)
    return services.articles.take_back(entry, editor)


def _undo_pins(services: Services, entry: AuditEntry, by: str) -> AuditEntry:
    return take_back_pins(services.store, entry, Editor(by, services.clock()))


def _undo_key(services: Services, entry: AuditEntry, by: str) -> AuditEntry:
    name = entry.subject.partition("/")[2]
    made = {key.name: key.created_at for key in services.store.read_keys()}
    if made.get(name, entry.at) != entry.at:
        raise ConflictError(f"the key {name} was made anew since: remove that one by itself")
    return services.access.keys.remove(name, Editor(by, services.clock()))


UNDOERS.update(articles=_undo_article, pins=_undo_pins, keys=_undo_key)


def local_address(text: str) -> str:
    """Return a path of the desk, whatever somebody wrote into an address."""
    is_safe = text.isascii() and not set(text) & set("\\\r\n\t")
    return text if is_safe and _OWN_PATH.match(text) else "/desk"
