#!/usr/bin/env python3
"""How soon what happens shows, through every web process, while the service is under load.

Measured over HTTP against `feed serve` with two web processes: a click to the reader's next
request; a like to the counts every process shows; an article's POST to the feeds that show it;
a retraction to the next request. Requests go over fresh connections, so that both processes
answer them.
"""

from __future__ import annotations

import http.client
import itertools
import multiprocessing
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from feed.config import Settings
from feed.domain import format_time
from lab.bench.load import run_load
from lab.bench.service import event_requests, prepare, serving
from lab.bench.world import Site
from lab.ports import free_port

GIVE_UP_S = 15.0
LOOKS = 6
"""Requests in a row that must agree before a change counts as seen by both processes."""
TARGETS = {
    "click to changed feed": "100 % of next requests",
    "retraction to next request": "100 % of next requests",
    "like to counts everywhere": "p99 under 2 s",
    "POST of an article to recommendable everywhere": "under 2 s",
}


@click.command()
@click.option("--articles", default=5_000, show_default=True)
@click.option("--events", default=5_000, show_default=True, help="Events a second as load.")
@click.option("--trials", default=30, show_default=True, help="Of each measurement.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(articles: int, events: int, trials: int, json_path: Path | None) -> None:
    """Measure freshness under a steady load of events."""
    directory = Path(tempfile.mkdtemp(prefix="feed-bench-"))
    settings = replace(Settings(), data_dir=directory, port=free_port())
    try:
        site = prepare(settings, articles)
        with serving(settings, 2, articles), Loader(settings.port, site, events) as loader:
            time.sleep(3.0)
            results = measure(settings.port, trials)
            load = loader.rate()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    show(results, load)
    if json_path:
        figures = {"events_per_second": load, "measures": results}
        json_path.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


class Loader:
    """A process that sends events at a steady rate."""

    def __init__(self, port: int, site: Site, per_second: int) -> None:
        self._sent = multiprocessing.Value("q", 0)
        self._begun = 0.0
        arguments = (port, site, per_second, self._sent)
        self._process = multiprocessing.get_context("fork").Process(
            target=send_steadily, args=arguments, daemon=True
        )

    def __enter__(self) -> Loader:
        self._process.start()
        self._begun = time.monotonic()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.join()

    def rate(self) -> float:
        """Return the events a second that were accepted so far."""
        return float(self._sent.value) / (time.monotonic() - self._begun)


def send_steadily(port: int, site: Site, per_second: int, sent: Any) -> None:
    """Send batches of 50 events, as many as the rate allows and the service takes."""
    batches = event_requests(site)
    begun = time.monotonic()
    while True:
        due = int((time.monotonic() - begun) * per_second) - sent.value
        if due < 50:
            time.sleep(0.002)
            continue
        once = itertools.islice(batches, min(due // 50, 20))
        load = run_load(port, once, concurrency=1, seconds=60.0, expected=202)
        sent.value += 50 * len(load.latencies_ms)


def measure(port: int, trials: int) -> dict[str, dict[str, float]]:
    """Return what every kind of change took."""
    results: dict[str, dict[str, float]] = {}
    clicks = [changed_by_click(port, f"fresh-{n}") for n in range(trials)]
    results["click to changed feed"] = {"share_of_next_requests": float(np.mean(clicks))}
    gone = [gone_after_retraction(port, n) for n in range(trials)]
    results["retraction to next request"] = {"share_of_next_requests": float(np.mean(gone))}
    likes = [seconds_to_count(port, n) for n in range(trials)]
    results["like to counts everywhere"] = percentiles(likes)
    posts = [seconds_to_recommend(port, n) for n in range(trials)]
    results["POST of an article to recommendable everywhere"] = percentiles(posts)
    return results


def changed_by_click(port: int, reader: str) -> bool:
    """Return whether an article is gone from the request after its click, in both processes."""
    read = ids_of(feed(port, reader))[0]
    send(port, reader, read, "click")
    return all(read not in ids_of(feed(port, reader)) for _ in range(LOOKS))


def gone_after_retraction(port: int, number: int) -> bool:
    """Return whether an article is gone from the requests after its retraction."""
    article = ids_of(feed(port, f"retract-{number}"))[number % 20]
    call(port, "DELETE", f"/v1/articles/{article}")
    return all(article not in ids_of(feed(port, f"retract-{number}")) for _ in range(LOOKS))


def seconds_to_count(port: int, number: int) -> float:
    """Return the seconds until others see a like, whichever process they ask."""
    page = feed(port, "observer", mode="latest")
    item = page["items"][number % 20]
    article, likes = item["article"]["article_id"], item["reactions"]["likes"]
    begun = time.perf_counter()
    send(port, f"liker-{number}", article, "like")

    def counted() -> bool:
        items = feed(port, "observer", mode="latest")["items"]
        found = [i for i in items if i["article"]["article_id"] == article]
        return not found or found[0]["reactions"]["likes"] > likes

    return seconds_until(counted, begun)


def seconds_to_recommend(port: int, number: int) -> float:
    """Return the seconds until every process can recommend a new article."""
    article = f"brand-new-{number}"
    moment = format_time(time.time())
    body = {"articles": [{"article_id": article, "title": "Just in", "published_at": moment}]}
    begun = time.perf_counter()
    call(port, "POST", "/v1/articles", body)
    return seconds_until(lambda: article in ids_of(feed(port, "observer", mode="latest")), begun)


def seconds_until(seen: Callable[[], bool], begun: float) -> float:
    """Return when a change was first seen for good: the begin of the last run of `LOOKS`."""
    streak, first = 0, 0.0
    while time.perf_counter() - begun < GIVE_UP_S:
        at = time.perf_counter()
        if seen():
            first = first if streak else at
            streak += 1
            if streak == LOOKS:
                return first - begun
        else:
            streak = 0
    return GIVE_UP_S


def feed(port: int, reader: str, **query: str) -> dict[str, Any]:
    """Return a feed over a connection of its own."""
    return call(port, "GET", "/v1/feed?" + urlencode({"user_id": reader, "limit": 20, **query}))


def send(port: int, reader: str, article: str, kind: str) -> None:
    """Send one event."""
    event = {"event_id": uuid.uuid4().hex, "user_id": reader, "article_id": article, "kind": kind}
    answer = call(port, "POST", "/v1/events", {"events": [event]})
    if answer["accepted"] != 1:
        raise click.ClickException(f"an event was not accepted: {answer}")


def call(port: int, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Call the service over a connection of its own; wait and repeat while it sheds load."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, orjson.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 503:
            break
        time.sleep(0.05)
    if answer.status >= 400:
        raise click.ClickException(f"{method} {path}: {answer.status} {content.decode()}")
    parsed: dict[str, Any] = orjson.loads(content)
    return parsed


def ids_of(page: dict[str, Any]) -> list[str]:
    """Return the article ids of a page."""
    return [item["article"]["article_id"] for item in page["items"]]


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return the usual percentiles."""
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]).tolist()
    return {"p50_s": p50, "p95_s": p95, "p99_s": p99, "max_s": max(seconds)}


def show(results: dict[str, dict[str, float]], load: float) -> None:
    """Print the figures."""
    table = Table(title=f"Freshness, two web processes, under {load:,.0f} events a second")
    for column in ("what", "measured", "must"):
        table.add_column(column)
    for name, figures in results.items():
        text = ", ".join(
            f"{value:.0%}" if key.startswith("share") else f"{key.removesuffix('_s')} {value:.2f} s"
            for key, value in figures.items()
        )
        table.add_row(name, text, TARGETS[name])
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
