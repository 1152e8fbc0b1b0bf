"""What readers who do not exist would see, side by side; part of the room Readers."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from pydantic import ValidationError

from feed.domain import InvalidInputError
from feed.experiments.design.design_rules import SHARED_SETTINGS
from feed.reader_schemas import SimulationIn
from feed.schemas import rules_broken
from feed.service.account_presentation import present_account
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_readers import WORDS
from feed.service.desk.desk_shell import desk_blueprint, render
from feed.service.desk.setting_words import title_of, value_text, wire_text
from feed.service.desk.visitors import Role
from feed.service.reader_accounts import present_snapshot
from feed.service.services import Services, current_services
from feed.service.simulated_feeds import FeedDifference, simulate
from feed.setting_fields import documented

pages = desk_blueprint("simulation")
SIDES = ("first", "second")
FIELDS = ("read", "followed_sections", "followed_sources", "settings")
LONGEST = 20_000


@pages.get("/desk/simulation")
@desk_page(Role.ADMIN)
def show_simulation() -> Response:
    """Ask who the two readers are."""
    return _page(current_services(), {}, {})


@pages.post("/desk/simulation")
@desk_page(Role.ADMIN)
def run_simulation() -> Response:
    """Show what the two readers would see. Nothing is changed, so the page is the answer."""
    services = current_services()
    given = {name: text.strip()[:LONGEST] for name, text in request.form.items()}
    try:
        first, second, difference = simulate(services, _read_form(given))
    except ValidationError as error:
        return _page(services, given, dict(rules_broken(error)), status=422)
    except InvalidInputError as error:
        return _page(services, given, {error.field_name: error.rule}, status=422)
    feeds = [present_account(one, services.card_cache) for one in (first, second)]
    return _page(services, given, {}, feeds=feeds, marks=_marks(difference), difference=difference)


def _marks(difference: FeedDifference) -> tuple[dict[str, str], dict[str, str]]:
    """Return what stands beside articles of the first feed and of the second, by article id."""
    moved = {
        move.article_id: f"{'up' if move.after < move.before else 'down'} "
        f"{abs(move.after - move.before)}"
        for move in difference.moved
    }
    return dict.fromkeys(difference.gone, "gone"), {**dict.fromkeys(difference.new, "new"), **moved}


def _read_form(given: dict[str, str]) -> SimulationIn:
    """Return what the form asks for; lists have one entry a line.

    Raises:
        InvalidInputError: a line of the settings is not written as it must be.
        ValidationError: a field breaks a rule.
    """
    asked: dict[str, Any] = {
        name: given[name] for name in ("section", "language", "device") if given.get(name)
    }
    for side in SIDES:
        lines = {name: _lines(given.get(f"{side}.{name}", "")) for name in FIELDS}
        settings = dict(_setting(line, f"{side}.settings") for line in lines.pop("settings"))
        asked[side] = {**lines, "settings": settings}
    return SimulationIn.model_validate(asked)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _setting(line: str, field: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not equals or not value.strip():
        raise InvalidInputError(field, "must have lines such as mmr_lambda = 0.8")
    return name.strip(), wire_text(name.strip(), value.strip())


def _page(
    services: Services,
    given: dict[str, str],
    faults: dict[str, str],
    *,
    status: int = 200,
    **found: Any,
) -> Response:
    snapshot = present_snapshot(services)
    config = snapshot.ranking.config
    settings = [
        (
            title_of(one.name),
            one.name,
            value_text(one.name, getattr(config, one.name)),
            one.metadata["text"],
        )
        for one in documented(config)
        if one.name not in SHARED_SETTINGS
    ]
    return render(
        "desk/simulation.html",
        room="readers",
        status=status,
        given=given,
        faults=_by_field(faults),
        settings=settings,
        sections=sorted(set(snapshot.view.pool.section_names.ids)),
        **found,
        **WORDS,
    )


def _by_field(faults: dict[str, str]) -> dict[str, str]:
    """Return faults by field of the form, such as `first.read`, with what they name in it."""
    found = {}
    for name, rule in faults.items():
        parts = name.split(".")
        field = ".".join(parts[:2]) if parts[0] in SIDES else parts[0]
        rest = ".".join(parts[2:])
        found[field] = f"{_of_line(rest)} {rule}".strip()
    return found


def _of_line(place: str) -> str:
    return f"Line {int(place) + 1}" if place.isdecimal() else place
