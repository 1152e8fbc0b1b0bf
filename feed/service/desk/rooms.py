"""Every module of pages of the desk, in one list for the application."""

from __future__ import annotations

from feed.service.desk import desk_audit, desk_models, desk_now, desk_settings, sign_in, undo

DESK_PAGES = tuple(
    module.pages
    for module in (
        sign_in,
        undo,
        desk_now,
        desk_models,
        desk_settings,
        desk_audit,
    )
)
