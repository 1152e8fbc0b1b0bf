"""The web application: joins all parts, and does what is common to all requests."""

from __future__ import annotations

import atexit
import gc
import importlib
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import Any

from apiflask import APIFlask
from flask import Request, Response, g, request
from numpy.random import default_rng
from werkzeug.routing import MapAdapter

from feed.catalogue.article_service import ArticleService
from feed.catalogue.encoder_choice import open_encoder
from feed.config import Settings
from feed.domain import ID_PATTERN, StoreUnavailableError
from feed.environment import settings_from_environment
from feed.models.ranker import LIBRARY
from feed.service import (
    experiments_pages,
    routes_access,
    routes_accounts,
    routes_articles,
    routes_control,
    routes_experiments,
    routes_feed,
    routes_limits,
    routes_models,
    routes_ops,
    routes_plan,
    routes_reports,
    routes_settings,
    routes_sources,
    routes_users,
)
from feed.service.access import AccessControl
from feed.service.addresses import TrustedProxies, is_loopback_name, parse_networks
from feed.service.admission import AdmissionQueue, Turn
from feed.service.cards import CardCache
from feed.service.cors import CrossOrigin
from feed.service.credentials import TRUSTED
from feed.service.desk.desk_access import TOKEN_HEADER, api_caller
from feed.service.desk.provider import IdentityProvider
from feed.service.desk.rooms import DESK_PAGES
from feed.service.desk.visitors import SESSION_SECRET, DeskSessions
from feed.service.drift import DriftDesk
from feed.service.early_refusal import EarlyRefusal
from feed.service.feed_service import FeedService
from feed.service.front_page_desk import FrontPageDesk
from feed.service.logs import configure_logging
from feed.service.networks import NetworkNames
from feed.service.object_follower import ObjectFollower
from feed.service.operations import (
    DESCRIPTION,
    IdConverter,
    Operation,
    complete_openapi,
    mark_slashes,
    operation_of,
)
from feed.service.plans import PlanDesk, read_in_process
from feed.service.plugin_guard import guard_plugins
from feed.service.present_state import PresentReader
from feed.service.previews import PreviewDesk
from feed.service.problems import ProblemError, register_problems
from feed.service.pulse import Pulse
from feed.service.pulse_day import PulseDay
from feed.service.request_replay import RecordedRequests, RequestReplay
from feed.service.request_traces import TracedStopwatch, open_traces
from feed.service.services import Services
from feed.service.setting_checks import check_service_settings
from feed.service.snapshot import SnapshotKeeper
from feed.service.status_report import StatusDesk
from feed.service.telemetry import Stopwatch, count_request
from feed.sources.directory import SourceDirectory
from feed.storage.redis_store import RedisStore
from feed.storage.working_copy import prepare_data_dir

RUNNING = 2
WAITING = 48
SPARE = 6
SITE_DIR = Path(__file__).parents[1] / "site"
STORE_REST_S = 0.5
STORE_PATIENCE_S = 30.0

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' https: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}.items()


class _Application(APIFlask):
    """Flask that tells a slash in an id from one of a route.

    It does not check, at every request, whether each view and hook is a coroutine.
    """

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the route of a request; see `mark_slashes`."""
        adapter = super().create_url_adapter(request)
        if request is not None and adapter is not None:
            sent = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or ""
            adapter.path_info = mark_slashes(adapter.path_info, sent)
        return adapter

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function unchanged, because no view and no hook is a coroutine."""
        return func


_loaded: list[tuple[Settings, SnapshotKeeper]] = []


def load() -> None:
    """Read everything that is served from, before the web processes are forked from this one.

    They share the memory of what was read, and each of them reads only what has changed since. What
    a first model needs is imported, too, so that it holds no feed up when it comes. No
    thread and no connection may be left here: neither survives a fork.

    Raises:
        InvalidInputError: a setting with which nothing can be served.
    """
    settings = settings_from_environment()
    check_service_settings(settings)
    configure_logging(settings)
    prepare_data_dir(settings)
    importlib.import_module(LIBRARY)
    await_store(settings)
    ObjectFollower(settings).pull()
    store = RedisStore(settings, rest_s=STORE_REST_S)
    keeper = SnapshotKeeper(settings, store, CardCache(store), time.time)
    keeper.catch_up()
    store.close()
    _loaded.append((settings, keeper))


