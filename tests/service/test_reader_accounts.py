"""Support cases over the API: why do I see this, and why do I not see that?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import RankingConfig, Settings
from feed.domain import format_time
from feed.editorial.boosts import Boost
from feed.experiments.design.lifecycle import set_override
from feed.service.api_keys import hash_key
from feed.storage.records import AuditEntry
from tests.service.conftest import Site, ids_of

CERTAIN = RankingConfig(explore_slots=0)


@pytest.fixture
def site(make_site: Callable[[Settings], Site], settings: Settings) -> Site:
    site = make_site(replace(settings, ranking=CERTAIN))
    site.publish(40)
    return site


def event(reader: str, kind: str, article_id: str, number: int, at: float) -> dict[str, Any]:
    return {
        "event_id": f"{reader}-{number}",
        "user_id": reader,
        "kind": kind,
        "article_id": article_id,
        "occurred_at": format_time(at),
    }


def click(site: Site, reader: str, *article_ids: str) -> None:
    """The last article most recently, two minutes ago, and two minutes between them."""
    last, count = site.clock.now, len(article_ids)
    times = [last - 120 * (count - place) for place in range(count)]
    places = enumerate(zip(article_ids, times, strict=True))
    answer = site.send(*(event(reader, "click", a, n, at) for n, (a, at) in places))
    assert answer["accepted"] == count


def ask(site: Site, reader: str, article_id: str = "", **query: Any) -> dict[str, Any]:
    path = f"/v1/users/{reader}/account" + (f"/{article_id}" if article_id else "")
    answer = site.client.get(path, query_string=query)
    assert answer.status_code == 200, answer.json
    body: dict[str, Any] = answer.json
    return body


def verdict(site: Site, reader: str, article_id: str, **query: Any) -> dict[str, Any]:
    (found,) = ask(site, reader, article_id, **query)["answers"]
    answer: dict[str, Any] = found
    return answer


def looks(site: Site, reader: str) -> list[dict[str, Any] | None]:
    return [e.after for e in site.store.read_audit(20, f"readers/{reader}")]


def test_an_account_is_the_very_feed_that_the_reader_gets(site: Site) -> None:
    click(site, "ann", "a3", "a7")
    account = ask(site, "ann", limit=10, section="section-1")
    feed = site.feed("ann", limit=10, section="section-1")
    assert [slot["article"]["article_id"] for slot in account["slots"]] == ids_of(feed)
    for slot, item in zip(account["slots"], feed["items"], strict=True):
        assert slot["position"] == item["position"]
        assert slot["score"] == pytest.approx(item["score"], abs=2e-6)
        assert slot["reasons"] == item["reasons"]
        assert slot["article"]["title"] == item["article"]["title"]
        total = sum(slot["groups"].values()) + slot["rest"]
        assert total == pytest.approx(slot["margin"], abs=1e-4)
        assert slot["sources"]
    assert account["slots"][0]["runner_up"]["article"]["article_id"] == ids_of(feed)[1]


def test_a_look_is_audited_and_leaves_no_other_trace(site: Site) -> None:
    click(site, "ann", "a3")
    site.work()
    before = site.store.read_reader("ann")
    ask(site, "ann")
    ask(site, "ann", "a5")
    assert looks(site, "ann") == [{"article_id": "a5"}, None]
    (newest, _) = site.store.read_audit(2)
    assert (newest.by, newest.action) == ("open access", "looked at")
    assert site.store.read_reader("ann") == before
    assert site.worker.tick(site.clock.now).counted == 0


def test_readers_are_told_when_somebody_looked_at_them(site: Site) -> None:
    at = [format_time(site.clock.now)]
    ask(site, "ann")
    ask(site, "ann/2")
    assert site.client.get("/v1/users/ann/export").json["looked_at"] == at


def test_nothing_is_shown_if_the_look_cannot_be_kept(
    site: Site, make_site: Callable[[Settings], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit log's key holds something else, so that no entry can be written."""
    click(site, "ann", "a3")
    key = site.store._keys.catalogue("audit")
    site.store._link.call(key, "DEL", key)
    site.store._link.call(key, "SET", key, "spoiled")
    for path in ("/v1/users/ann/account", "/v1/users/ann/account/a3"):
        answer = site.client.get(path)
        assert answer.status_code >= 500
        assert "Title" not in answer.text
        assert "slots" not in answer.text


