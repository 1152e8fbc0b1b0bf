"""The room Audit log: who did what, the newest first."""

from __future__ import annotations

from flask import Response, request

from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, render
from feed.service.desk.undo import can_undo
from feed.service.desk.visitors import Role
from feed.service.services import current_services

pages = desk_blueprint("audit")
ENTRIES = 200


@pages.get("/desk/audit")
@desk_page(Role.ANALYST)
def show_audit() -> Response:
    """Show the newest entries, or those about one subject."""
    subject = request.args.get("subject", "").strip()[:200]
    entries = current_services().store.read_audit(ENTRIES, subject)
    return render(
        "desk/audit.html", room="audit", entries=entries, subject=subject, can_undo=can_undo
    )
