"""The room Now: what is going on, what is wrong, and what to do; 24 hours of it as charts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Response
from markupsafe import Markup

from feed.documents.views import render_chart
from feed.domain import parse_time
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import ROOMS, desk_blueprint, render, show_trouble
from feed.service.desk.now_charts import DayChart, day_charts
from feed.service.desk.visitors import Role
from feed.service.services import current_services
from feed.service.status_report import status_to_json
from feed.service.status_words import LEVEL_WORDS, rungs_of, summary_of, tiles_of
from feed.storage.pulse_series import PulseSeries
from feed.zones import read_zone

pages = desk_blueprint("now")


@pages.get("/desk")
@pages.get("/desk/now")
@desk_page(Role.ANALYST)
def show_now() -> Response:
    """Show the present state and the last 24 hours."""
    return render("desk/now.html", room="now", **_live(), **_day())


@pages.get("/desk/now/live")
@desk_page(Role.ANALYST)
def show_live() -> Response:
    """Return the present state alone, which the page asks for every few seconds."""
    return render("desk/now_live.html", room="now", **_live())


@pages.get("/desk/now/day")
@desk_page(Role.ANALYST)
def show_day() -> Response:
    """Return the charts alone, which the page asks for every minute."""
    return render("desk/now_day.html", room="now", **_day())


@pages.get("/desk/<path:address>")
@desk_page(Role.ANALYST)
def show_nothing(address: str) -> Response:  # noqa: ARG001 - whatever it is
    """Say that an address below the desk leads nowhere."""
    return show_trouble(404, "The desk has no page at this address.")


def _live() -> dict[str, Any]:
    status = status_to_json(current_services().status.report())
    return {
        "state": status,
        "summary": summary_of(status),
        "tiles": tiles_of(status),
        "rungs": rungs_of(status),
        "level_words": LEVEL_WORDS,
        "link_words": link_words,
        "at": parse_time("at", status["at"]),
    }


def _day() -> dict[str, Any]:
    services = current_services()
    return {"charts": _drawn(services.pulse_day.read(), services.settings.time_zone)}


@lru_cache(maxsize=1)
def _drawn(day: PulseSeries, zone: str) -> tuple[tuple[DayChart, Markup], ...]:
    """Return the charts and their drawings; those who look at the same day share them."""
    charts = day_charts(day, read_zone(zone))
    return tuple((chart, render_chart(chart.drawing)) for chart in charts)


def link_words(page: str) -> str:
    """Return the text of a link to the page where something can be done."""
    room = next((room for room in ROOMS if room.path == page), None)
    return f"Go to {room.title}" if room else "Go to the experiment"