def test_a_merged_id_gives_the_account_of_its_reader(site: Site) -> None:
    click(site, "guest", "a3")
    site.client.post("/v1/users/ann/merge", json={"from": "guest"})
    account = ask(site, "guest")
    assert account["user_id"] == "ann"
    assert looks(site, "ann") == [{"asked_for": "guest"}]
    assert verdict(site, "guest", "a3")["rules"][0]["rule"] == "read"


def test_a_reader_without_personalisation_is_ranked_like_a_new_one(site: Site) -> None:
    site.client.put("/v1/users/ann/preferences", json={"personalization": False})
    click(site, "ann", "a3")
    account, new = ask(site, "ann"), ask(site, "nobody-yet")
    assert account["personalization"] is False
    assert account["slots"] == new["slots"]
    assert verdict(site, "ann", "a3")["verdict"] == "shown"


def test_why_do_i_not_see_what_i_have_read(site: Site) -> None:
    click(site, "ann", "a3")
    answer = verdict(site, "ann", "a3")
    assert answer["verdict"] == "rules"
    assert [rule["rule"] for rule in answer["rules"]] == ["read"]
    assert answer["text"].startswith("It may not be shown here. The reader opened it at ")


def test_every_rule_that_applies_is_named(site: Site) -> None:
    click(site, "ann", "a3")
    site.send(event("ann", "hide", "a3", 9, site.clock.now - 5))
    site.publish(1, article_id="german", language="de")
    preferences = {"muted_sections": ["section-3"], "languages": ["de"]}
    site.client.put("/v1/users/ann/preferences", json=preferences)
    answer = verdict(site, "ann", "a3", section="section-1", language="fr", page_article_id="a3")
    assert [rule["rule"] for rule in answer["rules"]] == [
        "read", "hidden", "muted_section", "language", "page", "other_section", "other_language",
    ]  # fmt: skip
    assert "has muted its section, section-3." in answer["text"]
    assert "Its language is en, and the reader has chosen others." in answer["text"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"expires_at": -60.0}, "expired: 21 Sep 2026, 14:12 UTC"),
        ({"published_at": 3600.0}, "scheduled: 21 Sep 2026, 15:13 UTC"),
        ({"published_at": -100 * 3600.0}, "too_old: 17 Sep 2026, 10:13 UTC"),
    ],
)
def test_an_article_out_of_its_time_is_said_to_be_so(
    site: Site, change: dict[str, float], found: str
) -> None:
    rule, _, moment = found.partition(": ")
    times = {name: format_time(site.clock.now + s) for name, s in change.items()}
    body = {"article_id": "odd", "title": "Odd", "published_at": format_time(site.clock.now - 90)}
    site.client.post("/v1/articles", json={"articles": [{**body, **times}]})
    answer = verdict(site, "ann", "odd")
    assert [one["rule"] for one in answer["rules"]] == [rule]
    assert moment in answer["text"]


def test_unknown_retracted_and_just_retracted_articles(site: Site) -> None:
    assert verdict(site, "ann", "nowhere")["text"].endswith("There is no article with this id.")
    site.client.delete("/v1/articles/a2")
    assert [rule["rule"] for rule in verdict(site, "ann", "a2")["rules"]] == ["gone"]
    (stored,) = site.store.read_articles(["a1"])
    assert stored is not None
    site.store.write_articles([replace(stored, article=replace(stored.article, retracted=True))])
    assert [rule["rule"] for rule in verdict(site, "ann", "a1")["rules"]] == ["withdrawn"]
    shown = [slot["article"]["article_id"] for slot in ask(site, "ann", limit=5)["slots"]]
    assert not {"a1", "a2"} & set(shown)


def test_a_twin_is_answered_with_the_one_that_is_shown(site: Site) -> None:
    site.publish(1, article_id="one", url="https://news.example/x", title="The bridge is open")
    site.clock.now += 5
    site.publish(1, article_id="two", url="https://news.example/x", title="The bridge is open")
    answer = verdict(site, "ann", "two")
    assert answer["rules"][0]["stands_for_it"] == "one"
    assert answer["stand_in"]["verdict"] == "shown"
    assert "“The bridge is open”, which is shown instead of it." in answer["text"]


def test_what_is_shown_and_what_ranks_lower(site: Site) -> None:
    feed = ids_of(site.feed("ann", limit=30))
    shown = verdict(site, "ann", feed[4], limit=10)
    assert (shown["verdict"], shown["position"]) == ("shown", 4)
    assert shown["text"] == "It is in this feed, at slot 5."
    below = verdict(site, "ann", feed[25], limit=10)
    assert (below["verdict"], below["position"]) == ("rank", 25)
    assert below["comparison"]["rank"] == 26
    assert below["comparison"]["last_shown"]["article"]["article_id"] == feed[9]
    assert below["comparison"]["lacked"] > 0
    assert "to take the place of “" in below["text"]


