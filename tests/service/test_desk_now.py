"""The room Now: what an engineer sees at night, also when the store is away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from feed.config import DAY_S, Settings
from feed.domain import format_time
from feed.models.bundle import empty_bundle
from feed.models.registry import ModelRegistry, with_manifest
from feed.service.desk.now_charts import GROUP, day_charts
from feed.service.pulse_day import MINUTES
from feed.storage.embedded import EmbeddedStore
from feed.storage.pulse_series import (
    EVENTS,
    LATENCIES,
    MINUTE_S,
    REFUSED,
    REQUESTS,
    RUNGS,
    empty_series,
    fill_slot,
    latency_bucket,
)
from feed.storage.redis_store import RedisStore
from tests.service.conftest import Clock, Site


def text_of(site: Any, path: str = "/desk") -> str:
    """Return the words of a page, without its marks."""
    answer = site.client.get(path)
    assert answer.status_code == 200, answer.text
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A store of this test's own, which may be stopped."""
    started = EmbeddedStore(tmp_path / "own")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def own_site(server: EmbeddedStore, settings: Settings, clock: Clock) -> Iterator[Site]:
    own = replace(settings, redis_url=server.url)
    store = RedisStore(own)
    yield Site(own, store, clock)
    store.close()


def test_a_fresh_desk_says_what_to_do_first(site: Any) -> None:
    page = text_of(site)
    assert "Everything works." in page
    assert "To do There are no articles yet" in page
    assert "feed sources add ADDRESS" in page
    assert "Nobody has asked for a feed." in page


def test_both_addresses_show_the_room_and_its_parts_refresh_alone(site: Any) -> None:
    page = site.client.get("/desk").text
    assert site.client.get("/desk/now").status_code == 200
    assert '<a href="/desk" aria-current="page">Now</a>' in page
    for part in re.findall(r'hx-get="([^"]+)"', page):
        answer = site.client.get(part)
        assert answer.status_code == 200
        assert "<html" not in answer.text
    assert len(re.findall(r'hx-get="/desk/now/(?:live|day)"', page)) == 2


def test_the_page_shows_the_numbers_of_this_moment(site: Any) -> None:
    site.publish(5)
    site.worker.tick(site.clock.now)
    for _ in range(6):
        site.feed()
    site.services.pulse.write()
    site.worker.add_pulse(site.clock.now)
    site.clock.now += 10
    page = text_of(site, "/desk/now/live")
    assert "Feeds a second 0.1 in the last minute" in page
    assert "Counting lag 0 s" in page
    assert "Without a model 100 % 100 %" in page
    assert re.search(r"Store memory \d+ MB of ", page)
    assert "Articles 5 that can be shown" in page


def test_a_night_a_source_is_down_the_model_is_old_and_the_store_is_full(own_site: Any) -> None:
    """What the desk says then, and that it says what to do."""
    own_site.publish(3)
    own_site.client.post("/v1/sources", json={"sources": [{"address": "https://paper.example/f"}]})
    (source_id,) = own_site.services.sources.all()
    failed = {"failures": 4, "message": "the server answered 500", "title": "The Paper"}
    own_site.store.write_source_state(source_id, failed)
    registry = ModelRegistry(own_site.settings.data_dir / "models")
    trained = format_time(own_site.clock.now - 5 * DAY_S)
    bundle = with_manifest(replace(empty_bundle(), version="v5"), created_at=trained)
    registry.publish(bundle)
    registry.set_live("v5")
    own_site.services.keeper.refresh()
    own_site.worker.tick(own_site.clock.now)
    own_site.store._link.every_node("CONFIG", "SET", "maxmemory", "1")
    own_site.feed()
    own_site.services.pulse.write()
    page = text_of(own_site)
    assert "Something is wrong: 1 fault and 2 warnings." in page
    assert "Fault The store refuses writes" in page
    assert "Raise FEED_STORE_MEMORY_MB" in page
    assert "Warning The source The Paper has failed 4 times in a row" in page
    assert f"feed sources check {source_id}" in page
    assert "Go to Sources" in page
    assert "Warning The model is 5 days old" in page
    assert "Run feed retrain" in page
    assert "Go to Models" in page


