from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from feed.config import RankingConfig
from feed.domain import ConflictError, InvalidInputError, NotFoundError
from feed.experiments.design.definitions import Experiment, Status, Variant
from feed.experiments.design.lifecycle import (
    archive_experiment,
    create_experiment,
    named_models,
    read_experiment,
    read_experiments,
    read_reported,
    running_experiments,
    set_override,
    start_experiment,
    stop_experiment,
)
from feed.experiments.design.resolution import resolve
from feed.models.bundle import empty_bundle
from feed.models.registry import ModelRegistry
from feed.storage.records import AuditEntry
from feed.storage.redis_store import RedisStore

NOW = 1_790_000_000.0
ENTRY = AuditEntry(NOW, "desk", "changed", "experiments/boost")
NO_MODELS = ModelRegistry(Path("no models"))
BOOST = Experiment(
    name="boost",
    hypothesis="h",
    owner="o",
    variants=(
        Variant(name="control", share=0.5),
        Variant(name="off", share=0.5, overrides={"trending_boost": 0.0}),
    ),
)


def test_a_draft_starts_and_stops(store: RedisStore) -> None:
    assert create_experiment(store, BOOST, now=NOW, by="desk").status is Status.DRAFT
    started = start_experiment(store, "boost", registry=NO_MODELS, now=NOW + 1, by="desk")
    assert started.buckets[1] - started.buckets[0] == 10_000
    assert running_experiments(read_experiments(store).values()) == (started,)
    stopped = stop_experiment(store, "boost", now=NOW + 2, by="desk")
    assert (stopped.started_at, stopped.stopped_at) == (NOW + 1, NOW + 2)
    assert running_experiments(read_experiments(store).values()) == ()
    assert read_experiment(store, "boost") == stopped


def test_what_has_started_is_frozen(store: RedisStore) -> None:
    create_experiment(store, BOOST, now=NOW, by="desk")
    start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")
    with pytest.raises(ConflictError, match="frozen"):
        create_experiment(store, replace(BOOST, alpha=0.1), now=NOW, by="desk")
    with pytest.raises(ConflictError, match="only a draft"):
        start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")


def test_a_change_is_a_new_version_and_the_old_one_stays(store: RedisStore) -> None:
    create_experiment(store, BOOST, now=NOW, by="desk")
    first = start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")
    stop_experiment(store, "boost", now=NOW, by="desk")
    second = create_experiment(store, replace(BOOST, minimum_effect=0.2), now=NOW, by="desk")
    assert (first.version, second.version) == (1, 2)
    assert read_reported(store, "boost").version == 1
    assert read_experiment(store, "boost", 1).status is Status.STOPPED
    start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")
    assert read_reported(store, "boost").version == 2
    assert first.allocation().experiment_id != second.allocation().experiment_id
    with pytest.raises(NotFoundError):
        read_experiment(store, "boost", 3)


def test_a_draft_may_be_rewritten(store: RedisStore) -> None:
    create_experiment(store, BOOST, now=NOW, by="desk")
    changed = create_experiment(store, replace(BOOST, alpha=0.1), now=NOW, by="desk")
    assert (changed.version, read_experiment(store, "boost").alpha) == (1, 0.1)


def test_one_holdout_is_kept_out_of_every_experiment(store: RedisStore) -> None:
    pins = {"name": "pins", "layer": "desk", "holdout_share": 0.1}
    diverse = (BOOST.control, Variant(name="plain", share=0.5, overrides={"mmr_lambda": 1.0}))
    create_experiment(store, BOOST, now=NOW, by="desk")
    create_experiment(store, replace(BOOST, variants=diverse, **pins), now=NOW, by="desk")  # type: ignore[arg-type]
    start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")
    with pytest.raises(ConflictError, match="holdout_share"):
        start_experiment(store, "pins", registry=NO_MODELS, now=NOW, by="desk")
    stop_experiment(store, "boost", now=NOW, by="desk")
    assert (
        start_experiment(store, "pins", registry=NO_MODELS, now=NOW, by="desk").status
        is Status.RUNNING
    )


