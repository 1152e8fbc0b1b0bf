"""What the room Now and `GET /v1/status` say: the present numbers, and the alerts."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from feed.config import DAY_S
from feed.domain import Rung, format_time
from feed.service.health_alerts import HealthAlert
from feed.service.health_checks import find_alerts
from feed.service.present_state import Present, PresentReader
from feed.storage.pulse_series import ERRORS, EVENTS, REFUSED, REQUESTS, RUNGS


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The present state with its alerts, the worst first."""

    present: Present
    alerts: tuple[HealthAlert, ...]


class StatusDesk:
    """Makes reports, and remembers which alerts there were, so that they do not come and go.

    Args:
        reader: of the present state.
    """

    def __init__(self, reader: PresentReader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._kinds: frozenset[str] = frozenset()

    def report(self) -> StatusReport:
        """Return the present report."""
        present = self._reader.read()
        with self._lock:
            alerts = find_alerts(present, self._kinds)
            self._kinds = frozenset(alert.kind for alert in alerts)
        return StatusReport(present, alerts)


def status_numbers(present: Present) -> dict[str, float | None]:
    """Return the present numbers by name; None where nothing is known.

    Rates are those of the last whole minute; the time that feeds took, in milliseconds, is that
    of the last five minutes; lags are in seconds.
    """
    minute, recent = present.recent.window(6, 1), present.recent
    fresh = recent.window(3)
    return {
        "feeds_per_second": round(minute.rate(*RUNGS), 3),
        "events_per_second": round(minute.rate(EVENTS), 3),
        "requests_per_second": round(minute.rate(REQUESTS), 3),
        "refused_per_second": round(minute.rate(REFUSED), 3),
        "errors_per_second": round(minute.rate(ERRORS), 3),
        "feed_p50_ms": _rounded(recent.percentile(0.5)),
        "feed_p99_ms": _rounded(recent.percentile(0.99)),
        "counting_lag_s": _rounded(fresh.latest("counting_lag_s")),
        "archive_lag_s": _rounded(fresh.latest("archive_lag_s")),
        "stream_records": fresh.latest("stream_records"),
        "waiting_events": fresh.latest("waiting_events"),
        "unencoded_articles": fresh.latest("unencoded_articles"),
        "store_bytes": fresh.latest("store_bytes"),
        "store_limit_bytes": fresh.latest("store_limit_bytes"),
        "disk_used_share": fresh.latest("disk_used_share"),
        "snapshot_age_s": _rounded(fresh.latest("snapshot_age_s")),
        "model_age_days": _model_age_days(present),
    }


def rung_shares(present: Present) -> Mapping[Rung, float]:
    """Return the share of each rung in the feeds of the last five minutes; empty without feeds."""
    counts = {rung: present.recent.total(f"rung_{rung.value}") for rung in Rung}
    total = sum(counts.values())
    return {rung: count / total for rung, count in counts.items()} if total else {}


def status_to_json(report: StatusReport) -> dict[str, Any]:
    """Return a report as `GET /v1/status` answers it."""
    present = report.present
    model = present.model
    return {
        "at": format_time(present.at),
        "store": present.store_answers,
        "worker": present.leader,
        "articles": present.articles,
        "model": {
            "version": model.version,
            "trained_at": None if model.trained_at is None else format_time(model.trained_at),
            "verdict": model.verdict,
            "forced": model.forced,
        },
        "numbers": status_numbers(present),
        "rungs": {rung.value: round(share, 4) for rung, share in rung_shares(present).items()},
        "sources": present.sources,
        "encoding": _encoding_to_json(present),
        "alerts": [{**asdict(alert), "level": alert.level.name.lower()} for alert in report.alerts],
    }


def _encoding_to_json(present: Present) -> dict[str, Any] | None:
    run = present.encoding
    if run is None:
        return None
    state = "over" if run.is_over else "stalled" if present.encoding_stalled else "running"
    return {
        "encoder": run.encoder,
        "began_at": format_time(run.began_at),
        "at": format_time(run.at),
        "done": run.done,
        "total": run.total,
        "state": state,
    }


def _model_age_days(present: Present) -> float | None:
    trained_at = present.model.trained_at
    return None if trained_at is None else round((present.at - trained_at) / DAY_S, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
