"""Models swapped while requests run: none fails, none is of two models, ruined ones are refused."""

import shutil
import threading
from dataclasses import replace

import pytest
from lab.faults.bundles import LOUD, QUIET, RUINS, is_mixed, tellable_bundle
from lab.faults.load import sample_articles

from feed.client import article_to_json
from feed.domain import BundleError
from feed.models.registry import ModelRegistry
from feed.service.app import create_app

NOW = 1_790_000_000.0
MARGINS = {"loud": LOUD, "quiet": QUIET}


@pytest.fixture
def registry(store_settings):
    registry = ModelRegistry(store_settings.data_dir / "models")
    ids = [a.article_id for a in sample_articles(80, NOW)]
    for version, margin in MARGINS.items():
        registry.set_live(registry.publish(tellable_bundle(version, ids, margin)))
    return registry


@pytest.fixture
def app(store, store_settings, registry):
    settings = replace(store_settings, encoder="none", request_budget_ms=10_000)
    app = create_app(settings, store, clock=lambda: NOW)
    articles = [article_to_json(a) for a in sample_articles(80, NOW)]
    app.extensions["feed"].keeper.refresh()
    assert app.test_client().post("/v1/articles", json={"articles": articles}).status_code == 200
    return app


def test_no_answer_fails_or_is_of_two_models(app, registry):
    wrong, served, stop = [], set(), threading.Event()

    def ask(first):
        client, number = app.test_client(), first
        while not stop.is_set():
            number += 2
            answer = client.get(f"/v1/feed?user_id=u{number}&limit=20")
            page = answer.json
            if answer.status_code != 200 or is_mixed(page, MARGINS):
                wrong.append(page)
                continue
            served.add(page["model_version"])
            rest = client.get(f"/v1/feed?user_id=u{number}&cursor={page['next_cursor']}")
            if rest.status_code != 200 or rest.json["model_version"] != page["model_version"]:
                wrong.append(rest.json)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for number in range(20):
        registry.set_live(("loud", "quiet")[number % 2])
        app.extensions["feed"].keeper.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert served == set(MARGINS)


@pytest.mark.parametrize("kind", RUINS)
def test_a_ruined_model_is_refused_and_the_old_one_goes_on(app, registry, store_settings, kind):
    models = store_settings.data_dir / "models"
    client = app.test_client()
    shutil.copytree(models / "quiet", models / "ruined")
    RUINS[kind](models / "ruined")
    with pytest.raises(BundleError):
        registry.set_live("ruined")
    assert registry.live_version() == "quiet"
    before = refused(client)
    (models / "LIVE").write_text("ruined\n")
    app.extensions["feed"].keeper.refresh()
    app.extensions["feed"].keeper.refresh()
    assert client.get("/v1/feed?user_id=u").json["model_version"] == "quiet"
    assert refused(client) == before + 1


def test_a_process_that_starts_after_the_ruin_takes_the_old_model_too(
    store, store_settings, registry
):
    (store_settings.data_dir / "models" / "quiet" / "factors.npy").unlink()
    late = create_app(replace(store_settings, encoder="none"), store, clock=lambda: NOW)
    assert late.extensions["feed"].keeper.refresh().model_version == "loud"


def test_a_rollback_is_served(app, registry):
    assert registry.rollback() == "loud"
    app.extensions["feed"].keeper.refresh()
    page = app.test_client().get("/v1/feed?user_id=u").json
    assert page["model_version"] == "loud"
    assert not is_mixed(page, MARGINS)


def refused(client):
    lines = client.get("/metrics").text.splitlines()
    return sum(float(x.split()[1]) for x in lines if x.startswith("feed_bundles_refused_total "))
