"""The room Audit log: who did what, the newest first."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Response, g, request

from feed.service.audit_answers import READERS
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, render
from feed.service.desk.setting_words import title_of, value_text
from feed.service.desk.subject_words import subjects_in_words
from feed.service.desk.undo import can_undo
from feed.service.desk.visitors import Role, Visitor
from feed.service.services import current_services
from feed.storage.key_names import AUDIT_MAX

pages = desk_blueprint("audit")
PAGE = 50
SUBJECTS = (
    "articles",
    "pins",
    "limits",
    "settings",
    "readers",
    "models",
    "experiments",
    "sources",
    "keys",
    "desk",
)


@pages.get("/desk/audit")
@desk_page(Role.ANALYST)
def show_audit() -> Response:
    """Show a page of entries, or of those about one subject or by one person.

    Only admins see who looked at which reader.
    """
    subject = request.args.get("subject", "").strip()[:200]
    by = request.args.get("by", "").strip()[:200]
    start = min(max(request.args.get("start", 0, int), 0), AUDIT_MAX)
    visitor: Visitor = g.visitor
    hidden = None if visitor.may(Role.ADMIN) else READERS
    services = current_services()
    found = services.store.read_audit(start + PAGE + 1, subject, by, hidden)
    entries = found[start : start + PAGE]
    return render(
        "desk/audit.html",
        room="audit",
        entries=entries,
        words=subjects_in_words(services, entries),
        title_of=title_of,
        value_text=value_text,
        subject=subject,
        by=by,
        start=start,
        newer=_address(subject, by, max(start - PAGE, 0)) if start else "",
        older=_address(subject, by, start + PAGE) if len(found) > start + PAGE else "",
        subjects=SUBJECTS,
        address=_address,
        can_undo=can_undo,
    )


def _address(subject: str = "", by: str = "", start: int = 0) -> str:
    given = {"subject": subject, "by": by, "start": start or ""}
    query = urlencode({name: value for name, value in given.items() if value})
    return f"/desk/audit?{query}" if query else "/desk/audit"
