"""A breach ends what readers are served, if the design says so."""

from __future__ import annotations

from typing import Any

import pytest
from watched_desk import BREACH

from feed.watching.findings import WatchLook
from feed.watching.watcher import Watcher

DESIGN = {
    "name": "no-boost",
    "hypothesis": "h",
    "owner": "o",
    "variants": [
        {"name": "control", "share": 0.5},
        {"name": "plain", "share": 0.5, "overrides": {"trending_boost": 0.0}},
    ],
}


def served(site: Any) -> set[str]:
    site.clock.now += 60
    site.services.keeper.refresh()
    pages = [site.feed(f"reader-{n}", limit=3) for n in range(20)]
    return {page["experiments"].get("no-boost", "") for page in pages}


@pytest.mark.parametrize(("on_breach", "after"), [("stop", {""}), ("alert", {"control", "plain"})])
def test_after_a_breach(site: Any, on_breach: str, after: set[str]) -> None:
    site.publish(10)
    site.work()
    answer = site.client.post("/v1/experiments", json={**DESIGN, "on_breach": on_breach})
    assert answer.status_code == 201, answer.json
    assert answer.json["experiments"][0]["on_breach"] == on_breach
    assert site.client.post("/v1/experiments/no-boost/start").status_code == 200
    assert served(site) == {"control", "plain"}

    def look(*_: Any) -> WatchLook:
        return WatchLook(at=site.clock.now, day=1.0, verdict="go on", findings=(BREACH,))

    Watcher(site.store, site.settings, clock=site.clock, look=look).look_now()
    assert served(site) == after


def test_what_may_be_done_on_a_breach_is_checked(site: Any) -> None:
    answer = site.client.post("/v1/experiments", json={**DESIGN, "on_breach": "panic"})
    assert answer.status_code == 422
    assert "on_breach" in answer.get_data(as_text=True)
    assert "alert, stop" in answer.get_data(as_text=True)
