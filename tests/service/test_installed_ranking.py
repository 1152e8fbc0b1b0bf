"""An installation's own ranking parameters: in its feeds, its description and its experiments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feed.config import RankingConfig, Settings
from feed.domain import InvalidInputError
from feed.service.setting_checks import check_ranking

SHORT = RankingConfig(max_age_hours=0.5, slate_size=25)


@pytest.fixture
def own_site(make_site: Callable[[Settings], Any], settings: Settings) -> Any:
    """A site whose articles are too old after half an hour, and whose lists are short."""
    return make_site(replace(settings, ranking=SHORT))


def size_of(site: Any, user_id: str = "reader") -> int:
    return len(site.feed(user_id, mode="personalized", limit=100)["items"])


def test_feeds_are_ranked_with_the_parameters_of_the_installation(own_site: Any) -> None:
    own_site.publish(60)
    assert size_of(own_site) == 25
    page = own_site.feed(mode="latest", limit=100)
    assert [item["article"]["article_id"] for item in page["items"]] == [
        f"a{number}" for number in range(25)
    ]


def test_the_description_of_the_ranking_gives_them(own_site: Any) -> None:
    described = own_site.client.get("/v1/about-ranking").json["parameters"]
    values = {parameter["name"]: parameter["value"] for parameter in described}
    assert (values["max_age_hours"], values["slate_size"]) == (0.5, 25)
    assert values["mmr_lambda"] == RankingConfig().mmr_lambda


def test_a_variant_overrides_them_and_control_does_not(own_site: Any, clock: Any) -> None:
    own_site.publish(60)
    design = {
        "name": "short",
        "hypothesis": "A shorter list is read as much.",
        "owner": "the desk",
        "variants": [
            {"name": "control", "share": 0.5},
            {"name": "shorter", "share": 0.5, "overrides": {"slate_size": 12}},
        ],
    }
    own_site.client.post("/v1/experiments", json=design)
    own_site.client.post("/v1/experiments/short/start")
    own_site.services.keeper.refresh()
    sizes = {}
    for number in range(40):
        page = own_site.feed(f"r{number}", limit=100)
        sizes[page["experiments"]["short"]] = len(page["items"])
    assert sizes == {"control": 25, "shorter": 12}


def test_a_weight_of_no_feature_is_refused_at_the_start() -> None:
    check_ranking(Settings(ranking=RankingConfig(weights={"age_published": -2.0})))
    with pytest.raises(InvalidInputError, match=r"^FEED_RANKING_WEIGHTS\.popularity: is not a"):
        check_ranking(Settings(ranking=RankingConfig(weights={"popularity": 2.0})))
