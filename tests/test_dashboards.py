"""The Grafana dashboard and the Prometheus rules, compared with what /metrics really serves."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from feed.config import Settings
from feed.service.app import create_app
from feed.service.health_checks import FALLEN_SHARE, MODEL_DAYS, SNAPSHOT_AGE_S
from feed.service.health_machinery import (
    ARCHIVE_LAG_S,
    COUNTING_LAG_S,
    DISK_SHARE,
    STORE_SHARE,
)
from feed.service.status_metrics import STATUS_GAUGES
from feed.sources.source_metrics import SOURCES
from feed.storage.redis_store import RedisStore
from feed.watching.watch_metrics import FINDINGS
from feed.worker.worker_metrics import COUNTED

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus" / "feed-rules.yml"
CASES = ROOT / "deploy" / "prometheus" / "feed-rules.test.yml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "feed-dashboard.json").read_text())
ALERTS = {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
NOW = 1_780_000_000.0
PROMTOOL = shutil.which("promtool", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
"""`scripts/test` puts it beside Python where Debian's packages are at hand."""


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\bfeed_[a-z0-9_]+", expression))


def served_names() -> set[str]:
    """Return every name under which a sample of ours is served, whether it was counted or not."""
    imported = (SOURCES, FINDINGS, COUNTED)  # these modules add theirs to the registry
    assert imported
    names = {name for name, _ in STATUS_GAUGES}
    for family in REGISTRY.collect():
        suffixes = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
        }.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


@pytest.mark.parametrize("expression", [*QUERIES, *(r["expr"] for r in ALERTS.values())])
def test_every_metric_that_is_asked_for_is_served(expression: str) -> None:
    assert metrics_in(expression) <= served_names()
    assert metrics_in(expression) or expression.startswith("up{")


def test_labels_that_are_asked_for_are_those_of_the_metrics() -> None:
    known = {family.name: family for family in REGISTRY.collect()}
    for expression in [*QUERIES, *(rule["expr"] for rule in ALERTS.values())]:
        for name, inside in re.findall(r"\b(feed_[a-z0-9_]+)\{([^}]*)\}", expression):
            asked = set(re.findall(r"(\w+)\s*[=!]~?", inside)) - {"job", "instance", "le"}
            if asked:
                base = re.sub(r"_(total|bucket|sum|count)$", "", name)
                labels = {"level"} if base == "feed_alerts" else set(label_names(base))
                assert asked <= labels, expression
    assert known


def label_names(family: str) -> tuple[str, ...]:
    (collector,) = {c for names, c in names_by_collector() if family in names}
    return tuple(collector._labelnames)


def names_by_collector() -> list[tuple[set[str], Any]]:
    return [(set(names), c) for c, names in REGISTRY._collector_to_names.items()]


def test_the_status_of_the_installation_is_among_the_metrics(
    store: RedisStore, store_settings: Settings
) -> None:
    app = create_app(replace(store_settings, encoder="none"), store, lambda: NOW)
    app.extensions["feed"].keeper.refresh()
    text = app.test_client().get("/metrics").text
    served = {f.name: f for f in text_string_to_metric_families(text)}
    assert served["feed_store_up"].samples[0].value == 1
    assert served["feed_worker_leads"].samples[0].value == 0
    levels = {s.labels["level"]: s.value for s in served["feed_alerts"].samples}
    assert levels == {"fault": 0, "warning": 0, "hint": 1}
    assert "feed_model_timestamp_seconds" not in served  # there is no model


def test_the_rules_have_the_limits_of_the_desk() -> None:
    def limit(name: str) -> float:
        return math.prod(map(float, ALERTS[name]["expr"].rsplit(">", 1)[1].split("*")))

    assert limit("FeedStoreFull") == STORE_SHARE.raise_at
    assert limit("FeedDiskFull") == DISK_SHARE.raise_at
    assert limit("FeedCountingLag") == COUNTING_LAG_S.raise_at
    assert limit("FeedArchiveLag") == ARCHIVE_LAG_S.raise_at
    assert limit("FeedSnapshotStale") == SNAPSHOT_AGE_S.raise_at
    assert limit("FeedSimplerFeeds") == FALLEN_SHARE.raise_at
    assert limit("FeedModelOld") == MODEL_DAYS * 86_400
    assert limit("FeedSlow") == Settings().request_budget_ms / 1000


def test_every_rule_says_what_is_wrong_and_what_to_do() -> None:
    for name, rule in ALERTS.items():
        assert name.startswith("Feed")
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"].endswith(".")


def test_every_panel_says_what_it_shows_and_lies_on_no_other() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for one, other in combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert one["x"] + one["w"] <= 24


def run_promtool(*arguments: str | Path) -> None:
    command = [str(PROMTOOL), *map(str, arguments)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize("arguments", [("check", "rules", RULES), ("test", "rules", CASES)])
def test_promtool_accepts_the_rules_and_their_cases(arguments: tuple[str | Path, ...]) -> None:
    run_promtool(*arguments)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_can_parse_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{n}", "expr": query.replace('=~"$job"', '="feed"')}
        for n, query in enumerate(QUERIES)
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    run_promtool("check", "rules", path)
