import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.config import RankingConfig
from feed.domain import InvalidInputError
from feed.experiments.design.assignment import HELD_OUT, NOT_JOINED
from feed.experiments.design.definition_json import experiment_from_json, experiment_to_json
from feed.experiments.design.definitions import Experiment, Variant
from feed.experiments.design.resolution import resolve

MINIMAL = {
    "name": "no-boost",
    "hypothesis": "Without the trending boost readers read less.",
    "owner": "news desk",
    "variants": [
        {"name": "control", "share": 0.5},
        {"name": "plain", "share": 0.5, "overrides": {"trending_boost": 0.0}},
    ],
}


def design(**changes: object) -> Experiment:
    return experiment_from_json({**MINIMAL, **changes})


def test_a_definition_survives_json_and_back() -> None:
    experiment = replace(
        design(
            guardrails=[{"metric": "hides", "margin": 0.1}],
            audience={"platforms": ["web"], "attributes": {"subscriber": ["yes", ""]}},
            segments=["region"],
        ),
        created_at=1_690_000_000.25,
        started_at=1_700_000_000.5,
        stopped_at=1_710_000_000.75,
        overrides={"qa-1": "plain"},
        excluded=("qa-2",),
        buckets=(0, 5000),
    )
    assert (
        experiment_from_json(json.loads(json.dumps(experiment_to_json(experiment)))) == experiment
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "No Boost"}, "name"),
        ({"surprise": 1}, "surprise"),
        ({"variants": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.4}]}, "variants"),
        ({"variants": [{"name": "a", "share": 1.0}, {"name": "a", "share": 0.0}]}, "variants"),
        ({"variants": [{"name": "a", "share": "half"}, {"name": "b", "share": 0.5}]},
         "variants.0.share"),
        ({"variants": [{"name": "a", "share": 0.5},
                       {"name": "b", "share": 0.5, "overrides": {"boost": 1}}]},
         "variants.1.overrides.boost"),
        ({"variants": [{"name": "a", "share": 0.5},
                       {"name": "b", "share": 0.5, "interleaves": ["a", "c"]}]},
         "variants.1.interleaves"),
        ({"primary_metrics": []}, "primary_metrics"),
        ({"primary_metrics": ["coverage"]}, "primary_metrics"),
        ({"secondary_metrics": ["smiles"]}, "secondary_metrics"),
        ({"guardrails": [{"metric": "hides", "margin": -0.1}]}, "guardrails.0.margin"),
        ({"guardrails": [{"metric": "hides", "margin": 1.5}]}, "guardrails.0.margin"),
        ({"minimum_effect": 0}, "minimum_effect"),
        ({"minimum_effect": float("nan")}, "minimum_effect"),
        ({"planned_readers": 10.5}, "planned_readers"),
        ({"minimum_days": 0}, "minimum_days"),
        ({"minimum_days": 1.5}, "minimum_days"),
        ({"minimum_days": 8, "planned_days": 7}, "minimum_days"),
        ({"stopping_rule": "whenever"}, "stopping_rule"),
        ({"traffic": 0}, "traffic"),
        ({"unit": "session"}, "unit"),
        ({"overrides": {"qa-1": "missing"}}, "overrides.qa-1"),
        ({"hypothesis": " "}, "hypothesis"),
        ({"buckets": [1]}, "buckets"),
        ({"salt": "a|b"}, "salt"),
        ({"segments": ["Region"]}, "segments.0"),
        ({"segments": ["region", "region"]}, "segments"),
        ({"segments": list("abcdef")}, "segments"),
        ({"segments": "region"}, "segments"),
        ({"audience": {"attributes": {"Region": ["x"]}}}, "audience.attributes.Region"),
        ({"audience": {"attributes": {"Region": [""]}}}, "audience.attributes.Region"),
        ({"audience": {"attributes": {"region": []}}}, "audience.attributes.region"),
        ({"audience": {"attributes": {"region": "x"}}}, "audience.attributes.region"),
        ({"audience": {"attributes": {"region": ["x"] * 51}}}, "audience.attributes.region"),
        ({"audience": {"attributes": {"region": ["x" * 65]}}}, "audience.attributes.region"),
        ({"audience": {"attributes": ["region"]}}, "audience.attributes"),
        ({"audience": {"attributes": {f"a{n}": ["x"] for n in range(17)}}}, "audience.attributes"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        design(**changes)
    assert refused.value.field_name == field


@pytest.mark.parametrize(("planned", "least"), [(14, 7), (7, 7), (3, 3), (1, 1)])
def test_a_primary_metric_waits_for_a_week_or_the_whole_plan(planned: int, least: int) -> None:
    assert design(planned_days=planned).minimum_days == least
    assert design(planned_days=planned, minimum_days=1).minimum_days == 1


def test_what_started_before_the_minimum_existed_keeps_its_rule() -> None:
    stored = experiment_to_json(replace(design(), started_at=1_700_000_000.0))
    assert experiment_from_json(stored).minimum_days == 7
    del stored["minimum_days"]
    assert experiment_from_json(stored).minimum_days == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*MINIMAL, "share", "alpha", "buckets"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_json_is_read_or_refused_in_words(data: object) -> None:
    with contextlib.suppress(InvalidInputError):
        experiment_from_json(data)


def test_a_request_gets_the_overrides_of_its_variants() -> None:
    experiment = replace(design(), buckets=(0, 10_000))
    boosts = {
        resolve([experiment], f"reader-{i}", RankingConfig()).config.trending_boost
        for i in range(50)
    }
    assert boosts == {0.0, RankingConfig().trending_boost}


def test_an_audience_of_sections_has_all_their_spellings() -> None:
    experiment = replace(design(audience={"sections": ["Arts & Culture"]}), buckets=(0, 10_000))
    for asked in ("Arts & Culture", " arts &  culture"):
        assert resolve([experiment], "reader", RankingConfig(), section=asked).variants != {}
    assert resolve([experiment], "reader", RankingConfig(), section="Arts").variants == {}
    assert resolve([experiment], "reader", RankingConfig()).variants == {}


def test_readers_without_personalization_and_outside_the_audience_are_in_no_experiment() -> None:
    experiment = replace(design(audience={"platforms": ["app"]}), buckets=(0, 10_000))
    assert resolve([experiment], "reader", RankingConfig(), platform="web").variants == {}
    assert resolve([experiment], "reader", RankingConfig(), platform="app").variants != {}
    assert (
        resolve(
            [experiment], "reader", RankingConfig(), platform="app", personalized=False
        ).variants
        == {}
    )


def test_an_interleaving_variant_gives_two_rankings() -> None:
    experiment = replace(
        design(
            variants=[
                {"name": "control", "share": 0.5},
                {"name": "mixed", "share": 0.5, "interleaves": ["control", "fresh"]},
                {"name": "fresh", "share": 0.0, "overrides": {"max_age_hours": 24}},
            ]
        ),
        buckets=(0, 10_000),
        overrides={"tester": "mixed"},
    )
    answer = resolve([experiment], "tester", RankingConfig())
    assert answer.interleaving is not None
    assert [side.config.max_age_hours for side in answer.interleaving] == [72.0, 24.0]
    assert [arm.name for arm in experiment.arms] == ["control", "mixed"]


def interleaving(name: str, setting: str, layer: str) -> Experiment:
    variants = (
        Variant(name="control", share=0.5),
        Variant(name="other", share=0.0, overrides={setting: 0.25}),
        Variant(name="mixed", share=0.5, interleaves=("control", "other")),
    )
    return Experiment(
        name=name,
        hypothesis="h",
        owner="o",
        layer=layer,
        variants=variants,
        buckets=(0, 10_000),
        overrides={"tester": "mixed"},
    )


@pytest.mark.parametrize("name", ["a-first", "z-last"])
def test_both_sides_of_an_interleaving_have_the_settings_of_other_layers(name: str) -> None:
    mixed = interleaving(name, "mmr_lambda", "diversity")
    boost = replace(design(), buckets=(0, 10_000), overrides={"tester": "plain"})
    running = sorted([mixed, boost], key=lambda experiment: experiment.name)
    answer = resolve(running, "tester", RankingConfig())
    assert answer.interleaving is not None
    assert [side.config.trending_boost for side in answer.interleaving] == [0.0, 0.0]
    assert [side.config.mmr_lambda for side in answer.interleaving] == [0.9, 0.25]


def test_of_two_interleavings_the_second_one_is_not_joined() -> None:
    running = [interleaving("a", "mmr_lambda", "a"), interleaving("b", "section_decay", "b")]
    answer = resolve(running, "tester", RankingConfig())
    assert answer.variants == {"a": "mixed", "b": NOT_JOINED}
    assert answer.interleaved_by == "a"


def test_nobody_joins_a_variant_whose_model_the_process_does_not_have() -> None:
    experiment = replace(
        design(
            variants=[
                {"name": "control", "share": 0.4},
                {
                    "name": "new",
                    "share": 0.3,
                    "model_version": "v2",
                    "overrides": {"mmr_lambda": 1},
                },
                {"name": "side", "share": 0.0, "model_version": "v3"},
                {"name": "mixed", "share": 0.3, "interleaves": ["control", "side"]},
            ]
        ),
        buckets=(0, 10_000),
    )
    for variant, models, joins in (
        ("new", ["v1"], False),
        ("new", ["v1", "v2"], True),
        ("mixed", ["v1", "v2"], False),
        ("mixed", ["v1", "v3"], True),
        ("control", [], True),
    ):
        chosen = replace(experiment, overrides={"tester": variant})
        answer = resolve([chosen], "tester", RankingConfig(), models=models)
        assert answer.variants == {"no-boost": variant if joins else NOT_JOINED}
        if not joins:
            assert (answer.config, answer.model_version) == (RankingConfig(), "")
            assert answer.interleaving is None


def test_variants_are_not_analysed_when_nobody_gets_them() -> None:
    variants = (Variant(name="control", share=0.9), Variant(name="new", share=0.1))
    experiment = Experiment(name="x", hypothesis="h", owner="o", variants=variants)
    assert [variant.name for variant in experiment.treatments] == ["new"]


def test_held_out_readers_get_the_usual_ranking_and_are_marked() -> None:
    experiment = experiment_from_json({**MINIMAL, "holdout_share": 0.3, "buckets": [0, 10_000]})
    answers = [resolve([experiment], f"reader-{i}", RankingConfig()) for i in range(1_000)]
    held = [a for a in answers if a.variants == {experiment.name: HELD_OUT}]
    assert 230 < len(held) < 370
    assert all(a.config == RankingConfig() for a in held)
    off = resolve([experiment], "reader-1", RankingConfig(), personalized=False)
    assert off.variants == {}
    with pytest.raises(InvalidInputError):
        experiment_from_json({**MINIMAL, "variants": [{"name": HELD_OUT, "share": 1.0}]})
