"""Sends traces by OTLP over HTTP: the only module that knows OpenTelemetry.

It is imported only where `FEED_OTLP_ENDPOINT` is set.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from importlib.metadata import version
from typing import Any

import structlog

from feed.service.request_traces import TracedStopwatch
from feed.service.telemetry import METHODS

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import Decision
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import (
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
        get_current_span,
    )
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    MISSING = False
except ImportError:  # the extra `otlp` is not installed
    MISSING = True

EXPORT_TIMEOUT_S = 5.0
"""How long one sending may take; a collector that is away must not delay the end of a process."""

log = structlog.get_logger("feed.traces")


class OtlpTraces:
    """Makes one span for each request and one for each lap, and sends them in batches.

    The SDK's own variables apply too, such as `OTEL_TRACES_SAMPLER` and
    `OTEL_RESOURCE_ATTRIBUTES`.

    Args:
        endpoint: address of the collector, such as `http://127.0.0.1:4318`.
    """

    def __init__(self, endpoint: str) -> None:
        own: dict[str, str | int] = {
            "service.name": "feed",
            "service.version": version("feed"),
            "service.instance.id": f"{socket.gethostname()}.{os.getpid()}",
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
        }
        _log_as_json()
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S
        )
        self._provider = TracerProvider(resource=Resource.create(own))
        self._processor = BatchSpanProcessor(exporter)
        self._provider.add_span_processor(self._processor)
        self._propagator = TraceContextTextMapPropagator()
        self._scope = InstrumentationScope("feed", version("feed"))

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
        """Make the spans of one answered request; no attribute says who reads what.

        The spans are finished when they are made, which takes a tenth of the time that the tracer
        needs to begin and end them.
        """
        known_method = method if method in METHODS else "_OTHER"
        name = f"{known_method} {route}"
        before = self._propagator.extract({"traceparent": traceparent})
        parent = get_current_span(before).get_span_context()
        ids = self._provider.id_generator
        trace_id = parent.trace_id if parent.is_valid else ids.generate_trace_id()
        sampled = self._provider.sampler.should_sample(before, trace_id, name, SpanKind.SERVER)
        if sampled.decision != Decision.RECORD_AND_SAMPLE:
            return
        began, now = watch.span()
        now_ns = time.time_ns()
        flags = TraceFlags(TraceFlags.SAMPLED)

        def finish(name: str, context: SpanContext, begin: float, end: float, **more: Any) -> None:
            self._processor.on_end(
                ReadableSpan(
                    name,
                    context,
                    resource=self._provider.resource,
                    instrumentation_scope=self._scope,
                    start_time=now_ns - round((now - begin) * 1e9),
                    end_time=now_ns - round((now - end) * 1e9),
                    **more,
                )
            )

        root = SpanContext(trace_id, ids.generate_span_id(), is_remote=False, trace_flags=flags)
        for stage, begin, end in watch.laps:
            own = SpanContext(trace_id, ids.generate_span_id(), is_remote=False, trace_flags=flags)
            finish(stage, own, begin, end, parent=root)
        about = {
            "http.request.method": known_method,
            "http.route": route,
            "http.response.status_code": status,
            "feed.request_id": request_id,
            **({"feed.rung": watch.rung} if watch.rung else {}),
            **({"feed.events": watch.events} if watch.events else {}),
        }
        finish(
            name,
            root,
            began,
            now,
            parent=parent if parent.is_valid else None,
            kind=SpanKind.SERVER,
            attributes=about,
            status=Status(StatusCode.ERROR if status >= 500 else StatusCode.UNSET),
        )

    def flush(self) -> None:
        """Send what waits."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what waits, and end the thread."""
        self._provider.shutdown()


class _JsonHandler(logging.Handler):
    """Gives what OpenTelemetry logs to the log of the service."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("traces_not_sent", reason=record.getMessage())


def _log_as_json() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers = [_JsonHandler(logging.WARNING)]
    logger.propagate = False
