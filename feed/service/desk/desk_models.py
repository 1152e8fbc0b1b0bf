"""The room Models: versions, training runs, calibration and drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, g, redirect

from feed.catalogue.model_changes import (
    SUBJECT,
    make_live,
    roll_back,
    start_training,
    undo_model_change,
)
from feed.documents.charts import Axis, LineChart, Point, Series
from feed.documents.views import render_chart
from feed.domain import InvalidInputError, NotFoundError, parse_time
from feed.models.schema import FEATURES
from feed.models.training_runs import list_runs, read_log
from feed.service.account_words import SOURCE_WORDS
from feed.service.child_environment import environment_of_child
from feed.service.desk.desk_access import desk_page
from feed.service.desk.desk_shell import desk_blueprint, render, say
from feed.service.desk.undo import ADMIN_ONLY, UNDOERS
from feed.service.desk.visitors import Role, Visitor
from feed.service.services import Services, current_services
from feed.storage.records import AuditEntry

pages = desk_blueprint("models")
ADDRESS = "/desk/models"
SHOWN_RUNS = 10
OUTDATED_S = 60.0
"""Age from which the page says how old its list of versions is."""
IMPORTANT = 20
"""Features of a model that its page lists."""
KIND_OF_OUTCOME = {
    "running": "calm",
    "published": "good",
    "refused": "warn",
    "failed": "bad",
    "interrupted": "bad",
}
_DOCS = {feature.name: feature.doc for feature in FEATURES}


@dataclass(frozen=True, slots=True)
class Importance:
    """One feature of a learned ranker: its share of the gain, and that over the greatest."""

    name: str
    text: str
    share: float
    bar: float


@pages.get(ADDRESS)
@desk_page(Role.ANALYST)
def show_models() -> Response:
    """Show the versions and the training runs."""
    services = current_services()
    known = services.known_models
    live = next((one for one in known.models if one["live"]), None)
    return render(
        "desk/models.html",
        room="models",
        versions=known.models,
        as_of=known.at,
        is_outdated=services.clock() - known.at > OUTDATED_S,
        live=live,
        serving=services.snapshot.model_version,
        earlier=known.earlier,
        verdict=verdict_text,
        created_at=created_at,
        window_of=window_of,
        **_runs(services),
    )


@pages.get(f"{ADDRESS}/runs")
@desk_page(Role.ANALYST)
def show_runs() -> Response:
    """Return the training runs alone, which the page asks for every few seconds."""
    return render("desk/models_runs.html", room="models", **_runs(current_services()))


@pages.get(f"{ADDRESS}/runs/<run_id>")
@desk_page(Role.ANALYST)
def show_run(run_id: str) -> Response:
    """Show one training run with its log."""
    models_dir = current_services().models_dir
    log = read_log(models_dir, run_id)
    run = next(run for run in list_runs(models_dir) if run.id == run_id)
    return render("desk/models_run.html", room="models", run=run, log=log, kinds=KIND_OF_OUTCOME)


@pages.get(f"{ADDRESS}/versions/<version>")
@desk_page(Role.ANALYST)
def show_version(version: str) -> Response:
    """Show everything that is known of one version."""
    services = current_services()
    found = next((m for m in services.known_models.models if m["version"] == version), None)
    if found is None:
        raise NotFoundError(f"there is no model version {version}")
    held_out = found.get("held_out") or {}
    bins = held_out.get("calibration") or []
    sources = held_out.get("sources") or {}
    return render(
        "desk/models_version.html",
        room="models",
        model=found,
        verdict=verdict_text,
        created_at=created_at,
        held_out=held_out,
        importance={
            head: important(shares) for head, shares in (found.get("importance") or {}).items()
        },
        source_words=SOURCE_WORDS,
        sources=sorted(sources.items(), key=lambda one: -one[1]["recall"]),
        bins=bins,
        chart=render_chart(calibration_chart(bins)) if bins else None,
        may_act=_may_act(),
    )


@pages.get(f"{ADDRESS}/drift")
@desk_page(Role.ANALYST)
def show_drift() -> Response:
    """Measure drift and show it."""
    services = current_services()
    snapshot = services.snapshot
    return render(
        "desk/models_drift.html",
        room="models",
        report=services.drift.measure(snapshot),
        version=snapshot.model_version,
    )


@pages.post(f"{ADDRESS}/versions/<version>/live")
@desk_page(Role.ADMIN)
def publish_version(version: str) -> Response:
    """Make a version the live one."""
    services, visitor = current_services(), g.visitor
    entry = make_live(
        services.store,
        services.registry,
        version,
        now=services.clock(),
        by=visitor.name,
        action="made live",
    )
    return _said(services, f"{version} is live.", entry)


@pages.post(f"{ADDRESS}/rollback")
@desk_page(Role.ADMIN)
def roll_model_back() -> Response:
    """Make the version live that was live before."""
    services, visitor = current_services(), g.visitor
    now = services.clock()
    entry = roll_back(services.store, services.registry, now=now, by=visitor.name)
    return _said(services, f"{(entry.after or {})['live']} is live again.", entry)


@pages.post(f"{ADDRESS}/runs")
@desk_page(Role.ADMIN)
def begin_run() -> Response:
    """Start a training run in a process of its own."""
    services = current_services()
    visitor: Visitor = g.visitor
    environment = environment_of_child(services.settings)
    start_training(
        services.store,
        services.settings.data_dir,
        environment,
        now=services.clock(),
        by=visitor.name,
    )
    say("Training has started. It goes on when you leave this page.")
    return redirect(ADDRESS, 303)  # type: ignore[return-value]


def verdict_text(gate: Mapping[str, Any]) -> str:
    """Return the gate's verdict on a version in a sentence."""
    if not gate:
        return "The gate did not judge it."
    word = "forced" if gate.get("forced") else gate["verdict"]
    text = f"{word.capitalize()}: {gate['reason']}"
    mean, other = (gate[name]["mean"] for name in ("candidate", "other"))
    if mean is None or other is None:
        return f"{text}."
    text = f"{text} ({gate['metric']}: {mean:.4f}, against {other:.4f} for {gate['against']})."
    rival = gate.get("rival") or {}  # earlier versions did not measure one
    if rival.get("mean") is None:
        return text
    return f"{text} Clicks and age alone, without any model, reach {rival['mean']:.4f}."


