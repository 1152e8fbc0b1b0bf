"""An interleaved feed says truthfully what both of its sides were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from slates import make_slots

from feed.domain import WINDOW_KEY, Mode, Rung, ServedFeed
from feed.features.ids import IdMap
from feed.models.bundle import ModelBundle
from feed.models.registry import ModelRegistry
from feed.service.interleaved_feed import interleave_feeds
from feed.storage.records import RecordType

SCORES = [1 / place for place in range(1, 7)]
DESIGN = {
    "name": "mixed",
    "hypothesis": "The new model finds more that is read.",
    "owner": "the desk",
    "variants": [
        {"name": "control", "share": 0.01},
        {"name": "new", "model_version": "m2", "share": 0.01},
        {"name": "both", "share": 0.98, "interleaves": ["control", "new"]},
    ],
}


def side(ids: Sequence[str], **fields: Any) -> ServedFeed:
    feed = ServedFeed(
        request_id="r1",
        user_id="reader",
        served_at=0.0,
        mode=Mode.PERSONALIZED,
        rung=Rung.PERSONALIZED,
        personalized=True,
        model_version="m1",
        experiments={"mixed": "both"},
        slots=make_slots(list(ids)),
        shown_from=0,
        shown_to=0,
    )
    return replace(feed, **fields)


def draft(first: ServedFeed, second: ServedFeed) -> ServedFeed:
    return interleave_feeds(["control", "new"], [first, second], 6, np.random.default_rng(1))


def test_the_higher_of_two_raised_age_limits_is_told() -> None:
    plain, raised = side("abcdef"), side("fedcba", context={WINDOW_KEY: "96"})
    assert WINDOW_KEY not in draft(plain, plain).context
    assert draft(plain, raised).context[WINDOW_KEY] == "96"
    assert draft(raised, side("abcdef", context={WINDOW_KEY: "144"})).context[WINDOW_KEY] == "144"


@pytest.mark.parametrize("first_is_lower", [True, False])
def test_the_lower_rung_both_models_and_any_personal_touch_are_told(first_is_lower: bool) -> None:
    lower = side("abcdef", rung=Rung.WITHOUT_MODEL, personalized=False, model_version="none")
    upper = side("fedcba")
    sides = (lower, upper) if first_is_lower else (upper, lower)
    mixed = draft(*sides)
    assert mixed.rung is Rung.WITHOUT_MODEL
    assert mixed.personalized
    assert mixed.model_version == ("none+m1" if first_is_lower else "m1+none")
    names = ("control", "new") if first_is_lower else ("new", "control")
    assert mixed.context == {
        f"{names[0]}.rung": "without_model",
        f"{names[0]}.personalized": "false",
        f"{names[0]}.model_version": "none",
        f"{names[1]}.rung": "personalized",
        f"{names[1]}.personalized": "true",
        f"{names[1]}.model_version": "m1",
    }


def test_equal_sides_are_told_once_and_nothing_personal_is_claimed() -> None:
    mixed = draft(side("abcdef", personalized=False), side("fedcba", personalized=False))
    assert (mixed.model_version, mixed.personalized) == ("m1", False)
    assert mixed.experiments == {"mixed": "both"}


def test_each_slot_keeps_what_its_side_said_and_names_it() -> None:
    mixed = draft(side("abcdef"), side("fedcba"))
    slots = mixed.slots
    assert [*slots.positions] == [0, 1, 2, 3, 4, 5]
    assert sorted(slots.article_ids) == list("abcdef")
    teams = [sources[-1] for sources in slots.sources]
    assert sorted(teams) == ["team:control"] * 3 + ["team:new"] * 3
    assert {sources[0] for sources in slots.sources} == {"fresh"}
    own_score = {"team:control": dict(zip("abcdef", SCORES, strict=True))}
    own_score["team:new"] = dict(zip("fedcba", SCORES, strict=True))
    expected = [own_score[team][a] for team, a in zip(teams, slots.article_ids, strict=True)]
    assert slots.scores == expected


def bundle(version: str) -> ModelBundle:
    return ModelBundle(
        version=version,
        article_ids=IdMap(["a0", "a1", "a2"]),
        factors=np.ones((3, 4), np.float32),
        readers=np.ones(3),
    )


def test_the_answer_and_the_exposure_record_name_the_models_of_both_sides(site: Any) -> None:
    site.publish(30)
    registry = ModelRegistry(site.settings.data_dir / "models")
    registry.set_live(registry.publish(bundle("m1")))
    registry.publish(bundle("m2"))
    answer = site.client.post("/v1/experiments", json=DESIGN)
    assert answer.status_code == 201, answer.json
    assert site.client.post("/v1/experiments/mixed/start").status_code == 200
    site.services.keeper.refresh()
    pages = (site.feed(f"reader-{number}") for number in range(50))
    page = next(page for page in pages if page["experiments"]["mixed"] == "both")
    assert page["model_version"] == "m1+m2"
    assert page["mode_served"] == "personalized"
    records = [
        orjson.loads(found.payload)
        for partition in range(site.store.partitions)
        for found in site.store.read_stream(partition, "0-0", 100)
        if found.type is RecordType.SERVED
    ]
    record = next(found for found in records if found["request_id"] == page["request_id"])
    assert record["model_version"] == "m1+m2"
    assert record["context"]["control.model_version"] == "m1"
    assert record["context"]["new.model_version"] == "m2"