def application() -> APIFlask:
    """Return the application of this process, with settings from the environment, for gunicorn."""
    if not _loaded:
        load()
    settings, keeper = _loaded.pop()
    app = create_app(settings, keeper.store, keeper=keeper)
    keeper.outdate()
    objects = ObjectFollower(settings)
    objects.pull()
    keeper.catch_up()
    gc.collect()
    gc.freeze()  # what exists now stays; to collect it again and again would delay requests
    atexit.register(gc.unfreeze)
    gc.set_threshold(20_000, 20, 20)
    keeper.start()
    objects.start()
    app.extensions["feed"].pulse.start()
    return app


def await_store(settings: Settings, patience_s: float = STORE_PATIENCE_S) -> None:
    """Wait, at most `patience_s`, until a store that was just started has loaded its data."""
    store = RedisStore(settings)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            store.ping()
            break
        except StoreUnavailableError:
            time.sleep(0.02)
    store.close()


def create_app(
    settings: Settings,
    store: RedisStore,
    clock: Callable[[], float] = time.time,
    *,
    seed: int | None = None,
    keeper: SnapshotKeeper | None = None,
) -> APIFlask:
    """Return an application on a store.

    The keeper's thread is not started: a process that serves calls `keeper.start()`, a test
    `keeper.refresh()`.

    Args:
        settings: of the installation.
        store: that holds its state.
        clock: gives the present time, epoch seconds.
        seed: of the draws of exploration and interleaving; None, they differ in each process.
        keeper: what has been read from the store already, if anything.
    """
    keeper = keeper or SnapshotKeeper(settings, store, CardCache(store), clock)
    services = build_services(settings, store, clock, keeper, seed)
    app = _Application(
        "feed",
        title="feed",
        version=version("feed"),
        docs_path=None,
        static_folder=str(SITE_DIR),
        static_url_path="/static",
        root_path=str(Path(__file__).parent),
    )
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        DESCRIPTION=DESCRIPTION,
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_OPERATION_ID=True,
    )
    app.url_map.merge_slashes = False
    app.url_map.converters["id"] = IdConverter
    app.extensions["feed"] = services
    register_problems(app)
    for module in (
        routes_feed,
        routes_articles,
        routes_users,
        routes_accounts,
        routes_access,
        routes_control,
        routes_limits,
        routes_experiments,
        routes_plan,
        routes_sources,
        routes_settings,
        routes_models,
        routes_reports,
        routes_ops,
    ):
        app.register_blueprint(module.routes)
    app.register_blueprint(routes_ops.pages)
    app.register_blueprint(experiments_pages.pages)
    for desk_pages in DESK_PAGES:
        app.register_blueprint(desk_pages)
    app.spec_processor(partial(complete_openapi, app))
    _surround_requests(app, services)
    app.wsgi_app = EarlyRefusal(app.wsgi_app, services)  # type: ignore[method-assign]
    return app


def build_services(
    settings: Settings,
    store: RedisStore,
    clock: Callable[[], float],
    keeper: SnapshotKeeper,
    seed: int | None = None,
) -> Services:
    """Return the parts of one web process."""
    guard_plugins(settings.request_budget_ms / 1000)
    access = AccessControl(settings, store, clock)
    provider = IdentityProvider(settings, clock)
    desk = DeskSessions(lambda: store.secret(SESSION_SECRET), provider.digest)

    def follow_alongside() -> None:
        access.follow()
        desk.prepare()

    keeper.alongside = follow_alongside
    sources, pulse = SourceDirectory(store, clock=clock), Pulse(store, keeper, clock)
    present = PresentReader(settings, store, keeper, pulse, sources, clock)
    recorded = RecordedRequests(settings, store, clock)
    feeds = FeedService(settings, store, keeper, keeper.card_cache, clock, default_rng(seed))
    return Services(
        settings=settings,
        store=store,
        keeper=keeper,
        card_cache=keeper.card_cache,
        feeds=feeds,
        sources=sources,
        articles=ArticleService(store, lambda: open_encoder(settings), keeper.catch_up),
        access=access,
        proxies=TrustedProxies(parse_networks(settings.trusted_proxies)),
        networks=NetworkNames(store, clock),
        cross_origin=CrossOrigin(settings.cors_origins),
        admission=AdmissionQueue(RUNNING, WAITING, settings.request_budget_ms / 1000, SPARE),
        plans=PlanDesk(read_in_process(settings), clock),
        front_page=FrontPageDesk(settings, clock),
        provider=provider,
        pulse=pulse,
        pulse_day=PulseDay(store, clock),
        status=StatusDesk(present),
        traces=open_traces(settings),
        desk=desk,
        previews=PreviewDesk(feeds.turn, RequestReplay(recorded, clock), clock),
        drift=DriftDesk(feeds.turn, RequestReplay(recorded, clock)),
        clock=clock,
    )


