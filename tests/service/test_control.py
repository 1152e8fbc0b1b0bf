from typing import Any

import pytest

from feed.storage.records import RecordType

DESIGN = {
    "name": "no-exploration",
    "hypothesis": "Readers click more when nothing is drawn at random.",
    "owner": "the desk",
    "variants": [
        {"name": "control", "share": 0.5},
        {"name": "plain", "share": 0.5, "overrides": {"explore_slots": 0}},
    ],
}


@pytest.fixture
def running(site: Any) -> Any:
    site.publish(30)
    assert site.client.post("/v1/experiments", json=DESIGN).status_code == 201
    started = site.client.post("/v1/experiments/no-exploration/start").json["experiments"][0]
    assert started["status"] == "running"
    site.services.keeper.refresh()
    return site


def test_readers_are_dealt_to_variants_and_stay_there(running: Any) -> None:
    first = [running.feed(f"r{n}")["experiments"]["no-exploration"] for n in range(60)]
    again = [running.feed(f"r{n}")["experiments"]["no-exploration"] for n in range(60)]
    assert first == again
    assert 15 < first.count("plain") < 45


def test_a_variant_changes_the_ranking_and_only_its_own(running: Any) -> None:
    for number in range(30):
        page = running.feed(f"r{number}")
        explored = [i for i in page["items"] if i["reasons"][0]["code"] == "explore"]
        if page["experiments"]["no-exploration"] == "plain":
            assert not explored


def test_the_served_record_names_variant_sources_and_propensities(running: Any) -> None:
    page = running.feed("r1")
    store = running.store
    records = [
        r.payload
        for p in range(store.partitions)
        for r in store.read_stream(p, "0-0", 10)
        if r.type is RecordType.SERVED
    ]
    (record,) = records
    assert page["request_id"].encode() in record
    assert b'"experiments":{"no-exploration":' in record
    assert record.count(b'"a') >= 20


def test_readers_without_personalization_are_in_no_experiment(running: Any) -> None:
    running.client.put("/v1/users/r1/preferences", json={"personalization": False})
    assert running.feed("r1")["experiments"] == {}
    assert running.feed("r2", mode="latest")["experiments"] == {}


def test_a_stopped_experiment_ends_for_everybody(running: Any) -> None:
    assert running.client.post("/v1/experiments/no-exploration/stop").status_code == 200
    running.services.keeper.refresh()
    assert running.feed("r1")["experiments"] == {}
    assert running.client.post("/v1/experiments/no-exploration/start").status_code == 409


def test_a_running_experiment_is_frozen(running: Any) -> None:
    answer = running.client.post("/v1/experiments", json=DESIGN)
    assert answer.status_code == 409
    assert "frozen" in answer.json["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"variants": [{"name": "only", "share": 1.0}]},
        {"variants": [*DESIGN["variants"], {"name": "x", "overrides": {"nothing": 1}}]},
        {"hypothesis": 7},
        {"colour": "red"},
        {"name": "Not A Name"},
    ],
)
def test_a_wrong_design_is_refused_with_the_field(site: Any, change: dict[str, Any]) -> None:
    answer = site.client.post("/v1/experiments", json={**DESIGN, **change})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"]


def test_interleaving_shows_both_rankings_and_says_which_side_picked(site: Any) -> None:
    site.publish(30)
    design = {
        **DESIGN,
        "name": "mixed",
        "variants": [
            {"name": "control", "share": 0.01},
            {"name": "plain", "overrides": {"section_decay": 0.5}, "share": 0.01},
            {"name": "both", "share": 0.98, "interleaves": ["control", "plain"]},
        ],
    }
    answer = site.client.post("/v1/experiments", json=design)
    assert answer.status_code == 201, answer.json
    site.client.post("/v1/experiments/mixed/start")
    site.services.keeper.refresh()
    reader = next(
        f"r{n}" for n in range(50) if site.feed(f"r{n}")["experiments"]["mixed"] == "both"
    )
    page = site.feed(reader, limit=30)
    ids = [item["article"]["article_id"] for item in page["items"]]
    assert len(ids) == len(set(ids)) == 30
    kept = site.store.read_for_page(reader, page["request_id"])[0]
    teams = [s for sources in kept.slots.sources for s in sources if s.startswith("team:")]
    assert set(teams) == {"team:control", "team:plain"}
    assert len(teams) == 30


