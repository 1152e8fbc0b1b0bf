"""A real service with its own store and newsroom, and a real browser to drive its page."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from feed.config import Settings
from feed.domain import Article, Submission
from feed.newsroom.articles import load_articles
from feed.service.api_keys import hash_key
from feed.service.app import create_app
from feed.service.pulse import Pulse
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from feed.worker.loop import run_worker

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

ASKED = """
try { localStorage["feed-topics-asked"] = JSON.stringify([READER, ""]); } catch {}
"""
"""Script of a browser that was asked for topics; the empty name is that of its guests."""
HOSTILE_TEXT = "<script>window.pwned=1</script><img src=x onerror=window.pwned=2>&lt;b&gt;\"'`${1}"
HOSTILE_ID = "hostile\"'><script>window.pwned=3</script>/../?#%00"


def hostile_article(now: float) -> Article:
    """An article that tries to run a script from every field it has."""
    return Article(
        article_id=HOSTILE_ID.replace(" ", ""),
        title=f"{HOSTILE_TEXT} title",
        standfirst=f"{HOSTILE_TEXT} standfirst",
        body=f"{HOSTILE_TEXT} body\n\n{HOSTILE_TEXT} body",
        url="javascript:window.pwned=4",
        image_url="javascript:window.pwned=5",
        section=f"{HOSTILE_TEXT}"[:100],
        tags=(HOSTILE_TEXT[:60],),
        source=HOSTILE_TEXT,
        author=HOSTILE_TEXT,
        language="en",
        published_at=now - 30.0,
    )


def topic_vector(article: Article) -> tuple[float, ...]:
    """Hashed section and tags: stands in for a text encoder, which takes seconds to load."""
    vector = [0.0] * 64
    for word in (article.section, article.section, *article.tags):
        vector[crc32(word.encode()) % 64] += 1.0
    return tuple(vector)


SAMPLE_READERS = [
    {"user_id": "simulated-0001", "name": "Reader 1", "description": "Simulated reader of sport"},
    {"user_id": "simulated-0002", "name": "Reader 2", "description": "Simulated reader of food"},
]


SITE_KEY = "site-key-that-anybody-may-know"
TOKEN_SECRET = "a secret of the newsroom that no browser ever sees"
WRITE_KEY = "write-key-that-stays-on-the-servers"


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an open service that holds the built-in newsroom and sample readers."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "demo").mkdir()
    (directory / "demo" / "readers.json").write_bytes(orjson.dumps(SAMPLE_READERS))
    with running_site(directory) as address:
        yield address


@dataclass
class Newsroom:
    """A news site of its own: one page, at another origin than the service."""

    address: str = ""
    page: str = ""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer every request with the page, as a WSGI application."""
        return Response(self.page, mimetype="text/html")(environ, start_response)


@pytest.fixture(scope="package")
def newsroom() -> Iterator[Newsroom]:
    """A running news site whose pages may call the guarded service."""
    with ExitStack() as stack:
        site = Newsroom()
        http = make_server("127.0.0.1", 0, site, threaded=True)
        stack.callback(http.server_close)
        run_beside(stack, http.serve_forever, http.shutdown)
        site.address = f"http://127.0.0.1:{http.server_port}"
        yield site


@pytest.fixture(scope="package")
def guarded_site(tmp_path_factory: pytest.TempPathFactory, newsroom: Newsroom) -> Iterator[str]:
    """The address of a service with API keys, a site key and readers' tokens."""
    with running_site(
        tmp_path_factory.mktemp("guarded"),
        site_key=SITE_KEY,
        token_secret=TOKEN_SECRET,
        api_keys=f"write:{hash_key(WRITE_KEY)}",
        anonymous_per_minute=0,
        cors_origins=newsroom.address,
    ) as address:
        yield address


