"""The room Settings: every ranking setting, and a change of them with a preview."""

from __future__ import annotations

from feed.catalogue.ranking_changes import SUBJECT, undo_ranking_change
from feed.service.desk.desk_shell import desk_blueprint
from feed.service.desk.undo import ADMIN_ONLY, UNDOERS
from feed.service.services import Services
from feed.storage.records import AuditEntry

pages = desk_blueprint("settings")


def undo_settings(services: Services, entry: AuditEntry, by: str) -> AuditEntry:
    """Give ranking settings the values back that they had before an entry."""
    base, now = services.settings.ranking, services.clock()
    done = undo_ranking_change(services.store, base, entry, now=now, by=by)
    services.keeper.wake()
    return done


_KIND = SUBJECT.partition("/")[0]
UNDOERS[_KIND] = undo_settings
ADMIN_ONLY.add(_KIND)