def _surround_requests(app: APIFlask, services: Services) -> None:
    cross_origin, traces = services.cross_origin, services.traces
    new_watch = Stopwatch if traces is None else TracedStopwatch

    @app.before_request
    def enter() -> Response | None:
        g.watch = watch = new_watch()
        g.request_id = _request_id()
        if cross_origin.is_preflight(request):
            return Response(status=204)
        headers = request.headers
        if services.access.is_open:
            _refuse_other_names(services.proxies)
        g.address = services.proxies.reader_address(request.remote_addr or "", headers)
        declared = operation_of(app.view_functions.get(request.endpoint or ""))
        if declared is not None:
            named = (request.view_args or {}).get("user_id", "")
            visitor = api_caller() if TOKEN_HEADER in headers else None
            g.principal = services.access.admit(declared, headers, g.address, named, visitor)
            if g.principal is TRUSTED and _changes_unasked(declared):
                _refuse_other_pages(cross_origin)
            if declared.queued:
                g.turn = services.admission.turn()
                watch.lap("queue")
        return None

    @app.after_request
    def leave(response: Response) -> Response:
        watch: Stopwatch = g.watch
        headers = response.headers
        told = ("X-Request-Id", g.request_id), ("Server-Timing", watch.server_timing())
        headers.extend([*told, *_HEADERS])
        if response.mimetype == "text/html" and "Content-Security-Policy" not in headers:
            headers["Content-Security-Policy"] = PAGE_POLICY
        cross_origin.complete(request, response)
        rule = request.url_rule
        route = rule.rule if rule else "none"
        count_request(route, request.method, response.status_code, watch)
        services.pulse.counts.add_request(response.status_code, watch)
        if traces is not None and isinstance(watch, TracedStopwatch):
            traces.record(
                watch,
                route=route,
                method=request.method,
                status=response.status_code,
                request_id=g.request_id,
                traceparent=request.headers.get("traceparent", ""),
            )
        return response

    @app.teardown_request
    def give_back(_error: BaseException | None) -> None:
        turn: Turn | None = g.pop("turn", None)
        if turn is not None:
            turn.end()


def _changes_unasked(declared: Operation) -> bool:
    """Whether the present request changes something, and no browser asks before it sends it.

    A body of JSON makes browsers ask first, which `CrossOrigin` answers.
    """
    return declared.body is None and request.method not in {"GET", "HEAD", "OPTIONS"}


def _refuse_other_names(proxies: TrustedProxies) -> None:
    """Refuse what a page of another site sends to an open installation under a name of its own."""
    if is_loopback_name(request.host) or proxies.is_proxy(request.remote_addr or ""):
        return
    rule = "must be localhost or a loopback address while there is no key"
    raise ProblemError(403, f"the Host header {rule}", [("Host", rule)])


def _refuse_other_pages(cross_origin: CrossOrigin) -> None:
    if not cross_origin.may_change(request):
        rule = "must be this service's own, or one of those in FEED_CORS_ORIGINS"
        raise ProblemError(403, f"the page's origin {rule}", [("Origin", rule)])


def _request_id() -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if given.isascii() and ID_PATTERN.fullmatch(given) else token_hex(16)
