from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from reader_tokens import bearer

from feed.config import RankingConfig, Settings
from feed.domain import InvalidInputError
from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.design.lifecycle import create_experiment, start_experiment
from feed.experiments.design.metrics import METRICS
from feed.experiments.judgement.analysis import analyse
from feed.experiments.report.writing import write_report
from feed.models.registry import ModelRegistry
from feed.service.api_keys import hash_key
from feed.service.app import create_app
from feed.storage.redis_store import RedisStore

DESIGN = {
    "name": "trial",
    "hypothesis": "<b>Readers</b> read more.",
    "owner": "desk",
    "variants": [{"name": "control", "share": 0.5}, {"name": "new", "share": 0.5}],
    "equal_arms": True,
}
STARTED = 1_700_000_000.0
NO_MODELS = ModelRegistry(Path("no models"))


@pytest.fixture
def client(store_settings: Settings, store: RedisStore) -> Iterator[FlaskClient]:
    create_experiment(store, experiment_from_json(DESIGN), now=STARTED, by="desk")
    with create_app(store_settings, store).test_client() as opened:
        yield opened


def write_first_report(store: RedisStore, settings: Settings) -> None:
    running = start_experiment(store, "trial", registry=NO_MODELS, now=STARTED, by="desk")
    report = analyse(settings.data_dir, running, now=STARTED + 86_400)
    write_report(report, settings.data_dir / "reports")


@pytest.mark.parametrize("path", ["", "/new", "/trial", "/nothing"])
def test_the_pages_hold_no_data_and_allow_no_foreign_or_inline_script(
    client: FlaskClient, path: str
) -> None:
    page = client.get(f"/experiments{path}")
    assert page.status_code == 200
    assert "trial" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy


def test_a_report_is_summed_up_and_opens_in_three_forms(
    client: FlaskClient, store: RedisStore, store_settings: Settings
) -> None:
    assert client.get("/v1/reports").json == {"reports": [], "watch_minutes": 60.0}
    write_first_report(store, store_settings)
    (summary,) = client.get("/v1/reports").json["reports"]
    assert summary["verdict"] == "broken"
    assert "nobody was exposed" in summary["sentence"]
    assert (summary["version"], summary["days_run"], summary["readers"]) == (1, 1.0, 0)
    page = client.get("/experiments/trial/report.html")
    assert "nobody was exposed" in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert client.get("/experiments/trial/report.json").json["verdict"]["kind"] == "broken"
    assert client.get("/experiments/trial/report.md").text.startswith("# trial")


@pytest.mark.parametrize(
    "path", ["trial/report.html", "..%2F..%2Fetc/report.html", "trial/report.exe"]
)
def test_what_is_not_a_report_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(f"/experiments/{path}").status_code == 404


def test_a_missing_report_says_why(client: FlaskClient, store: RedisStore) -> None:
    def said(name: str) -> str:
        answer = client.get(f"/experiments/{name}/report.json")
        assert answer.status_code == 404
        return str(answer.json["detail"])

    assert said("nope") == "there is no experiment named nope"
    assert "has not started" in said("trial")
    start_experiment(store, "trial", registry=NO_MODELS, now=STARTED, by="desk")
    assert "feed report trial makes one" in said("trial")


def test_a_torn_report_file_does_not_take_the_list_down(
    client: FlaskClient, store_settings: Settings
) -> None:
    folder = store_settings.data_dir / "reports"
    folder.mkdir()
    (folder / "trial.json").write_bytes(b'{"verdict": 3')
    assert client.get("/v1/reports").json["reports"] == []


def test_data_needs_a_key_where_keys_are_configured_and_the_empty_page_does_not(
    store_settings: Settings, store: RedisStore
) -> None:
    keys = ",".join(f"{scope}:{hash_key(scope)}" for scope in ("read", "admin"))
    with create_app(replace(store_settings, api_keys=keys), store).test_client() as opened:
        assert opened.get("/experiments/trial").status_code == 200
        for path in ("/experiments/trial/report.html", "/v1/reports", "/v1/metrics"):
            assert opened.get(path).status_code == 401
            assert opened.get(path, headers=bearer("read")).status_code in {200, 404}
        assert opened.get("/v1/design-options", headers=bearer("read")).status_code == 403
        assert opened.get("/v1/design-options", headers=bearer("admin")).status_code == 200


def test_every_metric_is_offered_and_only_those_of_readers_may_decide(client: FlaskClient) -> None:
    offered = {metric["name"]: metric for metric in client.get("/v1/metrics").json["metrics"]}
    assert list(offered) == list(METRICS)
    assert offered["hides"]["better"] == "down"
    assert offered["clicks"]["better"] == "up"
    assert [name for name, metric in offered.items() if not metric["can_decide"]] == [
        "feed_views",
        "impressions",
        "share_trending",
        "coverage",
        "latency_p95",
    ]


def test_the_metrics_of_the_site_are_offered_too(
    client: FlaskClient, store_settings: Settings
) -> None:
    (store_settings.data_dir / "metrics.toml").write_text(
        '[gifts]\ntitle = "Gifts"\nkind = "mean"\ncount = "custom:gift"\nbetter = "up"\n'
    )
    offered = client.get("/v1/metrics").json["metrics"]
    assert (offered[-1]["name"], offered[-1]["can_decide"]) == ("gifts", True)


def settings_offered(client: FlaskClient) -> dict[str, Any]:
    return {one["name"]: one for one in client.get("/v1/design-options").json["ranking"]}


def test_a_setting_is_offered_with_its_range_and_the_installations_value(
    store_settings: Settings, store: RedisStore
) -> None:
    ranking = RankingConfig(trending_boost=0.7)
    with create_app(replace(store_settings, ranking=ranking), store).test_client() as opened:
        offered = settings_offered(opened)
    boost = offered["trending_boost"]
    assert (boost["kind"], boost["value"], boost["least"], boost["most"]) == ("number", 0.7, 0, 100)
    assert offered["use_ranker"]["kind"] == "flag"
    assert offered["slate_size"]["kind"] == "whole"
    assert "trending_half_life_minutes" not in offered  # the worker's, the same for all readers


def test_a_design_of_nothing_but_the_defaults_offered_is_what_leaving_them_out_gives(
    client: FlaskClient,
) -> None:
    defaults = client.get("/v1/design-options").json["defaults"]
    assert experiment_from_json({**defaults, **DESIGN}) == experiment_from_json(DESIGN)
    assert not {"name", "status", "revision", "started_at"} & defaults.keys()


def test_the_address_of_the_form_is_no_name(store: RedisStore) -> None:
    with pytest.raises(InvalidInputError, match="must not be new"):
        create_experiment(
            store, experiment_from_json({**DESIGN, "name": "new"}), now=STARTED, by="desk"
        )
