"""Designs that could tell nothing are refused, each with its field and rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feed.config import RankingConfig, Settings
from feed.domain import InvalidInputError
from feed.experiments.design.definitions import Experiment, GuardrailSpec, StoppingRule, Variant
from feed.experiments.design.design_rules import check_design

CONTROL = Variant(name="control", share=0.5)
BOOST = Variant(name="boost", share=0.5, overrides={"trending_boost": 0.0})
DESIGN = Experiment(name="e", hypothesis="h", owner="o", variants=(CONTROL, BOOST))


def boosting(**overrides: float) -> dict[str, Any]:
    return {"variants": (CONTROL, replace(BOOST, overrides=overrides))}


def test_a_design_that_can_tell_something_is_taken() -> None:
    check_design(DESIGN, Settings())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"traffic": 0.00004}, "traffic"),
        ({"variants": (replace(CONTROL, share=0.99999), replace(BOOST, share=0.00001))},
         "variants.1.share"),
        ({"primary_metrics": ("clicks", "clicks")}, "primary_metrics"),
        ({"secondary_metrics": ("hides", "hides")}, "secondary_metrics"),
        ({"primary_metrics": ("clicks",), "secondary_metrics": ("hides", "clicks")},
         "secondary_metrics"),
        ({"guardrails": (GuardrailSpec(metric="hides", margin=0.1),) * 2}, "guardrails"),
        ({"variants": (CONTROL, replace(BOOST, overrides={}))}, "variants.1"),
        ({"variants": (CONTROL, replace(BOOST, overrides={"trending_boost": 0.3}))}, "variants.1"),
        ({"variants": (replace(CONTROL, share=0.4), replace(BOOST, share=0.3),
                       replace(BOOST, name="again", share=0.3))}, "variants.2"),
        ({"variants": (CONTROL, Variant(name="like", share=0.0),
                       Variant(name="mixed", share=0.5, interleaves=("control", "like")))},
         "variants.2.interleaves"),
        ({"planned_days": 80, "pre_days": 14}, "planned_days"),
        ({"minimum_effect": 0.0009}, "minimum_effect"),
        ({"planned_readers": 199}, "planned_readers"),
        ({"variants": (replace(CONTROL, share=0.99), replace(BOOST, share=0.01)),
          "planned_readers": 9_999}, "planned_readers"),
        (boosting(trending_boost=-5.0), "variants.1.overrides.trending_boost"),
        (boosting(mmr_lambda=7.0), "variants.1.overrides.mmr_lambda"),
        (boosting(max_age_hours=0.0), "variants.1.overrides.max_age_hours"),
        (boosting(trending_half_life_minutes=120.0),
         "variants.1.overrides.trending_half_life_minutes"),
    ],
)  # fmt: skip
def test_a_design_that_can_tell_nothing_names_its_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        check_design(replace(DESIGN, **changes), Settings())
    assert refused.value.field_name == field


def test_under_the_fixed_rule_few_readers_may_be_planned() -> None:
    check_design(replace(DESIGN, planned_readers=199, stopping_rule=StoppingRule.FIXED), Settings())


def test_what_the_installation_does_anyway_is_no_difference() -> None:
    calm = Settings(ranking=RankingConfig(trending_boost=0.0))
    with pytest.raises(InvalidInputError, match="must differ from control"):
        check_design(DESIGN, calm)


def test_an_a_a_test_is_taken_when_it_says_so() -> None:
    alike = replace(DESIGN, variants=(CONTROL, replace(BOOST, overrides={})), equal_arms=True)
    check_design(alike, Settings())


def test_an_archive_without_end_keeps_every_plan() -> None:
    check_design(replace(DESIGN, planned_days=300, pre_days=90), Settings(retention_days=0))


@pytest.mark.parametrize(
    ("audience", "request_", "enters"),
    [
        ({"languages": ("DA",)}, {"language": "da"}, True),
        ({"languages": ("da",)}, {"language": "da-DK"}, True),
        ({"languages": ("da",)}, {"language": ""}, False),
        ({"languages": ("da", "en")}, {"language": "de"}, False),
        ({"platforms": ("iOS",)}, {"platform": "ios"}, True),
        ({"sections": ("sport",)}, {"section": "Sport"}, True),
        ({"sections": ("sport",), "platforms": ("web",)}, {"section": "Sport"}, False),
        ({"attributes": {"region": ("North",)}}, {"attributes": {"region": "north"}}, True),
        ({"attributes": {"region": ("north",)}}, {"attributes": {"region": "south"}}, False),
        ({"attributes": {"region": ("north",)}}, {"attributes": {"plan": "north"}}, False),
        ({"attributes": {"region": ("north", "")}}, {}, True),
        ({"attributes": {"a": ("x",), "b": ("y",)}}, {"attributes": {"a": "x"}}, False),
    ],
)
def test_an_audience_does_not_depend_on_how_its_names_are_written(
    audience: dict[str, Any], request_: dict[str, Any], enters: bool
) -> None:
    limits = replace(DESIGN.audience, **audience)
    assert limits.admits(**request_) == enters
