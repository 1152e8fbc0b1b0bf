"""From a newsroom's own event in the browser to the primary metric of a report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.judgement.analysis import analyse
from feed.storage.archive import Archive

from .conftest import Visitor, running_site

pytestmark = pytest.mark.browser

READERS = 40
PROBE = "probe"
"""A reader who only asks whether the experiment has begun."""
METRICS = """
[subscribers]
title = "Readers who subscribed"
kind = "share"
count = "custom:subscribed"
better = "up"
"""
DESIGN = {
    "name": "calmer",
    "hypothesis": "Who sees less of what trends subscribes more often.",
    "owner": "front page desk",
    "variants": [
        {"name": "control", "share": 0.5},
        {"name": "calm", "share": 0.5, "overrides": {"trending_boost": 0.1}},
    ],
    "primary_metrics": ["subscribers"],
    "guardrails": [],
    "excluded": [PROBE],
}

READ_AND_SUBSCRIBE = """async ([readers, every]) => {
  const { FeedClient } = await import("/static/client/feed-client.js");
  for (let n = 0; n < readers; n += 1) {
    const client = new FeedClient({ baseUrl: location.origin, userId: `reader-${n}` });
    await client.getFeed({ limit: 5 });
    if (n % every === 0) {
      client.track("subscribed", { value: 9.9 });
      client.track("subscribed");
    }
    if (n % every === 1) client.track("wrote_a_comment");
    if (!(await client.flush())) throw new Error("events are still waiting");
  }
}"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own-metric")
    (made / "metrics.toml").write_text(METRICS)
    return made


@pytest.fixture(scope="module")
def address(directory: Path) -> Iterator[str]:
    with running_site(directory, archive_seconds=0.2) as address:
        yield address


def wait_until_applied(address: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        feed = httpx.get(f"{address}/v1/feed", params={"user_id": PROBE}).json()
        if "calmer" in feed["experiments"]:
            return
        time.sleep(0.1)
    raise AssertionError("the experiment does not begin")


def archived_variants(directory: Path, begun: float) -> dict[str, str]:
    """Return the variant of each reader as soon as the archive has all their feeds and events."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with Archive(directory / "archive").query(begun - 60) as connection:
            tracked = connection.execute(
                "SELECT count(*) FROM events WHERE kind = 'custom'"
            ).fetchall()
            served = connection.execute(
                "SELECT user_id, experiments FROM served WHERE user_id <> ?", [PROBE]
            ).fetchall()
        if tracked == [(READERS // 4 * 3,)] and len({user for user, _ in served}) == READERS:
            return {user: orjson.loads(carried)["calmer"] for user, carried in served}
        time.sleep(0.2)
    raise AssertionError(f"the archive lacks feeds or events: {tracked}, {len(served)}")


def test_an_event_of_the_newsrooms_own_becomes_the_primary_metric(
    visitor: Visitor, address: str, directory: Path
) -> None:
    begun = time.time()
    made = httpx.post(f"{address}/v1/experiments", json=DESIGN)
    assert made.status_code == 201, made.text
    started = httpx.post(f"{address}/v1/experiments/calmer/start").json()["experiments"][0]
    wait_until_applied(address)
    visit = visitor(at=address)
    visit.page.goto(f"{address}/experiments")  # a page of the same origin that shows no feed
    visit.page.evaluate(READ_AND_SUBSCRIBE, [READERS, 4])

    variants = archived_variants(directory, begun)
    readers = Counter(variants.values())
    subscribed = Counter(v for user, v in variants.items() if int(user.split("-")[1]) % 4 == 0)
    report = analyse(directory, experiment_from_json(started), now=time.time() + 1)
    (primary,) = report.primaries
    (found,) = primary.comparisons
    assert primary.metric.title == "Readers who subscribed"
    for arm, name in ((found.raw.control, "control"), (found.raw.treatment, "calm")):
        assert arm.n == readers[name]
        assert arm.mean == pytest.approx(subscribed[name] / readers[name])