def test_what_no_source_proposed_and_what_was_cut(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    few = replace(CERTAIN, candidates_per_source=5, candidate_cap=3)
    site = make_site(replace(settings, ranking=few))
    site.publish(12)
    cut, missed = verdict(site, "ann", "a4"), verdict(site, "ann", "a9")
    assert (cut["verdict"], cut["turn"]) == ("cap", 5)
    assert "as number 5 of all proposals, and only the first 3 are compared" in cut["text"]
    assert missed["verdict"] == "sources"
    sources = {found["source"]: found for found in missed["sources"]}
    assert sources["fresh"]["text"] == "It is number 10 of this source, which proposes 5."
    assert sources["followed"]["lacks"] == "no_follows"


def test_a_limit_of_the_newsroom_is_named(site: Site) -> None:
    shown = ids_of(site.feed("ann", limit=20))
    limit = {"rule": "at_least", "of": "section", "value": "section-3", "count": 8, "within": 10}
    body = {"version": 0, "limits": [limit]}
    assert site.client.put("/v1/limits", json=body).status_code == 200
    site.services.keeper.refresh()
    account = ask(site, "ann", limit=10)
    words = "At least 8 of the first 10 articles are of the section section-3"
    assert [kept["text"] for kept in account["rankings"][0]["limits"]] == [words]
    assert words in {slot["limit"] for slot in account["slots"]}
    now_shown = {slot["article"]["article_id"] for slot in account["slots"]}
    held_back = next(article_id for article_id in shown[:10] if article_id not in now_shown)
    answer = verdict(site, "ann", held_back, limit=10)
    assert (answer["verdict"], answer["limits"]) == ("limits", [words])
    place = shown.index(held_back) + 1
    assert answer["text"].startswith(f"It would be number {place} by its score, but a limit")


def test_a_boost_is_a_factor(site: Site) -> None:
    now = site.clock.now
    boost = Boost(article_id="a9", factor=3.0, starts_at=now - 1, ends_at=now + 60)
    entry = AuditEntry(now, "ed", "boosted", "articles/a9")
    site.store.write_editorial("boosts", [boost.to_json()], version=1, entry=entry)
    site.services.keeper.refresh()
    standing = verdict(site, "ann", "a9")["standing"]
    assert standing["factors"]["editorial"] == 3.0
    assert standing["sources"]["boosts"] == 1


def test_a_near_duplicate_names_the_better_article(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    site = make_site(replace(settings, ranking=CERTAIN))
    vectors = ([1.0, 0.0], [1.0, 0.01], [0.0, 1.0])
    titles = ("Snow", "Harvest", "Opera")  # nothing in common, so that only the vectors are alike
    for number, (title, vector) in enumerate(zip(titles, vectors, strict=True)):
        body = {
            "article_id": f"v{number}",
            "title": title,
            "published_at": format_time(site.clock.now - 60 * number),
            "embedding": vector,
        }
        assert site.client.post("/v1/articles", json={"articles": [body]}).status_code == 200
    answer = verdict(site, "ann", "v1")
    assert answer["verdict"] == "duplicate", answer
    assert answer["alike"][0]["article"]["article_id"] == "v0"
    assert answer["alike"][0]["cosine"] > 0.99
    assert answer["text"].startswith("It is nearly the same as “Snow”")


@pytest.fixture
def experiment(site: Site) -> Site:
    """Three readers are in one variant each: control, bold and both, which interleaves them."""
    variants: list[dict[str, Any]] = [
        {"name": "control", "share": 0.4},
        {"name": "bold", "share": 0.3, "overrides": {"section_decay": 0.5}},
        {"name": "both", "share": 0.3, "interleaves": ["control", "bold"]},
    ]
    design = {"name": "mix", "hypothesis": "h", "owner": "o", "variants": variants}
    assert site.client.post("/v1/experiments", json=design).status_code == 201
    assert site.client.post("/v1/experiments/mix/start").status_code == 200
    for variant in variants:
        name = variant["name"]
        set_override(site.store, "mix", f"of-{name}", name, now=site.clock.now, by="desk")
    site.services.keeper.refresh()
    return site


@pytest.mark.parametrize("variant", ["control", "bold"])
def test_an_account_is_of_the_readers_variant(experiment: Site, variant: str) -> None:
    account = ask(experiment, f"of-{variant}")
    assert account["experiments"] == {"mix": variant}
    shown = [slot["article"]["article_id"] for slot in account["slots"]]
    assert shown == ids_of(experiment.feed(f"of-{variant}"))


def test_interleaved_rankings_are_both_accounted_for(experiment: Site) -> None:
    account = ask(experiment, "of-both", limit=10)
    assert [side["name"] for side in account["rankings"]] == ["control", "bold"]
    assert {slot["ranking"] for slot in account["slots"]} == {"control", "bold"}
    assert [slot["position"] for slot in account["slots"]] == list(range(10))
    last = account["slots"][-1]
    answer = ask(experiment, "of-both", last["article"]["article_id"], limit=10)
    assert answer["position"] == 9
    verdicts = {found["ranking"]: found["verdict"] for found in answer["answers"]}
    assert verdicts[last["ranking"]] == "shown"


def test_a_simulation_compares_a_new_reader_with_one_who_read(site: Site) -> None:
    body = {"second": {"read": ["a3", "a7"]}, "limit": 10}
    answer = site.client.post("/v1/simulate", json=body)
    assert answer.status_code == 200, answer.json
    found = answer.json
    first, second = (
        [slot["article"]["article_id"] for slot in found[side]["slots"]]
        for side in ("first", "second")
    )
    assert first == ids_of(site.feed("nobody-yet", limit=10))
    difference = found["difference"]
    assert not {"a3", "a7"} & set(second)
    assert set(difference["gone"]) == set(first) - set(second)
    assert set(difference["new"]) == set(second) - set(first)
    for move in difference["moved"]:
        assert first[move["before"]] == second[move["after"]] == move["article_id"]
    kept = len(set(first) & set(second))
    assert difference["overlap"] == pytest.approx(kept / 10)
    assert difference["same"] + len(difference["moved"]) == kept
    click(site, "real", "a3", "a7")
    assert second == ids_of(site.feed("real", limit=10))
    assert site.store.read_audit(10) == []


def test_a_simulation_changes_any_setting(site: Site) -> None:
    body = {"second": {"settings": {"section_decay": 0.2, "decay_floor": 0.01}}}
    found = site.client.post("/v1/simulate", json=body).json
    decays = [slot["factors"]["diversity"] for slot in found["second"]["slots"]]
    assert (
        min(decays) < 0.05 < min(slot["factors"]["diversity"] for slot in found["first"]["slots"])
    )
    same = site.client.post("/v1/simulate", json={}).json["difference"]
    assert same == {"moved": [], "new": [], "gone": [], "same": 20, "overlap": 1.0}


@pytest.mark.parametrize(
    ("side", "field", "rule"),
    [
        ({"read": ["nowhere"]}, "second.read.0", "must be an article that exists"),
        ({"settings": {"speed": 1}}, "second.settings.speed", "is not a setting"),
        ({"settings": {"mmr_lambda": 2}}, "second.settings.mmr_lambda", "between 0 and 1"),
        (
            {"settings": {"trending_half_life_minutes": 60}},
            "second.settings.trending_half_life_minutes",
            "cannot be changed",
        ),
        ({"settings": {"weights": {"x": 1}}}, "second.settings.weights.x", "is not a feature"),
    ],
)
def test_a_simulation_refuses_what_cannot_be(
    site: Site, side: dict[str, Any], field: str, rule: str
) -> None:
    answer = site.client.post("/v1/simulate", json={"second": side})
    assert answer.status_code == 422
    assert field in answer.text
    assert rule in answer.text


def test_only_admin_keys_may_look(
    make_site: Callable[[Settings], Site], settings: Settings
) -> None:
    names = {"ann": "read", "ed": "write", "boss": "admin"}
    keys = ",".join(f"{name}:{scope}:{hash_key(name * 9)}" for name, scope in names.items())
    site = make_site(replace(settings, api_keys=keys))
    for name, status in {"ann": 403, "ed": 403, "boss": 200}.items():
        headers = {"Authorization": f"Bearer {name * 9}"}
        for path in ("/v1/users/x/account", "/v1/users/x/account/a1"):
            assert site.client.get(path, headers=headers).status_code == status
        answer = site.client.post("/v1/simulate", json={}, headers=headers)
        assert answer.status_code == status
    assert [entry.by for entry in site.store.read_audit(10)] == ["boss", "boss"]