def created_at(model: Mapping[str, Any]) -> float:
    """Return when a version was made, epoch seconds; 0 if that is not known."""
    try:
        return parse_time("created_at", str(model.get("created_at", "")))
    except InvalidInputError:
        return 0.0


def window_of(model: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return from when to when a version learnt, epoch seconds; None if that is not known."""
    try:
        start, end = (parse_time("window", str(text)) for text in model["window"])
    except (KeyError, TypeError, ValueError, InvalidInputError):
        return None
    return start, end


def important(shares: Mapping[str, float]) -> list[Importance]:
    """Return the features of a head with their shares of the gain, the greatest first."""
    first = sorted(shares.items(), key=lambda one: -one[1])[:IMPORTANT]
    greatest = max((share for _, share in first), default=1.0)
    return [Importance(n, _DOCS.get(n, ""), share, share / greatest) for n, share in first]


def calibration_chart(bins: Sequence[Mapping[str, float]]) -> LineChart:
    """Return the chart of what the ranker foretold (x) against what was clicked (y)."""
    top = max(max(one["foretold"], one["high"]) for one in bins) * 1.05
    digits = 0 if top > 0.1 else 1
    axis = Axis(0.0, top, lambda value: f"{100 * value:.{digits}f} %", most=5)
    points = tuple(Point(one["foretold"], one["observed"], one["low"], one["high"]) for one in bins)
    return LineChart(
        x=Axis(0.0, top, axis.write, most=5, title="click probability that the ranker predicted"),
        y=axis,
        series=(
            Series((Point(0.0, 0.0), Point(top, top)), "muted", joined=True),
            Series(points, "blue", mark="circle", whisker=0.8),
        ),
        height=320,
    )


def _runs(services: Services) -> dict[str, Any]:
    runs = list_runs(services.models_dir)[:SHOWN_RUNS]
    return {
        "runs": runs,
        "kinds": KIND_OF_OUTCOME,
        "is_training": any(run.outcome == "running" for run in runs),
        "may_act": _may_act(),
    }


def _may_act() -> bool:
    visitor: Visitor = g.visitor
    return visitor.may(Role.ADMIN)


def _said(services: Services, text: str, entry: AuditEntry) -> Response:
    services.keeper.wake()
    say(f"{text} Every web process serves it within a second.", undo=entry)
    return redirect(ADDRESS, 303)  # type: ignore[return-value]


def undo_models(services: Services, entry: AuditEntry, by: str) -> AuditEntry:
    """Make the version live again that was live before an entry."""
    now = services.clock()
    done = undo_model_change(services.store, services.registry, entry, now=now, by=by)
    services.keeper.wake()
    return done


UNDOERS[SUBJECT] = undo_models
ADMIN_ONLY.add(SUBJECT)
