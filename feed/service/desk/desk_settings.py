"""The room Settings: every ranking setting, and a change of them with a preview."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Response, g, redirect, request

from feed.catalogue.ranking_changes import (
    SUBJECT,
    change_ranking,
    nested,
    read_wanted,
    undo_ranking_change,
)
from feed.config import RankingConfig
from feed.domain import ConflictError, InvalidInputError
from feed.editorial.editorial import RANKING, editorial_from_store
from feed.experiments.design.design_rules import SHARED_SETTINGS
from feed.ranking.settings_in_force import WEIGHT, put_in_force, value_of
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, render, say
from feed.service.desk.setting_words import (
    range_text,
    rule_text,
    title_of,
    value_text,
    wire_text,
)
from feed.service.desk.undo import ADMIN_ONLY, UNDOERS
from feed.service.desk.visitors import Role, Visitor
from feed.service.previews import (
    BATCH,
    Preview,
    PreviewCount,
    count_changes,
    hours_since,
)
from feed.service.request_replay import REQUESTS, START, ReplayPlace
from feed.service.services import Services, current_services
from feed.service.setting_lines import SettingLine, setting_lines
from feed.storage.records import AuditEntry

pages = desk_blueprint("settings")
ADDRESS = "/desk/settings"
SO_FAR = "so_far"
"""Field of a form with what earlier batches of a preview found."""
SO_FAR_S = 3600
PURPOSE = "settings-preview"
NOT_SETTINGS = frozenset({"form_token", "version", SO_FAR, "rest"})
"""Fields of the forms that are no settings."""
SECTIONS = 8
"""Sections that a preview compares, the largest first."""


@pages.get(ADDRESS)
@desk_page(Role.ANALYST)
def show_settings() -> Response:
    """Show every ranking setting."""
    return _page()


@pages.post(f"{ADDRESS}/preview")
@desk_page(Role.ADMIN)
def preview_settings() -> Response:
    """Show what a change would do, before it is made."""
    services, given = current_services(), _given()
    snapshot = services.snapshot
    editorial = editorial_from_store(services.store.read_editorial())
    present = put_in_force(services.settings.ranking, editorial.ranking)
    patch = _changed(given, setting_lines(present, ()))
    if not patch:
        say("Nothing was changed: every field says what is in force.")
        return redirect(ADDRESS, 303)  # type: ignore[return-value]
    try:
        wanted = read_wanted(present, nested(patch))
        found = _next_batch(services, present.config, wanted.config)
    except InvalidInputError as error:
        return _page(given, error)
    except ConflictError as error:  # somebody else's preview; what was filled in stays
        say(f"{error}".capitalize() + ".", is_error=True)
        return _page(given)
    moves = [
        (title_of(n), n, *(value_text(n, value_of(one.config, n)) for one in (present, wanted)))
        for n in patch
    ]
    return render(
        "desk/settings_preview.html",
        room="settings",
        moves=moves,
        fields={name: given[name] for name in patch},
        version=editorial.versions.get(RANKING, 0),
        unseen=[title_of(name) for name in sorted(SHARED_SETTINGS & patch.keys())],
        running=[experiment.name for experiment in snapshot.experiments],
        **found,
    )


@pages.post(f"{ADDRESS}/preview/more")
@desk_page(Role.ADMIN)
def preview_more_settings() -> Response:
    """Return what a change would do after one more batch, for which the page of it asks."""
    services = current_services()
    editorial = editorial_from_store(services.store.read_editorial())
    present = put_in_force(services.settings.ranking, editorial.ranking)
    given = _given()
    wanted = read_wanted(present, nested(_as_patch(given)))
    found = _next_batch(services, present.config, wanted.config)
    return render("desk/settings_found.html", room="settings", fields=given, **found)


def _next_batch(
    services: Services, present: RankingConfig, wanted: RankingConfig
) -> dict[str, Any]:
    """Rank one more batch of recorded requests; return what its template needs.

    What earlier batches found travels with the page, signed, so that any web process can go on.

    Raises:
        InvalidInputError: what the page sent back is not what a preview gave it.
        ConflictError: another preview is being made.
    """
    snapshot, now = services.snapshot, services.clock()
    place, counted = START, PreviewCount()
    if text := request.form.get(SO_FAR, ""):
        held = services.desk.unsign(text, SO_FAR_S, PURPOSE)
        if held is None:
            raise InvalidInputError(SO_FAR, "must come from a preview of the last hour")
        place, counted = ReplayPlace(**held["place"]), PreviewCount.from_json(held["counted"])
    ranked = services.previews.rank_again(
        snapshot.with_ranking(present),
        snapshot.with_ranking(wanted),
        place=place,
        count=REQUESTS if "rest" in request.form else BATCH,
    )
    counted += count_changes(ranked.pairs, snapshot, now)
    found = counted.to_preview(hours_since(ranked.place, now))
    kept = {"place": asdict(ranked.place), "counted": counted.to_json()}
    return {
        "place": ranked.place,
        "lines": preview_lines(found),
        "rows": preview_rows(found),
        "so_far": services.desk.sign(kept, PURPOSE),
    }


@pages.post(ADDRESS)
@desk_page(Role.ADMIN)
def apply_settings() -> Response:
    """Make the change that was previewed."""
    services, given = current_services(), _given()
    visitor: Visitor = g.visitor
    version = request.form.get("version", "")
    try:
        entry = change_ranking(
            services.store,
            services.settings.ranking,
            nested(_as_patch(given)),
            now=services.clock(),
            by=visitor.name,
            version=int(version[:9]) if version.isdecimal() else None,
        )
    except InvalidInputError as error:
        return _page(given, error)
    services.keeper.wake()
    if entry is None:
        say("Nothing was changed: this was in force already.")
    else:
        names = ", ".join(map(title_of, entry.after or {}))
        say(f"Changed: {names}. It takes effect within a second.", undo=entry)
    return redirect(ADDRESS, 303)  # type: ignore[return-value]


def preview_lines(found: Preview) -> list[str]:
    """Return in sentences what a preview compared, and how much changes."""
    if not found.requests:
        return ["No feed was asked for in the last 24 hours, so there is nothing to compare."]
    hours = math.ceil(found.hours)
    requests = "request" if found.requests == 1 else "requests"
    were = "was" if found.requests == 1 else "were"
    span = "hour" if hours <= 1 else f"{hours} hours"
    return [
        (
            f"{found.requests} {requests} of the last {span} {were} ranked again:"
            " as now, and after the change."
        ),
        (
            f"In {100 * found.changed:.0f} % of the feeds, the first ten articles change;"
            f" {100 * found.replaced:.0f} % of the articles there are new."
        ),
    ]


def preview_rows(found: Preview) -> list[tuple[str, str, str]]:
    """Return what stands in the first slots: what it is, as now, and as after the change."""
    before, after = found.before, found.after
    if before.mean_age_hours is None or after.mean_age_hours is None:
        return []
    names = list(before.sections | after.sections)[:SECTIONS]
    sections = [
        (f"Section {name}", *(f"{100 * m.sections.get(name, 0.0):.1f} %" for m in (before, after)))
        for name in names
    ]
    return [
        ("Trending articles", f"{100 * before.trending:.1f} %", f"{100 * after.trending:.1f} %"),
        (
            "AI-generated articles",
            f"{100 * before.ai_generated:.1f} %",
            f"{100 * after.ai_generated:.1f} %",
        ),
        ("Mean age", f"{before.mean_age_hours:.1f} h", f"{after.mean_age_hours:.1f} h"),
        ("Different articles", f"{before.articles}", f"{after.articles}"),
        *((name, old, new) for name, old, new in sections),
    ]


def _page(
    given: Mapping[str, str] | None = None, error: InvalidInputError | None = None
) -> Response:
    services, visitor = current_services(), g.visitor
    found = put_in_force(
        services.settings.ranking,
        editorial_from_store(services.store.read_editorial()).ranking,
    )
    snapshot = services.keeper.current()
    running = snapshot.experiments if snapshot else ()
    lines = setting_lines(found, running)
    return render(
        "desk/settings.html",
        room="settings",
        status=422 if error else 200,
        plain=[line for line in lines if not line.name.startswith(WEIGHT)],
        weights=[line for line in lines if line.name.startswith(WEIGHT)],
        faults=found.faults,
        running=[experiment.name for experiment in running],
        may_change=visitor.may(Role.ADMIN),
        given=given or {},
        wrong={error.field_name: rule_text(error.field_name, error.rule)} if error else {},
        text=value_text,
        title_of=title_of,
        ranges={line.name: range_text(line) for line in lines},
    )


def _given() -> dict[str, str]:
    """Return the fields of the form that are settings, without white space around."""
    return {
        name: text.strip()[:100] for name, text in request.form.items() if name not in NOT_SETTINGS
    }


def _as_patch(given: Mapping[str, str]) -> dict[str, str | None]:
    """Return the fields of a form as the API takes them; an empty one takes a change back."""
    return {name: wire_text(name, text) or None for name, text in given.items()}


def _changed(given: Mapping[str, str], lines: list[SettingLine]) -> dict[str, str | None]:
    """Return what a form changes, as the API takes it."""
    held = {line.name: line for line in lines}
    changed = {
        name: text
        for name, text in _as_patch(given).items()
        if name not in held or given[name].lower() != value_text(name, held[name].value)
    }
    return {n: v for n, v in changed.items() if v is not None or n not in held or held[n].change}


def undo_settings(services: Services, entry: AuditEntry, by: str) -> AuditEntry:
    """Give ranking settings the values back that they had before an entry."""
    base, now = services.settings.ranking, services.clock()
    done = undo_ranking_change(services.store, base, entry, now=now, by=by)
    services.keeper.wake()
    return done


_KIND = SUBJECT.partition("/")[0]
UNDOERS[_KIND] = undo_settings
ADMIN_ONLY.add(_KIND)