def test_the_desk_works_while_the_store_is_away_and_says_so(
    own_site: Any, server: EmbeddedStore
) -> None:
    own_site.publish(5)
    text_of(own_site)
    server.stop()
    for _ in range(6):
        own_site.feed()
    own_site.services.pulse.write()
    own_site.clock.now += 10
    page = text_of(own_site)
    assert "Fault The store does not answer" in page
    assert "Only what this web process knows." in page
    assert "Feeds a second 0.1" in page
    assert "From memory 100 %" in page
    assert "Counting lag not known" in page
    assert "The last 24 hours" in page


def test_the_room_wants_the_role_of_an_analyst(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    keyed = make_site(replace(settings, api_keys="ann:read:" + "0" * 64))
    for path in ("/desk", "/desk/now", "/desk/now/live", "/desk/now/day"):
        assert keyed.client.get(path).status_code == 303
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/desk?x=1"}
    ended = keyed.client.get("/desk/now/live", headers=headers)
    assert ended.headers["HX-Redirect"] == "/desk/sign-in?next=/desk"
    assert ended.text == ""


def test_what_a_source_says_about_itself_is_shown_as_text(site: Any) -> None:
    site.publish(1)
    source = {"address": "https://paper.example/f", "name": "<script>alert(1)</script>"}
    site.client.post("/v1/sources", json={"sources": [source]})
    (source_id,) = site.services.sources.all()
    site.store.write_source_state(source_id, {"failures": 3, "message": "<b>no</b> `code`"})
    page = site.client.get("/desk/now/live").text
    assert "<script>" not in page
    assert "&lt;b&gt;no&lt;/b&gt; <code>code</code>" in page


def test_the_policy_forbids_inline_styles_and_no_page_needs_them(site: Any) -> None:
    answer = site.client.get("/desk")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "style=" not in answer.text
    assert "<style" not in answer.text


def test_a_day_becomes_charts_with_gaps_where_nobody_reported() -> None:
    day = empty_series(0, MINUTES, MINUTE_S)
    fast, slow = LATENCIES[latency_bucket(4.0)], LATENCIES[latency_bucket(60.0)]
    for minute in range(600, MINUTES):
        values = {REQUESTS: 600, REFUSED: 60, EVENTS: 60, RUNGS[0]: 300, fast: 290, slow: 10}
        fill_slot(day, minute, {**values, "snapshot_age_s": 0.5, "store_bytes": 2e8})
    rates, times, wrong, lag, memory, _ = day_charts(day)
    feeds = rates.lines[0].values
    assert len(feeds) == (MINUTES - 1) // GROUP
    assert np.isnan(feeds[:100]).all()
    assert feeds[-1] == pytest.approx(5.0)
    assert rates.caption == "Feeds: latest 5, highest 5; Events: latest 1, highest 1."
    assert times.lines[0].values[-1] == pytest.approx(4.0, rel=0.3)
    assert times.lines[1].values[-1] == pytest.approx(60.0, rel=0.3)
    assert wrong.lines[1].values[-1] == pytest.approx(10.0)
    assert lag.caption == "Counting: no data; Archive: no data."
    assert memory.caption == "Used: latest 200 MB, highest 200 MB."
    assert len(rates.drawing.lines(rates.drawing.series[0])) == 1


def test_a_line_that_has_ended_says_when() -> None:
    day = empty_series(0, MINUTES, MINUTE_S)
    for minute in range(600, 900):
        fill_slot(day, minute, {"snapshot_age_s": 0.5, "store_bytes": 2e8})
    memory = day_charts(day, ZoneInfo("Europe/Berlin"))[4]
    assert memory.legend == ("Used: latest 200 MB at 16:04, highest 200 MB",), (
        "its group ended then"
    )


def test_an_empty_day_is_drawn_too(site: Any) -> None:
    page = text_of(site, "/desk/now/day")
    assert "Feeds: no data" in page


def test_an_address_without_a_page_says_so_as_a_page(site: Any) -> None:
    answer = site.client.get("/desk/nothing/here")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "The desk has no page at this address." in answer.text