def test_experiments_of_one_layer_share_no_reader(store: RedisStore) -> None:
    for name in ("first", "second"):
        create_experiment(store, replace(BOOST, name=name, traffic=0.5), now=NOW, by="desk")
        start_experiment(store, name, registry=NO_MODELS, now=NOW, by="desk")
    running = running_experiments(read_experiments(store).values())
    seen = [len(resolve(running, f"r{i}", RankingConfig()).variants) for i in range(300)]
    assert set(seen) == {1}
    create_experiment(store, replace(BOOST, name="third", traffic=0.1), now=NOW, by="desk")
    with pytest.raises(ConflictError, match="no room"):
        start_experiment(store, "third", registry=NO_MODELS, now=NOW, by="desk")
    stop_experiment(store, "first", now=NOW, by="desk")
    third = start_experiment(store, "third", registry=NO_MODELS, now=NOW, by="desk")
    running = running_experiments(read_experiments(store).values())
    seen = [len(resolve(running, f"r{i}", RankingConfig()).variants) for i in range(1000)]
    assert set(seen) == {0, 1}
    assert third.buckets[1] - third.buckets[0] == 1000


def test_two_layers_may_not_change_one_setting(store: RedisStore) -> None:
    create_experiment(store, BOOST, now=NOW, by="desk")
    start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")
    other = replace(BOOST, name="other", layer="elsewhere")
    create_experiment(store, other, now=NOW, by="desk")
    with pytest.raises(ConflictError, match="trending_boost"):
        start_experiment(store, "other", registry=NO_MODELS, now=NOW, by="desk")


def test_an_override_shows_a_variant_and_bars_the_reader_from_analysis(store: RedisStore) -> None:
    create_experiment(store, BOOST, now=NOW, by="desk")
    start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")
    running = set_override(store, "boost", "tester", "off", now=NOW, by="desk")
    assert resolve([running], "tester", RankingConfig()).variants == {"boost": "off"}
    after = set_override(store, "boost", "tester", None, now=NOW, by="desk")
    assert (after.overrides, after.excluded) == ({}, ("tester",))
    with pytest.raises(InvalidInputError):
        set_override(store, "boost", "tester", "nowhere", now=NOW, by="desk")


def test_an_override_changes_nothing_after_the_stop_and_for_readers_without_one(
    store: RedisStore,
) -> None:
    create_experiment(store, BOOST, now=NOW, by="desk")
    start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")
    with pytest.raises(NotFoundError):
        set_override(store, "boost", "reader", None, now=NOW, by="desk")
    set_override(store, "boost", "tester", "off", now=NOW, by="desk")
    stopped = stop_experiment(store, "boost", now=NOW, by="desk")
    with pytest.raises(ConflictError, match="stopped"):
        set_override(store, "boost", "tester", "off", now=NOW, by="desk")
    assert read_experiment(store, "boost") == stopped
    assert stopped.excluded == ("tester",)
    ended = set_override(store, "boost", "tester", None, now=NOW, by="desk")
    assert (dict(ended.overrides), ended.excluded) == ({}, ("tester",))


def test_what_does_not_exist_is_not_found(store: RedisStore) -> None:
    with pytest.raises(NotFoundError):
        start_experiment(store, "nothing", registry=NO_MODELS, now=NOW, by="desk")
    with pytest.raises(NotFoundError):
        stop_experiment(store, "nothing", now=NOW, by="desk")
    create_experiment(store, BOOST, now=NOW, by="desk")
    with pytest.raises(ConflictError, match="not started"):
        read_reported(store, "boost")


def test_two_hands_on_one_draft_do_not_overwrite_each_other(store: RedisStore) -> None:
    create_experiment(store, BOOST, now=NOW, by="desk")
    seen = store.read_experiments()["boost"]
    start_experiment(store, "boost", registry=NO_MODELS, now=NOW, by="desk")
    with pytest.raises(ConflictError):
        store.write_experiment("boost", seen, version=seen["version"] + 1, entry=ENTRY)


def with_model(name: str, version: str, layer: str = "ranking") -> Experiment:
    variants = (
        Variant(name="control", share=0.5),
        Variant(name="new", share=0.5, model_version=version),
    )
    return replace(BOOST, name=name, layer=layer, variants=variants)


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    """Two versions, the second one live."""
    found = ModelRegistry(tmp_path / "models")
    (tmp_path / "models").mkdir()
    for version in ("v1", "v2"):
        found.set_live(found.publish(replace(empty_bundle(), version=version)))
    return found