@contextmanager
def running_site(directory: Path, **changes: Any) -> Iterator[str]:
    """Run a service, worker included, with a store of its own; give its address."""
    with EmbeddedStore(directory) as server, ExitStack() as stack:
        settings = replace(
            Settings(),
            redis_url=server.url,
            data_dir=directory,
            encoder="none",
            store_timeout_ms=2000,
            request_budget_ms=10_000,
            **changes,
        )
        store = RedisStore(settings)
        stack.callback(store.close)
        app = create_app(settings, store)
        services = app.extensions["feed"]
        now = time.time()
        articles = [replace(each, embedding=topic_vector(each)) for each in load_articles(now)]
        hostile = replace(hostile_article(now), embedding=articles[0].embedding)
        services.articles.upsert([Submission(one) for one in [*articles, hostile]], now)
        services.keeper.start()
        stack.callback(services.keeper.stop)
        ended = threading.Event()
        run_beside(stack, lambda: report_pulse(services.pulse, ended), ended.set)
        stop = threading.Event()
        run_beside(stack, lambda: run_worker(settings, stop), stop.set)
        http = make_server("127.0.0.1", 0, app, threaded=True)
        stack.callback(http.server_close)
        run_beside(stack, http.serve_forever, http.shutdown)
        yield f"http://127.0.0.1:{http.server_port}"


def report_pulse(pulse: Pulse, ended: threading.Event) -> None:
    """Write what the service counts, as a thread of each web process does."""
    while not ended.wait(1.0):
        pulse.write()


def run_beside(stack: ExitStack, work: Callable[[], None], end: Callable[[], None]) -> None:
    """Run `work` in a thread until the stack closes, which calls `end` and waits for it."""
    thread = threading.Thread(target=work)
    thread.start()
    stack.callback(thread.join)
    stack.callback(end)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The machine's Chromium; without one these tests cannot say anything, so they fail."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.fail("no Chromium found: install the chromium package (scripts/test does)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """One page that a reader has open, with what it sent and what it complained about."""

    page: Page
    site: str
    reader: str
    events: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected_complaints: tuple[str, ...] = ()

    def watch(self) -> None:
        """Begin to note events, uncaught errors and messages of the browser's console."""
        self.page.on("request", self._note_events)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._note_message)

    def open(self, fragment: str = "") -> None:
        """Open the page and wait for its cards."""
        self.page.goto(f"{self.site}/?reader={self.reader}{fragment}")
        self.page.wait_for_selector(".card:not(.skeleton)")

    def article_ids(self) -> list[str]:
        """Return the articles on the page, in order."""
        cards = self.page.locator(".card:not(.skeleton)").all()
        return [card.get_attribute("data-article") or "" for card in cards]

    def card(self, place: int) -> Any:
        """Return one card by its place."""
        return self.page.locator(".card:not(.skeleton)").nth(place)

    def refresh(self) -> None:
        """Ask for a fresh feed and wait until it stands."""
        with self.page.expect_response(lambda response: "/v1/feed?" in response.url):
            self.page.click("#refresh-button")
        self.page.wait_for_selector("#feed[aria-busy=false]")

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind sent so far."""
        return [event for event in self.events if event["kind"] == kind]

    def _note_events(self, request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/v1/events"):
            known = {event["event_id"] for event in self.events}
            batch = (request.post_data_json or {}).get("events", [])
            self.events += [event for event in batch if event["event_id"] not in known]

    def _note_message(self, message: ConsoleMessage) -> None:
        expected = any(part in message.text for part in self.expected_complaints)
        if message.type == "error" and not expected:
            self.complaints.append(message.text)


Visitor = Callable[..., Visit]


@pytest.fixture
def visitor(chromium: Browser, site: str, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """A function that seats a reader at a page of their own; nothing may go wrong unseen."""
    visits: list[Visit] = []

    def seat(
        *,
        at: str = site,
        expected_complaints: tuple[str, ...] = (),
        was_asked: bool = True,
        **context: Any,
    ) -> Visit:
        """Open a page; if `was_asked`, of a browser that asks for no topics any more."""
        context.setdefault("viewport", {"width": 1280, "height": 900})
        page = chromium.new_context(**context).new_page()
        page.set_default_timeout(10_000)
        reader = f"{request.node.name}-{len(visits)}"
        if was_asked:
            page.add_init_script(ASKED.replace("READER", orjson.dumps(reader).decode()))
        visit = Visit(page, at, reader, expected_complaints=expected_complaints)
        visit.watch()
        visits.append(visit)
        return visit

    yield seat
    for visit in visits:
        visit.page.context.close()
    assert [line for visit in visits for line in visit.complaints] == []
