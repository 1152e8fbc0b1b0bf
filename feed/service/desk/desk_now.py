"""The room Now: what is going on, what is wrong, and what to do; 24 hours of it as charts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response

from feed.documents.views import render_chart
from feed.domain import Rung
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import ROOMS, desk_blueprint, render
from feed.service.desk.now_charts import DayChart, day_charts
from feed.service.desk.visitors import Role
from feed.service.health_alerts import AlertLevel, duration_text, share_text
from feed.service.services import current_services
from feed.service.status_report import StatusReport, rung_shares, status_numbers

pages = desk_blueprint("now")

RUNG_WORDS = {
    Rung.PERSONALIZED: "Personalised",
    Rung.WITHOUT_MODEL: "Without a model",
    Rung.TRENDING: "Trending",
    Rung.LATEST: "Newest",
    Rung.SNAPSHOT: "From memory",
}
LEVEL_WORDS = {
    AlertLevel.FAULT: "Fault",
    AlertLevel.WARNING: "Warning",
    AlertLevel.HINT: "To do",
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One number: what it is, its value in words, and a remark that may be empty."""

    name: str
    value: str
    remark: str = ""


@pages.get("/desk")
@pages.get("/desk/now")
@desk_page(Role.ANALYST)
def show_now() -> Response:
    """Show the present state and the last 24 hours."""
    report = current_services().status.report()
    return render("desk/now.html", room="now", **_live(report), **_day())


@pages.get("/desk/now/live")
@desk_page(Role.ANALYST)
def show_live() -> Response:
    """Return the present state alone, which the page asks for every few seconds."""
    return render("desk/now_live.html", room="now", **_live(current_services().status.report()))


@pages.get("/desk/now/day")
@desk_page(Role.ANALYST)
def show_day() -> Response:
    """Return the charts alone, which the page asks for every minute."""
    return render("desk/now_day.html", room="now", **_day())


def _live(report: StatusReport) -> dict[str, Any]:
    return {
        "report": report,
        "summary": summary_of(report),
        "tiles": tiles_of(report),
        "rungs": [
            (RUNG_WORDS[rung], share, share_text(share))
            for rung, share in rung_shares(report.present).items()
        ],
        "level_words": LEVEL_WORDS,
        "link_words": link_words,
    }


def _day() -> dict[str, Any]:
    charts: tuple[DayChart, ...] = day_charts(current_services().pulse_day.read())
    return {"charts": charts, "render_chart": render_chart}


def summary_of(report: StatusReport) -> str:
    """Return in one sentence how the installation is."""
    faults = sum(alert.level is AlertLevel.FAULT for alert in report.alerts)
    warnings = sum(alert.level is AlertLevel.WARNING for alert in report.alerts)
    if not faults and not warnings:
        return "Everything works."
    parts = [
        f"{count} {name}{'s' if count > 1 else ''}"
        for count, name in ((faults, "fault"), (warnings, "warning"))
        if count
    ]
    opening = "Something is wrong" if faults else "Something needs a look"
    return f"{opening}: {' and '.join(parts)}."


def link_words(page: str) -> str:
    """Return the text of a link to the page where something can be done."""
    room = next((room for room in ROOMS if room.path == page), None)
    return f"Go to {room.title}" if room else "Go to the experiment"


def tiles_of(report: StatusReport) -> list[Tile]:
    """Return the present numbers in words."""
    present, numbers = report.present, status_numbers(report.present)

    def said(name: str, write: Callable[[float], str], unknown: str = "not known") -> str:
        value = numbers[name]
        return unknown if value is None else write(value)

    leader = "" if present.leader else "no worker leads"
    limit = numbers["store_limit_bytes"]
    return [
        Tile("Feeds a second", said("feeds_per_second", _number), "in the last minute"),
        Tile(
            "Time of a feed",
            said("feed_p50_ms", lambda ms: f"{ms:.3g} ms", "no feeds"),
            said("feed_p99_ms", lambda ms: f"99 % within {ms:.3g} ms", "in the last five minutes"),
        ),
        Tile("Events a second", said("events_per_second", _number), "in the last minute"),
        Tile("Counting behind", said("counting_lag_s", duration_text), leader),
        Tile(
            "Archive behind",
            said("archive_lag_s", duration_text),
            said("stream_records", lambda n: f"{n:,.0f} records in the streams", ""),
        ),
        Tile(
            "Store memory",
            said("store_bytes", _bytes),
            f"of {_bytes(limit)}" if limit else "",
        ),
        Tile("Articles", f"{present.articles:,}", "can be shown"),
        Tile(
            "Model",
            said("model_age_days", _age, "none yet"),
            present.model.verdict and f"gate: {present.model.verdict}",
        ),
    ]


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _bytes(value: float) -> str:
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _age(days: float) -> str:
    return f"{24 * days:.0f} h old" if days < 2 else f"{days:.0f} days old"
