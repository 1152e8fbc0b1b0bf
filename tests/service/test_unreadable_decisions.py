"""Decisions in the store that cannot be read stop no feed."""

from __future__ import annotations

import orjson
import pytest

from feed.editorial.editorial import editorial_from_store
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule
from tests.service.conftest import Site

GOOD_BOOST = {"article_id": "a", "factor": 2.0, "starts_at": 1.0, "ends_at": 2.0, "author": "ed"}
GOOD_LIMIT = Limit(rule=LimitRule.AT_MOST, of=LimitOf.SECTION, share=0.4)


@pytest.mark.parametrize("stored", [None, 7, "text", {"a": 1}, [None], [[]], [{}], ["x"]])
def test_no_value_in_the_store_raises(stored: object) -> None:
    found = editorial_from_store({"boosts": (3, stored), "limits": (4, stored)})

    assert (found.boosts, found.limits) == ({}, ())
    assert found.versions == {"boosts": 3, "limits": 4}


@pytest.mark.parametrize(
    "change",
    [{"factor": "high"}, {"factor": 1e9}, {"factor": None}, {"article_id": 4}, {"more": 1}],
)
def test_readable_boosts_count_beside_an_unreadable_one(change: dict[str, object]) -> None:
    stored = [{**GOOD_BOOST, "article_id": "b", **change}, GOOD_BOOST]

    assert set(editorial_from_store({"boosts": (1, stored)}).boosts) == {"a"}


@pytest.mark.parametrize(
    "change", [{"share": "x"}, {"of": "moon"}, {"within": None}, {"within": 0}, {"value": 7}]
)
def test_readable_limits_count_beside_an_unreadable_one(change: dict[str, object]) -> None:
    good = GOOD_LIMIT.to_json()

    found = editorial_from_store({"limits": (1, [{**good, **change}, good])})

    assert found.limits == (GOOD_LIMIT,)


def test_a_process_starts_and_serves_with_unreadable_decisions(site: Site) -> None:
    site.publish(3)
    key = site.store._keys.catalogue("editorial")
    for name, text in (("limits", b"1 no json"), ("boosts", b"1 " + orjson.dumps([{"x": 1}]))):
        site.store._link.call(key, "HSET", key, name, text)

    site.services.keeper.refresh()

    assert len(site.feed()["items"]) == 3
