"""Takes an action back: each kind of subject says how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from flask import Response, g, redirect, request

from feed.catalogue.article_service import ALLOWED, ERASED
from feed.catalogue.boosting import BOOST, take_back_boost
from feed.catalogue.decisions import Editor
from feed.catalogue.pinning import take_back_pins
from feed.domain import ConflictError
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, say
from feed.service.desk.visitors import Role, Visitor
from feed.service.services import Services, current_services
from feed.storage.records import AuditEntry

pages = desk_blueprint("undo")
Undoer = Callable[[Services, AuditEntry, str], AuditEntry]
"""Takes an entry back on behalf of somebody; returns the entry about that.

It raises `ConflictError` if what the entry left has been changed since.
"""
UNDOERS: dict[str, Undoer] = {}
"""By the first part of an entry's subject, such as `articles`; each room adds its own."""
ROLES: Mapping[str, Role] = MappingProxyType(
    dict.fromkeys(("keys", "models", "settings", "readers"), Role.ADMIN)
)
"""Who may take back what, by the first part of the subject; what is not named, editors may."""
FINAL = frozenset({("articles", ERASED), ("articles", ALLOWED), ("keys", "removed")})
"""Kinds of subjects and actions on them that nothing can take back."""


def can_undo(entry: AuditEntry) -> bool:
    """Whether the desk's present visitor may take an entry back."""
    visitor: Visitor | None = g.get("visitor")
    return _is_undoable(entry) and visitor is not None and visitor.may(_role_for(entry))


def undo_entry(services: Services, entry_id: str, visitor: Visitor) -> AuditEntry:
    """Take back what an entry of the audit log did; return the entry about that.

    Args:
        services: the parts of this process.
        entry_id: of the entry.
        visitor: who takes it back.

    Raises:
        NotFoundError: the audit log does not hold the entry any more.
        ConflictError: nothing can take it back, their role may not, or it was changed since.
    """
    entry = services.store.find_audit(entry_id)
    if not _is_undoable(entry):
        raise ConflictError(f"{entry.subject} was {entry.action}: this cannot be taken back")
    if not visitor.may(needed := _role_for(entry)):
        raise ConflictError(
            f"only the role {needed} may take back what was done to {entry.subject}"
        )
    done = UNDOERS[_kind(entry)](services, entry, visitor.name)
    services.keeper.wake()
    return done


@pages.post("/desk/undo")
@desk_page(Role.EDITOR)
def undo() -> Response:
    """Take an action back and return to the page it was on."""
    visitor: Visitor = g.visitor
    done = undo_entry(current_services(), request.form.get("entry", ""), visitor)
    say(f"Taken back: {done.subject} is as it was before.", undo=done)
    return redirect(local_address(request.form.get("back", "")), 303)  # type: ignore[return-value]


def _kind(entry: AuditEntry) -> str:
    return entry.subject.split("/")[0]


def _role_for(entry: AuditEntry) -> Role:
    return ROLES.get(_kind(entry), Role.EDITOR)


def _is_undoable(entry: AuditEntry) -> bool:
    is_final = (_kind(entry), entry.action) in FINAL
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
    return services.access.keys.remove(name, Editor(by, services.clock()))


UNDOERS.update(articles=_undo_article, pins=_undo_pins, keys=_undo_key)


def local_address(text: str) -> str:
    """Return a path of the desk, whatever somebody wrote into an address."""
    is_own = text.startswith("/desk") and text.isascii() and not set(text) & set("\\\r\n\t")
    return text if is_own and text[5:6] in {"", "/", "?"} else "/desk"
