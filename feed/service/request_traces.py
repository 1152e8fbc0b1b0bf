"""Traces of requests: what is measured for them, and whether they are wanted."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.service.telemetry import Stopwatch

SETTING = "FEED_OTLP_ENDPOINT"
_EXPORT = "feed.service.otlp_export"


class TracedStopwatch(Stopwatch):
    """A stopwatch that also remembers when each lap began and ended.

    Attributes:
        laps: Stage, begin and end of each lap, in seconds of the stopwatch's clock.
    """

    __slots__ = ("laps",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.laps: list[tuple[str, float, float]] = []

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to a stage."""
        begin = self._last
        super().lap(stage)
        self.laps.append((stage, begin, self._last))

    def split(self, stages: Mapping[str, float]) -> None:
        """Add times that were measured elsewhere, one after another; the rest is `ranking`."""
        begin = self._last
        super().split(stages)
        for stage, seconds in stages.items():
            self.laps.append((stage, begin, begin + seconds))
            begin += seconds
        if begin < self._last:
            self.laps.append(("ranking", begin, self._last))

    def span(self) -> tuple[float, float]:
        """Return when the request began, and the present time."""
        return self._started, self._clock()


class RequestTraces(Protocol):
    """Takes the traces of answered requests."""

    def record(
        self,
        watch: TracedStopwatch,
        *,
        route: str,
        method: str,
        status: int,
        request_id: str,
        traceparent: str,
    ) -> None:
        """Take one answered request; the sending is done by a thread.

        Args:
            watch: what was measured.
            route: the rule of the route, which holds no reader's id.
            method: of HTTP.
            status: of the answer.
            request_id: as the answer names it.
            traceparent: header of the request, by which a caller's trace goes on; may be empty.
        """

    def flush(self) -> None:
        """Send what waits."""

    def close(self) -> None:
        """Send what waits, and end the thread."""


def open_traces(settings: Settings) -> RequestTraces | None:
    """Return where traces are sent, None if they are not wanted.

    OpenTelemetry is imported only if they are. Call it in the process that serves, after any fork.

    Raises:
        InvalidInputError: the address is none, or the extra is not installed.
    """
    if not settings.otlp_endpoint:
        return None
    if not settings.otlp_endpoint.startswith(("http://", "https://")):
        raise InvalidInputError(SETTING, "must begin with http:// or https://")
    export = importlib.import_module(_EXPORT)
    if export.MISSING:
        raise InvalidInputError(SETTING, "needs more packages: pip install 'feed[otlp]'")
    traces: RequestTraces = export.OtlpTraces(settings.otlp_endpoint)
    return traces


def check_traces(settings: Settings) -> None:
    """Refuse settings with which no traces can be sent.

    Raises:
        InvalidInputError: as `open_traces`.
    """
    traces = open_traces(settings)
    if traces is not None:
        traces.close()
