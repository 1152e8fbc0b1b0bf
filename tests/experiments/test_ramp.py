"""Ramp-up: traffic grows by steps, nobody is dealt anew, and layers stay exclusive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.config import DAY_S, Settings
from feed.domain import ConflictError, FeedError, InvalidInputError
from feed.experiments.design.assignment import BUCKETS, assign
from feed.experiments.design.definition_json import experiment_from_json, experiment_to_json
from feed.experiments.design.definitions import Experiment, Status, Variant
from feed.experiments.design.lifecycle import (
    create_experiment,
    read_experiments,
    running_experiments,
    start_experiment,
    stop_experiment,
)
from feed.experiments.design.ramp import due_step, ramp_experiment
from feed.experiments.design.traffic import RampStep, TrafficStep, cumulate_joined
from feed.models.registry import ModelRegistry
from feed.storage.redis_store import RedisStore

NOW = 1_790_000_000.0
NO_MODELS = ModelRegistry(Path("no models"))
READERS = [f"reader-{number}" for number in range(20_000)]
PLANNED = (RampStep(2.0, 0.2), RampStep(4.0, 1.0))
SLOW = Experiment(
    name="slow",
    hypothesis="h",
    owner="o",
    variants=(
        Variant(name="control", share=0.7),
        Variant(name="off", share=0.3, overrides={"trending_boost": 0.0}),
    ),
    traffic=0.05,
    ramp=PLANNED,
)


def begin(store: RedisStore, design: Experiment) -> Experiment:
    create_experiment(store, design, now=NOW, by="desk")
    return start_experiment(store, design.name, registry=NO_MODELS, now=NOW, by="desk")


def grow(store: RedisStore, name: str, traffic: float, now: float = NOW) -> Experiment:
    return ramp_experiment(store, name, traffic, now=now, by="desk")


def dealt(experiment: Experiment) -> dict[str, str]:
    found = {user: assign(user, experiment.allocation()).variant for user in READERS}
    return {user: variant for user, variant in found.items() if variant}


def held_buckets(experiment: Experiment) -> set[int]:
    return {at % BUCKETS for at in range(*experiment.held)}


def test_whoever_was_in_before_a_step_keeps_the_variant(store: RedisStore) -> None:
    before = dealt(begin(store, SLOW))
    for traffic in (0.2, 0.5, 1.0):
        after = dealt(grow(store, "slow", traffic))
        assert before.items() <= after.items()
        joined = [variant for user, variant in after.items() if user not in before]
        expected = (traffic - len(before) / len(READERS)) * len(READERS)
        assert len(joined) == pytest.approx(expected, rel=0.1)
        test = scipy.stats.binomtest(joined.count("off"), len(joined), 0.3)
        assert test.pvalue > 0.001
        before = after
    assert len(before) == len(READERS)


def test_room_is_kept_for_the_largest_planned_step(store: RedisStore) -> None:
    half = replace(SLOW, ramp=(RampStep(2.0, 0.6),))
    started = begin(store, half)
    assert started.buckets[1] - started.buckets[0] == 500
    assert started.reserved == (started.buckets[0], started.buckets[0] + 6_000)
    with pytest.raises(ConflictError, match="no room"):
        begin(store, replace(SLOW, name="other", traffic=0.5, ramp=()))
    other = begin(store, replace(SLOW, name="small", traffic=0.4, ramp=()))
    grown = grow(store, "slow", 0.6, NOW + 1)
    assert grown.buckets == grown.reserved == started.reserved
    assert not held_buckets(grown) & held_buckets(other)


def test_what_was_done_is_kept_as_steps(store: RedisStore) -> None:
    begin(store, SLOW)
    grow(store, "slow", 0.2, NOW + DAY_S)
    grown = grow(store, "slow", 0.33333, NOW + 2 * DAY_S)
    steps = (NOW, 0.05), (NOW + DAY_S, 0.2), (NOW + 2 * DAY_S, 0.3333)
    assert grown.steps == grown.opened == tuple(TrafficStep(*step) for step in steps)
    assert experiment_from_json(experiment_to_json(grown)) == grown
    assert (grown.traffic, grown.started_at) == (0.05, NOW)


def test_traffic_grows_beyond_the_plan_only_into_free_room(store: RedisStore) -> None:
    small = begin(store, replace(SLOW, traffic=0.1, ramp=()))
    other = begin(store, replace(SLOW, name="other", traffic=0.3, ramp=()))
    room = (other.held[0] - small.held[0]) % BUCKETS
    with pytest.raises(ConflictError, match=f"can grow to {room / BUCKETS:.2%} .* other"):
        grow(store, "slow", (room + 1) / BUCKETS)
    grown = grow(store, "slow", room / BUCKETS)
    assert grown.reserved == grown.buckets
    assert not held_buckets(grown) & held_buckets(other)
    stop_experiment(store, "other", now=NOW, by="desk")
    assert len(held_buckets(grow(store, "slow", 1.0))) == BUCKETS


def test_traffic_never_shrinks(store: RedisStore) -> None:
    begin(store, SLOW)
    grow(store, "slow", 0.2)
    for traffic in (0.2, 0.1):
        with pytest.raises(ConflictError, match="never shrinks"):
            grow(store, "slow", traffic)
    for traffic in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(InvalidInputError, match="traffic"):
            grow(store, "slow", traffic)
    stop_experiment(store, "slow", now=NOW, by="desk")
    with pytest.raises(ConflictError, match="only a running one can grow"):
        grow(store, "slow", 0.5)


def test_experiments_that_started_before_steps_were_kept_can_grow(store: RedisStore) -> None:
    data = experiment_to_json(begin(store, replace(SLOW, traffic=0.1, ramp=())))
    old = {name: value for name, value in data.items() if name not in {"steps", "reserved", "ramp"}}
    stored = experiment_from_json(old)
    assert stored.held == stored.buckets
    assert stored.opened == (TrafficStep(NOW, 0.1),)


def test_a_planned_step_is_due_from_its_day_on() -> None:
    running = replace(
        SLOW,
        status=Status.RUNNING,
        started_at=NOW,
        buckets=(9_000, 9_500),
        reserved=(9_000, 19_000),
    )
    assert due_step(running, NOW + 2 * DAY_S - 1) is None
    assert due_step(running, NOW + 2 * DAY_S) == 0.2
    assert due_step(running, NOW + 9 * DAY_S) == 1.0
    grown = replace(running, buckets=(9_000, 12_000))
    assert due_step(grown, NOW + 3 * DAY_S) is None
    assert due_step(replace(running, status=Status.STOPPED), NOW + 9 * DAY_S) is None
    assert due_step(replace(running, ramp=()), NOW + 9 * DAY_S) is None


@pytest.mark.parametrize(
    ("ramp", "field"),
    [
        ([(0.0, 0.2)], r"ramp\.0\.after_days"),
        ([(2.0, 0.2), (2.0, 0.3)], r"ramp\.1\.after_days"),
        ([(14.0, 0.2)], r"ramp\.0\.after_days"),
        ([(2.0, 0.05)], r"ramp\.0\.traffic"),
        ([(2.0, 0.2), (3.0, 0.1)], r"ramp\.1\.traffic"),
        ([(2.0, 1.01)], r"ramp\.0\.traffic"),
        ([(2.0, 1e308)], r"ramp\.0\.traffic"),
        ([(2.0, -1e308)], r"ramp\.0\.traffic"),
        ([(n / 10, 0.05 + n / 100) for n in range(1, 22)], "ramp: must have at most 20"),
    ],
)
def test_steps_that_make_no_sense_are_refused(ramp: list[tuple[float, float]], field: str) -> None:
    with pytest.raises(InvalidInputError, match=field):
        replace(SLOW, ramp=tuple(RampStep(*step) for step in ramp))


@pytest.fixture(scope="module")
def shared_store(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisStore]:
    """One store for all the examples of a property, which empty it themselves."""

    where = {"redis_url": store_url, "data_dir": tmp_path_factory.mktemp("ramp")}
    opened = RedisStore(replace(Settings(), store_timeout_ms=2000, **where))  # type: ignore[arg-type]
    yield opened
    opened.close()


SHARES = st.floats(0.001, 1.0)
ACTS = st.tuples(st.sampled_from(["start", "ramp", "stop"]), st.integers(0, 3), SHARES, SHARES)


@given(st.lists(ACTS, max_size=15))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_layers_stay_exclusive_and_nobody_is_dealt_anew_in_any_order(
    shared_store: RedisStore, acts: list[tuple[str, int, float, float]]
) -> None:
    shared_store._link.every_node("FLUSHALL")
    before: dict[str, dict[str, str]] = {}
    for step, (act, number, one, other) in enumerate(acts):
        name, now = f"e{number}", NOW + step
        try:
            if act == "start":
                low, high = sorted((one, other))
                ramp = (RampStep(1.0, high),) if high - low > 2 / BUCKETS else ()
                design = replace(SLOW, name=name, traffic=low, ramp=ramp)
                create_experiment(shared_store, design, now=now, by="desk")
                start_experiment(shared_store, name, registry=NO_MODELS, now=now, by="desk")
            elif act == "ramp":
                ramp_experiment(shared_store, name, one, now=now, by="desk")
            else:
                stop_experiment(shared_store, name, now=now, by="desk")
        except FeedError:
            pass
        running = running_experiments(read_experiments(shared_store).values())
        held = [held_buckets(experiment) for experiment in running]
        assert len(set().union(*held)) == sum(map(len, held))
        assert all(experiment.buckets[1] <= experiment.held[1] for experiment in running)
        now_dealt = {
            f"{e.name}.{e.version}": {
                user: variant
                for user in READERS[:300]
                if (variant := assign(user, e.allocation()).variant)
            }
            for e in running
        }
        for key, readers in now_dealt.items():
            assert before.get(key, {}).items() <= readers.items()
        before = now_dealt


def test_readers_join_each_part_of_the_traffic_from_its_opening_on() -> None:
    arrivals = [100.0, 50.0, 25.0]
    assert cumulate_joined(arrivals, 0.1, ()) == pytest.approx([10.0, 15.0, 17.5])
    assert cumulate_joined(arrivals, 0.1, (RampStep(1.0, 0.5),)) == pytest.approx([10, 55, 77.5])
    assert cumulate_joined(arrivals, 0.1, (RampStep(0.5, 0.5),)) == pytest.approx([30, 65, 82.5])


class HurriedStore(RedisStore):
    """A store on which somebody else is quicker: acts right after the experiments were read."""

    meanwhile: Callable[[], object] | None = None

    def read_experiments(self) -> dict[str, dict[str, Any]]:
        found = super().read_experiments()
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            act()
        return found


def test_two_at_once_cannot_get_the_same_readers(
    store: RedisStore, store_settings: Settings
) -> None:
    hurried = HurriedStore(store_settings)
    whole = replace(SLOW, traffic=0.8, ramp=())
    for name in ("one", "two"):
        create_experiment(store, replace(whole, name=name), now=NOW, by="desk")
    hurried.meanwhile = lambda: start_experiment(
        store, "one", registry=NO_MODELS, now=NOW, by="desk"
    )
    with pytest.raises(ConflictError, match="another experiment"):
        start_experiment(hurried, "two", registry=NO_MODELS, now=NOW, by="desk")
    small = replace(SLOW, name="three", traffic=0.1, ramp=())
    hurried.meanwhile = lambda: begin(store, small)
    with pytest.raises(ConflictError, match="another experiment"):
        grow(hurried, "one", 1.0)
    hurried.close()
    with pytest.raises(ConflictError, match="can grow to"):
        grow(store, "one", 1.0)