def test_a_model_that_does_not_exist_is_refused_at_the_start(
    store: RedisStore, registry: ModelRegistry
) -> None:
    create_experiment(store, with_model("models", "v9"), now=NOW, by="desk")
    with pytest.raises(InvalidInputError, match=r"variants\.1\.model_version: .*v9"):
        start_experiment(store, "models", registry=registry, now=NOW, by="desk")
    create_experiment(store, with_model("models", "v1"), now=NOW, by="desk")
    assert (
        start_experiment(store, "models", registry=registry, now=NOW, by="desk").status
        is Status.RUNNING
    )


def test_models_that_planned_and_running_experiments_name_are_needed(
    store: RedisStore, registry: ModelRegistry
) -> None:
    create_experiment(store, with_model("planned", "v7"), now=NOW, by="desk")
    create_experiment(store, with_model("running", "v1"), now=NOW, by="desk")
    start_experiment(store, "running", registry=registry, now=NOW, by="desk")
    assert named_models(read_experiments(store).values()) == {"v1", "v7"}
    stop_experiment(store, "running", now=NOW, by="desk")
    assert named_models(read_experiments(store).values()) == {"v7"}


def test_the_live_model_can_be_pinned_for_the_run(
    store: RedisStore, registry: ModelRegistry
) -> None:
    create_experiment(store, replace(BOOST, pin_model=True), now=NOW, by="desk")
    started = start_experiment(store, "boost", registry=registry, now=NOW, by="desk")
    assert [variant.model_version for variant in started.variants] == ["v2", "v2"]
    create_experiment(store, replace(BOOST, name="early", pin_model=True), now=NOW, by="desk")
    stop_experiment(store, "boost", now=NOW, by="desk")
    with pytest.raises(ConflictError, match="no live model"):
        start_experiment(store, "early", registry=NO_MODELS, now=NOW, by="desk")


def test_two_layers_may_not_both_interleave(store: RedisStore) -> None:
    sides = {"first": "trending_boost", "second": "mmr_lambda"}
    for name, setting in sides.items():
        variants = (
            Variant(name="control", share=0.5),
            Variant(name="other", share=0.0, overrides={setting: 0.5}),
            Variant(name="mixed", share=0.5, interleaves=("control", "other")),
        )
        create_experiment(
            store, replace(BOOST, name=name, layer=name, variants=variants), now=NOW, by="desk"
        )
    start_experiment(store, "first", registry=NO_MODELS, now=NOW, by="desk")
    with pytest.raises(ConflictError, match="interleave"):
        start_experiment(store, "second", registry=NO_MODELS, now=NOW, by="desk")


def test_readers_of_old_and_new_overrides_are_left_out_of_the_next_version(
    store: RedisStore,
) -> None:
    create_experiment(store, BOOST, now=NOW, by="desk")
    set_override(store, "boost", "old-tester", "off", now=NOW, by="desk")
    changed = replace(BOOST, alpha=0.1, overrides={"new-tester": "off"}, excluded=("desk-phone",))
    stored = create_experiment(store, changed, now=NOW + 1, by="desk")
    assert stored.excluded == ("desk-phone", "new-tester", "old-tester")


def test_an_archived_draft_holds_no_model_and_a_new_design_shows_it_again(
    store: RedisStore,
) -> None:
    create_experiment(store, with_model("models", "v7"), now=NOW, by="desk")
    archive_experiment(store, "models", now=NOW, by="desk")
    assert named_models(read_experiments(store).values()) == frozenset()
    assert (
        create_experiment(store, with_model("models", "v7"), now=NOW, by="desk").archived is False
    )
    assert named_models(read_experiments(store).values()) == {"v7"}


def test_long_values_are_cut_in_the_audit_log(store: RedisStore) -> None:
    create_experiment(store, replace(BOOST, hypothesis="h" * 2000), now=NOW, by="desk")
    create_experiment(store, replace(BOOST, hypothesis="i" * 2000), now=NOW + 1, by="desk")
    newest = store.read_audit(1)[0]
    assert newest.before == {"hypothesis": "h" * 500 + "…"}
    assert newest.after == {"hypothesis": "i" * 500 + "…"}
