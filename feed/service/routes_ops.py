"""Routes for monitoring, and the service's own pages."""

from __future__ import annotations

from pathlib import Path

import orjson
from apiflask import APIBlueprint
from flask import Response, current_app, send_file
from markupsafe import escape
from prometheus_client import CONTENT_TYPE_LATEST

from feed.domain import StoreUnavailableError
from feed.service.answers import HealthOut, ReadyOut
from feed.service.credentials import Scope
from feed.service.docs_page import CONTENT_POLICY, render_docs
from feed.service.operations import json_response, operation
from feed.service.services import current_services
from feed.service.status_answers import StatusOut
from feed.service.status_metrics import render_status_metrics
from feed.service.status_report import status_to_json
from feed.service.telemetry import render_metrics

SITE_DIR = Path(__file__).parents[1] / "site"

routes = APIBlueprint("operations", __name__, tag="Operations")
pages = APIBlueprint("pages", __name__, enable_openapi=False)


@routes.get("/healthz")
@routes.output(HealthOut)
@operation(Scope.PUBLIC, queued=False)
def healthz() -> Response:
    """Say that this process is alive; /readyz says whether it can serve feeds."""
    return json_response(b'{"status":"ok"}')


@routes.get("/readyz")
@routes.output(ReadyOut)
@operation(Scope.PUBLIC, queued=False, problems=(503,))
def readyz() -> Response:
    """Say whether this process can serve feeds, and whether the store answers.

    A process with a snapshot is ready even while the store is not available, because it continues
    to serve feeds. If it were not, a load balancer would remove every process and leave readers
    with nothing.
    """
    services = current_services()
    snapshot = services.keeper.current()
    if snapshot is None:
        raise StoreUnavailableError("no snapshot of the catalogue yet")
    try:
        services.store.ping()
    except StoreUnavailableError:
        store_answers = False
    else:
        store_answers = True
    answer = {
        "status": "ready",
        "store": store_answers,
        "articles": int(snapshot.live_articles),
        "model_version": snapshot.model_version,
        "snapshot_age_s": round(max(0.0, services.clock() - snapshot.taken_at), 3),
    }
    return json_response(orjson.dumps(answer))


@routes.get("/v1/status")
@routes.output(StatusOut)
@operation(Scope.READ, queued=False)
def get_status() -> Response:
    """Return the present state of the installation, and what is wrong with it.

    The numbers are those of all processes on all machines. While the store is away, they are
    those of the web process that answers.
    """
    return json_response(orjson.dumps(status_to_json(current_services().status.report())))


@routes.get("/metrics")
@operation(
    Scope.METRICS,
    queued=False,
    answers=[(200, "text/plain", "Prometheus metrics of all processes")],
)
def metrics() -> Response:
    """Return metrics for Prometheus: of this machine's processes, and of the installation."""
    of_installation = render_status_metrics(current_services().status.report())
    return Response(render_metrics() + of_installation, content_type=CONTENT_TYPE_LATEST)


@pages.get("/docs")
def docs() -> Response:
    """Show the API documentation."""
    response = Response(render_docs(current_app.spec), mimetype="text/html")  # type: ignore[attr-defined]
    response.headers["Content-Security-Policy"] = CONTENT_POLICY
    return response


@pages.get("/")
def index() -> Response:
    """Show a reader's feed; the page contains the site key, which is public."""
    page, key = (SITE_DIR / "index.html").read_text(), current_services().settings.site_key
    meta = f'<meta name="feed-site-key" content="{escape(key)}">'
    response = Response(page.replace("</head>", f"  {meta}\n</head>", 1), mimetype="text/html")
    response.headers["Cache-Control"] = "no-cache"
    return response


@pages.get("/demo/readers.json")
def demo_readers() -> Response:
    """Return the readers that the demo has loaded; empty without a demo."""
    path = current_services().settings.data_dir / "demo" / "readers.json"
    if not path.is_file():
        return json_response(b"[]")
    return send_file(path.resolve(), mimetype="application/json", max_age=0)
