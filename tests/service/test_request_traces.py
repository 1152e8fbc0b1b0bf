"""Traces of requests: what is sent to a collector, and that nothing is done without one."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from click.testing import CliRunner
from loopback_server import LoopbackServer

from feed.cli import feed
from feed.config import Settings
from feed.domain import InvalidInputError
from feed.service.request_traces import TracedStopwatch, check_traces, open_traces
from feed.service.telemetry import Stopwatch
from tests.service.conftest import Site

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector(LoopbackServer):
    """An OTLP/HTTP receiver that keeps the bodies that it is sent."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.bodies: list[bytes] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        assert self.headers["Content-Type"] == "application/x-protobuf"
        self.server.bodies.append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.sdk")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with Collector.running() as running:
        yield running


@pytest.fixture
def traced(
    collector: Collector, make_site: Callable[[Settings], Site], settings: Settings
) -> Iterator[Site]:
    site = make_site(replace(settings, otlp_endpoint=collector.base))
    yield site
    assert site.services.traces is not None
    site.services.traces.close()


def received(site: Site, collector: Collector) -> tuple[dict[str, Any], list[Any]]:
    """Return the attributes of the resource, and all spans."""
    trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    assert site.services.traces is not None
    site.services.traces.flush()
    spans: list[Any] = []
    resource: dict[str, Any] = {}
    for body in collector.bodies:
        request = trace_service.ExportTraceServiceRequest.FromString(body)
        for part in request.resource_spans:
            resource = values_of(part.resource.attributes)
            spans += [span for scope in part.scope_spans for span in scope.spans]
    return resource, spans


def values_of(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def test_a_feed_becomes_one_span_with_one_for_each_stage(
    traced: Site, collector: Collector
) -> None:
    traced.publish(5)
    traced.feed("a-secret-reader")
    resource, spans = received(traced, collector)
    assert resource["service.name"] == "feed"
    assert resource["process.pid"]
    (root,) = [span for span in spans if span.name == "GET /v1/feed"]
    about = values_of(root.attributes)
    assert about["http.response.status_code"] == 200
    assert about["feed.rung"] == "without_model"
    stages = [span for span in spans if span.parent_span_id == root.span_id]
    names = {span.name for span in stages}
    assert {"queue", "store_read", "profile", "ranking", "presentation", "encoding"} <= names
    for span in stages:
        assert span.trace_id == root.trace_id
        assert root.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano
    starts = [span.start_time_unix_nano for span in stages]
    assert starts == sorted(starts)


def test_nothing_that_is_sent_says_who_reads_what(traced: Site, collector: Collector) -> None:
    traced.publish(1)
    traced.feed("a-secret-reader")
    traced.client.get("/v1/users/a-secret-reader/preferences")
    traced.client.get("/nowhere/a-secret-reader")
    _, spans = received(traced, collector)
    assert {"GET /v1/users/<id:user_id>/preferences", "GET none"} <= {s.name for s in spans}
    assert all(b"a-secret-reader" not in body for body in collector.bodies)
    assert all(b"127.0.0.1" not in body for body in collector.bodies)


def test_the_sampler_of_the_sdk_decides(
    collector: Collector,
    make_site: Callable[[Settings], Site],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    site = make_site(replace(settings, otlp_endpoint=collector.base))
    site.client.get("/healthz")
    assert received(site, collector)[1] == []
    assert site.services.traces is not None
    site.services.traces.close()


def test_a_trace_that_a_caller_began_goes_on(traced: Site, collector: Collector) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    traced.client.get("/healthz", headers=headers)
    traced.client.get("/healthz", headers={"traceparent": "nonsense"})
    _, spans = received(traced, collector)
    first, second = (span for span in spans if span.name == "GET /healthz")
    assert first.trace_id.hex() == TRACE
    assert first.parent_span_id.hex() == PARENT
    assert second.trace_id.hex() != TRACE
    assert not second.parent_span_id


def test_an_error_of_the_service_is_marked_and_a_made_up_method_is_not_named(
    traced: Site, collector: Collector
) -> None:
    traced.app.add_url_rule("/broken", view_func=lambda: 1 / 0)
    traced.client.get("/broken")
    traced.client.open("/healthz", method="MADEUP")
    _, spans = received(traced, collector)
    codes = {span.name: span.status.code for span in spans}
    assert codes == {"GET /broken": 2, "_OTHER none": 0}


def test_a_collector_that_is_away_disturbs_nobody(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    pytest.importorskip("opentelemetry.sdk")
    site = make_site(replace(settings, otlp_endpoint="http://127.0.0.1:9"))
    site.publish(2)
    assert site.feed()["items"]
    assert site.services.traces is not None
    site.services.traces.close()


def run_python(code: str) -> str:
    """Run code in a Python of its own; return what it prints."""
    head = (
        "import sys; from dataclasses import replace; from feed.config import Settings; "
        "from feed.service.request_traces import open_traces\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", head + code], capture_output=True, text=True, check=True, timeout=60
    )
    return ran.stdout.strip()


def test_without_the_setting_nothing_is_imported_and_nothing_recorded(site: Site) -> None:
    assert site.services.traces is None
    code = "print(open_traces(Settings()), [n for n in sys.modules if 'opentelemetry' in n])"
    assert run_python(code) == "None []"


def test_without_the_extra_the_setting_says_what_to_install() -> None:
    code = (
        "sys.modules['opentelemetry'] = None\n"
        "try: open_traces(replace(Settings(), otlp_endpoint='http://127.0.0.1:9'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    rule = "needs more packages: pip install 'feed[otlp]'"
    assert run_python(code) == f"InvalidInputError FEED_OTLP_ENDPOINT: {rule}"


def test_a_wrong_address_is_refused_with_the_settings_name() -> None:
    with pytest.raises(InvalidInputError) as refused:
        open_traces(replace(Settings(), otlp_endpoint="collector:4318"))
    assert refused.value.field_name == "FEED_OTLP_ENDPOINT"
    ran = CliRunner().invoke(feed, ["serve"], env={"FEED_OTLP_ENDPOINT": "collector:4318"})
    assert ran.exit_code == 2
    assert "FEED_OTLP_ENDPOINT: must begin with http:// or https://" in ran.output


def test_settings_that_are_right_are_accepted() -> None:
    check_traces(Settings())


def test_the_laps_of_a_traced_stopwatch_lie_one_after_another() -> None:
    ticks = iter([0.0, 1.0, 4.0, 5.0]).__next__
    watch = TracedStopwatch(ticks)
    watch.lap("read")
    watch.split({"candidates": 1.0, "scoring": 0.5})
    watch.lap("write")
    assert watch.laps == [
        ("read", 0.0, 1.0),
        ("candidates", 1.0, 2.0),
        ("scoring", 2.0, 2.5),
        ("ranking", 2.5, 4.0),
        ("write", 4.0, 5.0),
    ]
    plain = Stopwatch(iter([0.0, 1.0, 4.0, 5.0]).__next__)
    plain.lap("read")
    plain.split({"candidates": 1.0, "scoring": 0.5})
    plain.lap("write")
    assert plain.stages == watch.stages
