"""Explored slots evaluate another policy: in a world with a known truth, and without any."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from feed.config import RankingConfig, Settings
from feed.domain import ArchiveError, format_time
from feed.experiments.design.definitions import Experiment, Variant
from feed.experiments.off_policy.estimators import evaluate_policy
from feed.models.bundle import empty_bundle
from feed.offline.explored import ExploredSlots, Policy, moment_of_counters, read_explored
from feed.service.app import create_app
from feed.setting_fields import override
from feed.storage.archive import Archive
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker
from feed.worker.publication import Publication

OPE = (sys.executable, "-m", "feed", "ope")
NOW = 1_790_000_000.0
ARTICLES, REQUESTS, READERS = 130, 540, 60
TOP = 0.5
MODELS = {"none": empty_bundle()}
FRESH = override(RankingConfig(), {"weights": {"age_published": -5.0}})


def click_rate(article_id: str) -> float:
    """The truth: the newer an article, the more it is clicked."""
    return 0.7 - 0.65 * int(article_id[1:]) / ARTICLES


@dataclass(frozen=True)
class World:
    """An installation that explored, by need or not, and when its counters were published."""

    data_dir: Path
    published_at: dict[str, float]
    by_need: bool

    @property
    def archive(self) -> Archive:
        return Archive(self.data_dir / "archive")

    def under(self, policy: Policy, **options: Any) -> ExploredSlots:
        rng = np.random.default_rng(0)
        options.setdefault("base", RankingConfig(explore_by_need=self.by_need))
        moment = self.published_at.__getitem__
        return read_explored(self.archive, MODELS, policy, rng, moment=moment, **options)


def send(client: Any, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code in {200, 202}, answer.json


def events_of(page: dict[str, Any], user: str, now: float, rng: np.random.Generator) -> list[Any]:
    events = []
    for item in page["items"]:
        article_id = item["article"]["article_id"]
        kinds = ["impression"] + ["click"] * int(rng.random() < click_rate(article_id))
        events += [
            {
                "event_id": f"{page['request_id']}-{item['position']}-{kind}",
                "user_id": user,
                "article_id": article_id,
                "kind": kind,
                "occurred_at": format_time(now + 0.1 * (item["position"] + 1) * (kind == "click")),
                "request_id": page["request_id"],
                "position": item["position"],
            }
            for kind in kinds
        ]
    return events


@pytest.fixture(scope="module", params=[True, False], ids=["by need", "equally"])
def world(
    request: pytest.FixtureRequest, store_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """An installation that drew by need, or with equal chances as all did at first."""
    settings = replace(
        Settings(),
        ranking=RankingConfig(explore_by_need=request.param),
        redis_url=store_url,
        data_dir=tmp_path_factory.mktemp("explored"),
        encoder="none",
        request_budget_ms=60_000,
        store_timeout_ms=20_000,
        archive_seconds=1e5,
    )
    store = RedisStore(settings)
    store._link.every_node("FLUSHALL")
    yield drive(settings, store)
    store.close()


@pytest.fixture
def limited(store: RedisStore, store_settings: Settings) -> World:
    """A small installation whose newsroom limits every front page."""
    limits = [
        {"rule": "at_most", "of": "section", "share": 0.2, "within": 20},
        {"rule": "at_least", "of": "section", "value": "s3", "count": 4, "within": 10},
    ]
    settings = replace(
        store_settings,
        ranking=RankingConfig(explore_by_need=True),
        encoder="none",
        request_budget_ms=60_000,
        archive_seconds=1e5,
    )
    return drive(settings, store, 25, limits)


def drive(
    settings: Settings,
    store: RedisStore,
    requests: int = REQUESTS,
    limits: Sequence[dict[str, Any]] = (),
    wishes: Sequence[dict[str, Any]] = (),
) -> World:
    """Let readers use a service that explores, and archive what they did."""
    clock = [NOW]
    app = create_app(settings, store, lambda: clock[0], seed=0)
    keeper, client = app.extensions["feed"].keeper, app.test_client()
    worker, rng = Worker(store, settings), np.random.default_rng(5)
    articles = [
        {
            "article_id": f"a{n}",
            "title": f"Title {n}",
            "published_at": format_time(NOW - 600.0 * n),
            "section": f"s{n % 5}",
            "language": "en",
        }
        for n in range(ARTICLES)
    ]
    keeper.refresh()
    send(client, "/v1/articles", {"articles": articles})
    if limits:
        answer = client.put("/v1/limits", json={"version": 0, "limits": limits})
        assert answer.status_code == 200, answer.json
    for number in range(READERS if wishes else 0):
        address = f"/v1/users/u{number}/preferences"
        assert client.put(address, json={"wishes": wishes}).status_code == 200
    published_at = {}
    for number in range(requests):
        clock[0] = round(clock[0] + float(rng.uniform(2, 20)), 3)
        if number % 5 == 0:
            worker.tick(clock[0])
            for delta_id, data in store.read_deltas("0-0"):
                published_at[delta_id] = Publication.from_bytes(data).at
            keeper.refresh()
        user = f"u{rng.integers(READERS)}"
        page = client.get("/v1/feed", query_string={"user_id": user, "limit": 20}).json
        events = events_of(page, user, clock[0], rng)
        clock[0] += 2.5
        send(client, "/v1/events", {"events": events})
    worker.tick(clock[0])
    worker.archive(clock[0] + 1e5)
    return World(settings.data_dir, published_at, settings.ranking.explore_by_need)


def test_propensities_are_exact_on_a_log_written_under_limits(limited: World) -> None:
    with limited.archive.query(0.0) as connection:
        explored, under_limits = connection.execute(
            "SELECT count(*), count(*) FILTER (context ->> 'limits' IS NOT NULL)"
            " FROM served WHERE explored"
        ).fetchone()
    assert explored == under_limits > 20
    found = limited.under(Policy(bundle=empty_bundle(), config=RankingConfig(), top=1.0))
    enough = found.bandit.rewards.size + found.left_out.get("of readers who did nothing", 0)
    assert enough == explored, found.left_out
    assert found.bandit.targets.min() > 0, "each article drawn was in its pool"


@pytest.fixture
def wishful(store: RedisStore, store_settings: Settings) -> World:
    """A small installation whose readers mute a section for a while, which ends on the way."""
    settings = replace(
        store_settings,
        ranking=RankingConfig(explore_by_need=True),
        encoder="none",
        request_budget_ms=60_000,
        archive_seconds=1e5,
    )
    wishes = [
        {"kind": "mute", "of": "section", "value": "s3", "until": format_time(NOW + 150)},
        {"kind": "fewer", "of": "section", "value": "s1", "until": format_time(NOW + 150)},
    ]
    return drive(settings, store, 25, wishes=wishes)


def test_a_replay_knows_the_wishes_that_held_at_the_time(wishful: World) -> None:
    with wishful.archive.query(0.0) as connection:
        during, after = connection.execute(
            "SELECT count(*) FILTER (context ->> 'wishes' IS NOT NULL),"
            " count(*) FILTER (context ->> 'wishes' IS NULL) FROM served WHERE explored"
        ).fetchone()
    assert min(during, after) > 3
    found = wishful.under(Policy(bundle=empty_bundle(), config=RankingConfig(), top=1.0))
    enough = found.bandit.rewards.size + found.left_out.get("of readers who did nothing", 0)
    assert enough == during + after, found.left_out
    assert found.bandit.targets.min() > 0, "each article drawn was in its pool"


def test_the_pools_of_served_requests_are_found_again(world: World) -> None:
    found = world.under(Policy(bundle=empty_bundle(), config=RankingConfig(), top=1.0))
    assert found.explored > 0.9 * REQUESTS
    assert found.left_out == {}
    assert found.bandit.targets.min() > 0, "each article drawn was in its pool"
    assert (np.ptp(found.bandit.weights) > 0.2) == world.by_need


def test_estimates_cover_what_the_policy_would_really_get(world: World) -> None:
    found = world.under(Policy(bundle=empty_bundle(), config=FRESH, top=TOP))
    ids = found.log.articles.ids
    truth = np.mean([np.mean([click_rate(ids[row]) for row in rows]) for rows in found.chosen])
    report = evaluate_policy(found.bandit, np.random.default_rng(1), level=0.999)
    assert report.refusal == ""
    assert truth > found.bandit.rewards.mean()
    assert report.overlap.effective_share == pytest.approx(TOP, abs=0.1)
    for estimate in report.estimates:
        if estimate.interval is not None:
            assert estimate.interval.covers(float(truth)), estimate.name


def test_the_drawn_article_has_the_chance_that_was_stated(world: World) -> None:
    found = world.under(Policy(bundle=empty_bundle(), config=FRESH, top=TOP))
    overlap = evaluate_policy(found.bandit, np.random.default_rng(1)).overlap
    assert abs(overlap.mean_weight - 1.0) < 3.3 * overlap.mean_weight_error


def test_pools_of_other_settings_are_left_out_with_the_reason(world: World) -> None:
    wrong = RankingConfig(explore_slots=2, explore_by_need=world.by_need)
    found = world.under(Policy(bundle=empty_bundle(), config=FRESH), base=wrong)
    assert found.left_out["whose pool was not found again"] > 0.98 * found.explored
    report = evaluate_policy(found.bandit, np.random.default_rng(1))
    assert report.refusal


def test_draws_with_equal_chances_are_found_again_whatever_the_setting_is_now(
    world: World,
) -> None:
    policy, now = Policy(bundle=empty_bundle(), config=FRESH), RankingConfig(explore_by_need=True)
    found = world.under(policy, base=now)
    assert found.left_out == {}
    np.testing.assert_allclose(found.bandit.weights, world.under(policy).bandit.weights)


def test_a_model_that_is_gone_leaves_its_requests_out(world: World) -> None:
    rng = np.random.default_rng(0)
    policy = Policy(bundle=empty_bundle(), config=FRESH)
    found = read_explored(world.archive, {}, policy, rng)
    assert found.left_out == {"made with a model that is gone": found.explored}


def test_feeds_of_an_experiment_need_its_definition(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.data_dir / "archive", tmp_path / "archive")
    for file in (tmp_path / "archive" / "served").rglob("*.parquet"):
        rows = duckdb.read_parquet(str(file))
        mark = """SELECT * REPLACE ('{"trial": "plain"}' AS experiments) FROM rows"""
        rows.query("rows", mark).write_parquet(str(file.with_suffix(".new")))
        file.with_suffix(".new").replace(file)
    inside = replace(world, data_dir=tmp_path)
    policy = Policy(bundle=empty_bundle(), config=FRESH)
    unknown = inside.under(policy)
    assert unknown.left_out == {"in an experiment whose settings are not known": unknown.explored}
    arms = (Variant(name="control", share=0.5, overrides={"explore_slots": 2}),
            Variant(name="plain", share=0.5))  # fmt: skip
    trial = Experiment(name="trial", hypothesis="h", owner="o", variants=arms, started_at=NOW - 1.0)
    found = inside.under(policy, experiments=[trial])
    assert found.left_out == {}
    np.testing.assert_array_equal(found.bandit.weights, world.under(policy).bandit.weights)


def test_an_archive_without_exploration_or_without_anything_is_told_apart(
    world: World, tmp_path: Path
) -> None:
    late = world.under(Policy(bundle=empty_bundle(), config=FRESH), from_at=NOW + 5e5)
    assert late.explored == 0
    assert evaluate_policy(late.bandit, np.random.default_rng(1)).refusal == "the log is empty"
    with pytest.raises(ArchiveError, match="no events"):
        read_explored(
            Archive(tmp_path), MODELS, Policy(bundle=empty_bundle(), config=FRESH),
            np.random.default_rng(0),
        )  # fmt: skip


def test_without_clicks_the_value_is_zero(world: World) -> None:
    found = world.under(Policy(bundle=empty_bundle(), config=FRESH, top=TOP))
    silent = replace(
        found.bandit,
        rewards=np.zeros_like(found.bandit.rewards),
        predicted=np.zeros_like(found.bandit.rewards),
        predicted_target=np.zeros_like(found.bandit.rewards),
    )
    values = [e.value for e in evaluate_policy(silent, np.random.default_rng(1)).estimates]
    assert values == [0.0] * len(values)


def test_the_command_reads_an_archive(world: World, tmp_path: Path) -> None:
    answer = tmp_path / "ope.json"
    run = subprocess.run(
        [
            *OPE, "--log", world.data_dir, "--policy", world.data_dir,
            "--set", 'weights={"age_published": -5}', "--top", "0.5", "--json", answer,
        ],
        env={**os.environ, "FEED_RANKING_EXPLORE_BY_NEED": str(world.by_need)},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    written = json.loads(answer.read_text())
    assert "drawn by chance" in run.stdout
    assert written["explored"] > 0.9 * REQUESTS
    assert {row["name"] for row in written["estimates"]} >= {"replay", "ips", "snips"}


def test_the_time_of_counters_is_in_their_id() -> None:
    assert moment_of_counters("1790000000250-3") == 1_790_000_000.25
    assert moment_of_counters("") == 0.0
