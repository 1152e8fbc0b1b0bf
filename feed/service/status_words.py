"""The present state in words, made from what `GET /v1/status` answers: for page and terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from feed.domain import Rung
from feed.service.health_alerts import duration_text, share_text

RUNG_WORDS = {
    Rung.PERSONALIZED: "Personalised",
    Rung.WITHOUT_MODEL: "Without a model",
    Rung.TRENDING: "Trending",
    Rung.LATEST: "Newest",
    Rung.SNAPSHOT: "From memory",
}
LEVEL_WORDS = {"fault": "Fault", "warning": "Warning", "hint": "To do"}


@dataclass(frozen=True, slots=True)
class StatusTile:
    """One number: what it is, its value in words, and a remark that may be empty."""

    name: str
    value: str
    remark: str = ""


def summary_of(status: Mapping[str, Any]) -> str:
    """Return in one sentence how the installation is."""
    levels = [alert["level"] for alert in status["alerts"]]
    faults, warnings = levels.count("fault"), levels.count("warning")
    if not faults and not warnings:
        return "Everything works."
    parts = [
        f"{count} {name}{'s' if count > 1 else ''}"
        for count, name in ((faults, "fault"), (warnings, "warning"))
        if count
    ]
    opening = "Something is wrong" if faults else "Something needs attention"
    return f"{opening}: {' and '.join(parts)}."


def tiles_of(status: Mapping[str, Any]) -> list[StatusTile]:
    """Return the present numbers in words."""
    numbers = status["numbers"]

    def said(name: str, write: Callable[[float], str], unknown: str = "not known") -> str:
        value = numbers[name]
        return unknown if value is None else write(value)

    model = status["model"]
    verdict = _verdict(model["verdict"]) if model["verdict"] else ""
    return [
        StatusTile("Feeds a second", said("feeds_per_second", _number), "in the last minute"),
        StatusTile(
            "Time to make a feed",
            said("feed_p50_ms", lambda ms: f"{ms:.3g} ms", "no feeds"),
            said("feed_p99_ms", lambda ms: f"99 % within {ms:.3g} ms", "in the last five minutes"),
        ),
        StatusTile("Events a second", said("events_per_second", _number), "in the last minute"),
        StatusTile(
            "Counting lag",
            said("counting_lag_s", duration_text),
            "" if status["worker"] else "no worker leads",
        ),
        StatusTile(
            "Archive lag",
            said("archive_lag_s", duration_text),
            said("stream_records", lambda n: f"{n:,.0f} records in the streams", ""),
        ),
        StatusTile(
            "Store memory",
            said("store_bytes", _bytes),
            said("store_limit_bytes", lambda n: f"of {_bytes(n)}", ""),
        ),
        StatusTile("Articles", f"{status['articles']:,}", "that can be shown"),
        StatusTile(
            "Model",
            said("model_age_days", _age, _unknown_age(model["version"])),
            f"published against the gate: {model['verdict']}" if model["forced"] else verdict,
        ),
        *_encoding_tile(status.get("encoding")),  # a service of an earlier version says nothing
    ]


def _encoding_tile(run: Mapping[str, Any] | None) -> list[StatusTile]:
    if run is None or run["state"] == "over":
        return []
    since = f"{run['encoder']}, since {run['began_at'][:16].replace('T', ' ')} UTC"
    value = f"{run['done']:,} of {run['total']:,}"
    return [StatusTile("Articles encoded anew", value, f"{run['state']}: {since}")]


def rungs_of(status: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """Return where feeds came from: name, share, and the share in words."""
    return [
        (RUNG_WORDS[Rung(name)], share, share_text(share))
        for name, share in status["rungs"].items()
    ]


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _bytes(value: float) -> str:
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _age(days: float) -> str:
    if days < 1 / 24:
        return f"{24 * 60 * days:.0f} min old"
    return f"{24 * days:.0f} h old" if days < 2 else f"{days:.0f} days old"


def _verdict(text: str) -> str:
    """Return what the gate said: "passed: not worse than ..." becomes "gate passed: ..."."""
    return f"gate {text}" if text.startswith(("passed", "refused")) else f"gate: {text}"


def _unknown_age(version: str) -> str:
    return "none yet" if version == "none" else version
