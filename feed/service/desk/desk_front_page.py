"""The room Front page: what readers were shown, and the newsroom's limits with their price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, g, redirect, request

from feed.catalogue.limit_changes import change_limits, undo_limits
from feed.domain import ArchiveError, InvalidInputError
from feed.editorial.editorial import LIMITS, Editorial, editorial_from_store
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule, check_limits, limit_from_json
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, render, say
from feed.service.desk.undo import UNDOERS
from feed.service.desk.visitors import Role, Visitor
from feed.service.services import Services, current_services
from feed.service.unknown_names import hints_for_limits
from feed.storage.records import AuditEntry

pages = desk_blueprint("front_page")
ADDRESS = "/desk/front-page"
HOURS = (1, 6, 24)
PROPERTIES = (
    ("section", "Sections"),
    ("source", "Sources"),
    ("language", "Languages"),
    ("ai_generated", "Made with AI"),
    ("age", "Age"),
)
AI_WORDS = {"none": "without AI", "assisted": "with the help of AI", "generated": "generated"}
OF_WORDS = {
    LimitOf.SECTION: "section",
    LimitOf.SOURCE: "source",
    LimitOf.LANGUAGE: "language",
    LimitOf.AI_GENERATED: "made with AI",
    LimitOf.SPONSORED: "sponsored",
    LimitOf.AGE: "age",
}
RULE_WORDS = {LimitRule.AT_MOST: "At most", LimitRule.AT_LEAST: "At least"}


@pages.get(ADDRESS)
@desk_page(Role.ANALYST)
def show_front_page() -> Response:
    """Show what readers were shown, and the limits."""
    return _show()


@pages.get(f"{ADDRESS}/live")
@desk_page(Role.ANALYST)
def show_front_page_live() -> Response:
    """Return what readers were shown alone, which the page asks for every minute."""
    return render("desk/front_page_live.html", room="front_page", **_reading())


@pages.get(f"{ADDRESS}/price")
@desk_page(Role.ANALYST)
def show_limit_price() -> Response:
    """Return the price alone, which the page asks for while it is computed."""
    return render("desk/limit_price.html", room="front_page", **_price())


@pages.post(f"{ADDRESS}/limits")
@desk_page(Role.EDITOR)
def add_limit() -> Response:
    """Add a limit, or ask what it would cost; a limit that breaks a rule stays in its form."""
    services, form = current_services(), request.form.to_dict()
    limits = [*_stored(services).limits]
    try:
        limits.append(_limit_of(form))
        check_limits(limits)
    except InvalidInputError as error:
        field = error.field_name.rpartition(".")[2]
        if field.isdecimal():  # the fault is of the whole limit
            field = "limits"
        # the form asks for percent, the API for a share of one
        rule = error.rule.replace("at least 0 and under 1", "at least 0 and under 100 percent")
        other = _place_of(error.field_name)
        if other is not None and other < len(limits) - 1:  # the fault is named at the other limit
            field = "limits"
            rule = f"this contradicts the limit “{limits[other].sentence()}”"
        return _show(status=422, form=form, faults={field: f"{rule[:1].upper()}{rule[1:]}."})
    if form.get("do") == "price":
        return _start_price(services, limits)
    return _change(services, limits, f"Added: {limits[-1].sentence()}.")


@pages.post(f"{ADDRESS}/limits/remove")
@desk_page(Role.EDITOR)
def remove_limit() -> Response:
    """Remove the limit at a place in the list."""
    services = current_services()
    limits = [*_stored(services).limits]
    place = _whole(request.form.to_dict(), "place", 0)
    if not 0 <= place < len(limits):
        raise InvalidInputError("place", "must be that of a limit in the list")
    removed = limits.pop(place)
    return _change(services, limits, f"Removed: {removed.sentence()}.")


@pages.post(f"{ADDRESS}/price")
@desk_page(Role.EDITOR)
def ask_limit_price() -> Response:
    """Compute what the present limits cost."""
    services = current_services()
    return _start_price(services, [*_stored(services).limits])


def undo_limit_change(services: Services, entry: AuditEntry, by: str) -> AuditEntry:
    """Bring back the limits that an entry changed."""
    done = undo_limits(services.store, entry, by, services.clock())
    services.keeper.catch_up()
    return done


UNDOERS[LIMITS] = undo_limit_change


def _stored(services: Services) -> Editorial:
    return editorial_from_store(services.store.read_editorial())


def _change(services: Services, limits: list[Limit], text: str) -> Response:
    visitor: Visitor = g.visitor
    version = _whole(request.form.to_dict(), "version", 0)
    entry = change_limits(
        services.store, limits, version=version, by=visitor.name, now=services.clock()
    )
    services.keeper.catch_up()
    say(text, undo=entry)
    return redirect(ADDRESS, 303)  # type: ignore[return-value]


def _start_price(services: Services, limits: list[Limit]) -> Response:
    services.front_page.start_price(limits, services.ranking)
    say("The price is being computed from the recorded feeds of the last day.")
    return redirect(f"{ADDRESS}#price", 303)  # type: ignore[return-value]


def _show(
    *,
    status: int = 200,
    form: Mapping[str, str] | None = None,
    faults: Mapping[str, str] | None = None,
) -> Response:
    snapshot = current_services().keeper.current()
    editorial = snapshot.editorial if snapshot else Editorial()
    return render(
        "desk/front_page.html",
        room="front_page",
        status=status,
        limits=editorial.limits,
        version=editorial.versions.get(LIMITS, 0),
        hints=[hints_for_limits([limit], snapshot) for limit in editorial.limits],
        form=form or {},
        faults=faults or {},
        rules=[(rule.value, text) for rule, text in RULE_WORDS.items()],
        kinds=[(of.value, text) for of, text in OF_WORDS.items()],
        **_reading(),
        **_price(),
    )


def _reading() -> dict[str, Any]:
    """Return what the archive says, or why it says nothing."""
    asked = request.args.get("hours", "")
    hours = int(asked) if asked in {str(one) for one in HOURS} else HOURS[0]
    found, trouble = None, ""
    try:
        found = current_services().front_page.read(float(hours))
    except ArchiveError as error:
        trouble = f"{error}"
    return {
        "reading": found,
        "trouble": trouble,
        "hours": hours,
        "choices": HOURS,
        "properties": PROPERTIES,
        "ai_words": AI_WORDS,
        "states": {one["text"]: one for one in found["limits"]} if found else {},
    }


def _price() -> dict[str, Any]:
    state = current_services().front_page.price()
    priced = [limit_from_json(one).sentence() for one in state["limits"]] if state else []
    return {"price": state, "priced": priced}


def _limit_of(form: Mapping[str, str]) -> Limit:
    """Return the limit that a form describes; what does not apply to it is left out."""
    rule = _choice(form, "rule", LimitRule)
    of = _choice(form, "of", LimitOf)
    is_cap = rule is LimitRule.AT_MOST
    amount = _number(form, "amount")
    if not is_cap and amount != int(amount):
        raise InvalidInputError("amount", "must be a whole number of articles")
    return Limit(
        rule=rule,
        of=of,
        value=" ".join(form.get("value", "").split()),
        within=_whole(form, "within", 20),
        share=amount / 100 if is_cap else 0.0,
        count=0 if is_cap else int(amount),
        hours=_number(form, "hours") if of is LimitOf.AGE else 0.0,
    )


def _place_of(field_name: str) -> int | None:
    """Return the place of the limit that a fault is about, as in `limits.2.count`."""
    places = [int(part) for part in field_name.split(".") if part.isdecimal()]
    return places[0] if places else None


def _choice(form: Mapping[str, str], name: str, kind: Any) -> Any:
    try:
        return kind(form.get(name, ""))
    except ValueError:
        raise InvalidInputError(name, "must be one of those in the list") from None


def _number(form: Mapping[str, str], name: str) -> float:
    try:
        value = float(form.get(name, "").replace(",", "."))
    except ValueError:
        raise InvalidInputError(name, "must be a number") from None
    if not abs(value) < 1e9:  # also refuses what is not a number
        raise InvalidInputError(name, "must be a number")
    return value


def _whole(form: Mapping[str, str], name: str, default: int) -> int:
    text = form.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise InvalidInputError(name, "must be a whole number")
    return int(text)
