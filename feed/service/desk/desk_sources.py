"""The room Sources: the feeds that are polled, and what the last check of each found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx
from flask import Response, g, redirect, request
from pydantic import ValidationError

from feed.domain import InvalidInputError
from feed.ingest.urls import mask_login
from feed.schemas import SourceIn, rules_broken
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, render, say
from feed.service.desk.undo import UNDOERS
from feed.service.desk.visitors import Role, Visitor
from feed.service.routes_sources import read_source
from feed.service.services import Services, current_services
from feed.sources.directory import Addition
from feed.sources.outlines import read_list
from feed.sources.reach import AllowedHosts
from feed.sources.subscription import Source, SourceState, SourceStatus, has_login, status_of
from feed.storage.records import AuditEntry

pages = desk_blueprint("sources")
ROOM = "/desk/sources"
FIELDS = ("address", "name", "zone", "age_from", "min_minutes", "max_minutes")
_ORDER = list(SourceStatus)[::-1]
_SAID = {
    Addition.ADDED: "is a source now. It is checked in a moment.",
    Addition.KNOWN: "is a source already.",
    Addition.NEW_LOGIN: "is a source already; the new login is used from now on.",
}


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source as the room shows it."""

    source: Source
    state: SourceState

    @property
    def name(self) -> str:
        """Return what people know the source by."""
        return self.source.name or self.state.title or httpx.URL(self.source.address).host

    @property
    def address(self) -> str:
        """Return its address, without what is secret in it."""
        return mask_login(self.source.address)

    @property
    def status(self) -> SourceStatus:
        """Return its present status."""
        return status_of(self.source, self.state)

    @property
    def is_pending(self) -> bool:
        """Whether somebody has asked for a check that is not done yet."""
        is_done = self.source.asked == self.state.answered and self.state.checked_at
        return not (self.source.paused or is_done)

    @property
    def next_at(self) -> float:
        """Return when it is checked next, epoch seconds; 0: never."""
        is_polled = self.status in {SourceStatus.ACTIVE, SourceStatus.FAILING}
        return self.state.next_at if is_polled else 0.0


@pages.get(ROOM)
@desk_page(Role.ANALYST)
def show_sources() -> Response:
    """Show every source, those that need somebody first."""
    return _show({}, {})


@pages.post(ROOM)
@desk_page(Role.EDITOR)
def add_source() -> Response:
    """Add the source in the form."""
    given = {name: request.form.get(name, "").strip() for name in FIELDS}
    allowed = AllowedHosts(current_services().settings.source_networks)
    try:
        filled = {name: text for name, text in given.items() if text}
        source = read_source(SourceIn.model_validate_strings(filled), allowed)
    except ValidationError as error:
        return _show(given, {name: f"It {rule}." for name, rule in reversed(rules_broken(error))})
    except InvalidInputError as error:
        return _show(given, {error.field_name: f"It {error.rule}."})
    (added,) = current_services().sources.add([source], _visitor())
    say(f"{mask_login(source.address)} {_SAID[added]}", undo=_entry_of(source, added))
    return _back()


@pages.post(f"{ROOM}/import")
@desk_page(Role.EDITOR)
def import_sources() -> Response:
    """Add the sources in a file: OPML, or one address per line."""
    file = request.files.get("list")
    try:
        if file is None or not file.filename:
            raise InvalidInputError("list", "must be chosen first")
        found = read_list(file.read())
        allowed = AllowedHosts(current_services().settings.source_networks)
        given = [{"address": one.address, "name": one.name} for one in found]
        sources = [read_source(SourceIn.model_validate(one), allowed) for one in given]
        added = current_services().sources.add(sources, _visitor())
    except ValidationError as error:
        return _show({}, {"list": "; ".join(rule for _, rule in rules_broken(error))})
    except InvalidInputError as error:
        return _show({}, {"list": f"{error.field_name} {error.rule}"})
    count = added.count(Addition.ADDED)
    say(f"{count} sources were added, {len(added) - count} were known already.")
    return _back()


@pages.post(f"{ROOM}/<id:source_id>/check")
@desk_page(Role.EDITOR)
def check_source(source_id: str) -> Response:
    """Have a source checked at once."""
    current_services().sources.ask(source_id)
    say(f"{_name_of(source_id)} is checked in a moment.")
    return _back()


@pages.post(f"{ROOM}/<id:source_id>/pause")
@desk_page(Role.EDITOR)
def pause_source(source_id: str) -> Response:
    """Leave a source alone until it is resumed."""
    entry = current_services().sources.pause(source_id, _visitor())
    say(f"{_name_of(source_id)} is paused.", undo=entry)
    return _back()


@pages.post(f"{ROOM}/<id:source_id>/resume")
@desk_page(Role.EDITOR)
def resume_source(source_id: str) -> Response:
    """Poll a source again."""
    entry = current_services().sources.resume(source_id, _visitor())
    say(f"{_name_of(source_id)} is polled again.", undo=entry)
    return _back()


@pages.post(f"{ROOM}/<id:source_id>/remove")
@desk_page(Role.EDITOR)
def remove_source(source_id: str) -> Response:
    """Stop polling a source and forget it. Its articles stay."""
    sources = current_services().sources
    source, state = sources.get(source_id)
    entry = sources.remove(source_id, _visitor())
    lost = " Undo does not bring its login back." if has_login(source.address) else ""
    say(f"{SourceLine(source, state).name} was removed. Its articles stay.{lost}", undo=entry)
    return _back()


def _show(given: dict[str, str], faults: dict[str, Any]) -> Response:
    """Return the room; `given` and `faults` are what a form held and what is wrong with it."""
    directory = current_services().sources
    states = directory.states()
    lines = [
        SourceLine(source, states.get(source_id, SourceState()))
        for source_id, source in directory.all().items()
    ]
    lines.sort(key=lambda line: (_ORDER.index(line.status), line.name.lower()))
    return render(
        "desk/sources.html",
        room="sources",
        status=422 if faults else 200,
        lines=lines,
        counts=Counter(line.status for line in lines),
        given=given,
        faults=faults,
    )


def _back() -> Response:
    return redirect(ROOM, 303)  # type: ignore[return-value]


def _visitor() -> str:
    visitor: Visitor = g.visitor
    return visitor.name


def _name_of(source_id: str) -> str:
    return SourceLine(*current_services().sources.get(source_id)).name


def _entry_of(source: Source, added: Addition) -> AuditEntry | None:
    """Return the entry about a source that was just added."""
    subject = f"sources/{source.source_id}"
    found = current_services().store.read_audit(1, subject) if added is Addition.ADDED else []
    return found[0] if found else None


def _undo(services: Services, entry: AuditEntry, by: str) -> AuditEntry:
    return services.sources.take_back(entry, by)


UNDOERS["sources"] = _undo
