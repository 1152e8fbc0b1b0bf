"""Every module of pages of the desk, in one list for the application."""

from __future__ import annotations

from feed.service.desk import (
    desk_article_previews,
    desk_articles,
    desk_audit,
    desk_front_page,
    desk_models,
    desk_now,
    desk_readers,
    desk_settings,
    desk_simulation,
    desk_sources,
    sign_in,
    undo,
)

DESK_PAGES = tuple(
    module.pages
    for module in (
        sign_in,
        undo,
        desk_now,
        desk_articles,
        desk_article_previews,
        desk_readers,
        desk_simulation,
        desk_front_page,
        desk_models,
        desk_sources,
        desk_settings,
        desk_audit,
    )
)
