from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from feed.config import Settings
from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.design.lifecycle import create_experiment, start_experiment
from feed.experiments.judgement.analysis import analyse
from feed.experiments.report.writing import write_report
from feed.models.registry import ModelRegistry
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


def test_a_draft_is_listed_and_its_text_escaped(client: FlaskClient) -> None:
    page = client.get("/experiments").text
    assert "trial" in page
    assert "draft" in page
    assert "&lt;b&gt;Readers" in page


def test_a_report_is_listed_with_its_verdict_and_opens_in_three_forms(
    client: FlaskClient, store: RedisStore, store_settings: Settings
) -> None:
    running = start_experiment(store, "trial", registry=NO_MODELS, now=STARTED, by="desk")
    report = analyse(store_settings.data_dir, running, now=STARTED + 86_400)
    write_report(report, store_settings.data_dir / "reports")
    assert "Broken" in client.get("/experiments").text
    page = client.get("/experiments/trial")
    assert page.status_code == 200
    assert "nobody was exposed" in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert client.get("/experiments/trial/report.json").json["verdict"]["kind"] == "broken"
    assert client.get("/experiments/trial/report.md").text.startswith("# trial")


@pytest.mark.parametrize("path", ["trial", "..%2F..%2Fetc", "nothing", "trial/report.exe"])
def test_what_is_not_a_report_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(f"/experiments/{path}").status_code == 404


def test_a_torn_report_file_does_not_take_the_list_down(
    client: FlaskClient, store_settings: Settings
) -> None:
    folder = store_settings.data_dir / "reports"
    folder.mkdir()
    (folder / "trial.json").write_bytes(b'{"verdict": 3')
    assert client.get("/experiments").status_code == 200


def test_a_key_is_needed_where_keys_are_configured(
    store_settings: Settings, store: RedisStore
) -> None:
    guarded = replace(store_settings, api_keys=f"read:{'0' * 64}")
    with create_app(guarded, store).test_client() as opened:
        assert opened.get("/experiments").status_code == 401
