"""Takes an action back: each kind of subject says how."""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import Response, g, redirect, request

from feed.domain import ConflictError
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, say
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

ADMIN_ONLY: set[str] = set()
"""Subjects, by their first part, of which an editor takes nothing back."""


def can_undo(entry: AuditEntry) -> bool:
    """Whether an entry may be taken back."""
    is_change = entry.before != entry.after
    return bool(entry.id) and is_change and entry.subject.split("/")[0] in UNDOERS


def undo_entry(services: Services, entry_id: str, by: str, *, may_all: bool = True) -> AuditEntry:
    """Take back what an entry of the audit log did; return the entry about that.

    Raises:
        NotFoundError: the audit log does not hold the entry any more.
        ConflictError: nothing can take it back, or only an admin (`may_all`), or it was changed
            since.
    """
    entry = services.store.find_audit(entry_id)
    kind = entry.subject.split("/")[0]
    undoer = UNDOERS.get(kind)
    if undoer is None:
        raise ConflictError(f"{entry.subject} was {entry.action}: this cannot be taken back")
    if kind in ADMIN_ONLY and not may_all:
        raise ConflictError(f"{entry.subject} was {entry.action}: an admin can take this back")
    return undoer(services, entry, by)


@pages.post("/desk/undo")
@desk_page(Role.EDITOR)
def undo() -> Response:
    """Take an action back and return to the page it was on."""
    visitor: Visitor = g.visitor
    entry_id, may_all = request.form.get("entry", ""), visitor.may(Role.ADMIN)
    done = undo_entry(current_services(), entry_id, visitor.name, may_all=may_all)
    say(f"Taken back: {done.subject} is as it was before.", undo=done)
    return redirect(local_address(request.form.get("back", "")), 303)  # type: ignore[return-value]


def local_address(text: str) -> str:
    """Return a path of the desk, whatever somebody wrote into an address."""
    is_safe = text.isascii() and not set(text) & set("\\\r\n\t")
    return text if is_safe and _OWN_PATH.match(text) else "/desk"