def test_the_account_of_the_ranking_is_in_words_and_complete(site: Any) -> None:
    account = site.client.get("/v1/about-ranking").json
    assert account["summary"]
    assert account["your_choices"]
    names = {parameter["name"] for parameter in account["parameters"]}
    assert {"trending_boost", "section_decay", "explore_slots"} <= names
    assert all(entry["text"] for entry in (*account["parameters"], *account["signals"]))


def test_what_is_held_on_a_reader_can_be_seen_and_erased(site: Any) -> None:
    site.publish(5)
    site.send({"event_id": "e1", "user_id": "reader", "article_id": "a1", "kind": "like"})
    held = site.client.get("/v1/users/reader/export").json
    assert held["store"]["reactions"] == {"a1": "like"}
    assert held["archive"] == {"events": [], "served": [], "identities": []}
    assert site.client.delete("/v1/users/reader").status_code == 202
    held = site.client.get("/v1/users/reader/export").json
    assert held["store"]["reactions"] == {}
    assert held["store"]["history"] == []


def test_metrics_name_no_reader_and_no_article(site: Any) -> None:
    site.publish(3)
    site.send({"event_id": "e1", "user_id": "secretive", "article_id": "a1", "kind": "click"})
    site.feed("secretive")
    site.client.get("/v1/articles/a1")
    site.client.get("/v1/users/secretive/preferences")
    text = site.client.get("/metrics").text
    assert "secretive" not in text
    assert "a1" not in text.replace("a1\n", "")
    assert 'feed_stage_seconds_count{stage="store_read"}' in text


def test_a_reader_keeps_one_variant_across_a_login(running: Any) -> None:
    def variant(user_id: str) -> str:
        return str(running.feed(user_id)["experiments"]["no-exploration"])

    for number in range(20):
        before = variant(f"anon{number}")
        answer = running.client.post(
            f"/v1/users/new-account{number}/merge", json={"from": f"anon{number}"}
        )
        assert answer.status_code == 200, answer.json
        assert variant(f"new-account{number}") == before
        assert variant(f"anon{number}") == before
        own = variant(f"old-account{number}")
        answer = running.client.post(
            f"/v1/users/old-account{number}/merge", json={"from": f"other{number}"}
        )
        assert answer.status_code == 200, answer.json
        assert variant(f"old-account{number}") == variant(f"other{number}") == own


def test_an_experiment_on_a_model_that_does_not_exist_does_not_start(site: Any) -> None:
    variants = [DESIGN["variants"][0], {"name": "new", "share": 0.5, "model_version": "v404"}]  # type: ignore[index]
    design = {**DESIGN, "variants": variants}
    assert site.client.post("/v1/experiments", json=design).status_code == 201
    answer = site.client.post("/v1/experiments/no-exploration/start")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "variants.1.model_version"


def test_a_design_that_can_tell_nothing_is_refused_with_its_field(site: Any) -> None:
    answer = site.client.post("/v1/experiments", json={**DESIGN, "traffic": 0.00001})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "traffic"


def test_a_design_takes_the_declarations_of_own_metrics_with_it(site: Any) -> None:
    file = site.services.settings.data_dir / "metrics.toml"
    file.write_text('[comments]\ntitle = "c"\nkind = "mean"\ncount = "custom:comment"\n')
    design = {**DESIGN, "primary_metrics": ["comments"]}
    refused = site.client.post("/v1/experiments", json=design)
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "metrics.toml, line 1: comments.better"
    file.write_text(f'{file.read_text()}better = "up"\n')
    made = site.client.post("/v1/experiments", json=design)
    assert made.status_code == 201
    assert made.json["experiments"][0]["metrics"]["comments"]["count"] == "custom:comment"
