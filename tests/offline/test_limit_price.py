"""The price of limits on an archive whose clicks are known."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from feed.config import RankingConfig
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule, logged_limits
from feed.models.bundle import empty_bundle
from feed.offline.limit_price import price_limits
from tests.offline.test_archive_log import NOW, Shelf, added

HOUR = 3600.0
NO_SPORT = Limit(rule=LimitRule.AT_MOST, of=LimitOf.SECTION, value="sport", share=0.0, within=10)
LOOSE = Limit(rule=LimitRule.AT_MOST, of=LimitOf.SECTION, share=0.9, within=20)
CULTURE = Limit(rule=LimitRule.AT_LEAST, of=LimitOf.SECTION, value="culture", count=1, within=5)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Forty readers who open the sport that they are shown, three times each; no culture."""
    shelf, rng = Shelf(tmp_path_factory.mktemp("archive")), np.random.default_rng(3)
    sections = ["sport" if n % 3 == 0 else "news" for n in range(30)] + ["culture"] * 3
    changes = [
        added(f"a{n}", published_at=NOW - HOUR * (6 + n * 0.3), section=section)
        for n, section in enumerate(sections)
    ]
    records = []
    for feed in range(120):
        reader, request, at = f"u{feed % 40}", f"r{feed}", NOW - HOUR * 5 * (1 - feed / 120)
        shown = rng.choice(30, 8, replace=False).tolist()
        records.append(shelf.feed([f"a{n}" for n in shown], reader, at, request_id=request))
        records += [
            shelf.event("impression", f"a{n}", reader, at + 1, request_id=request) for n in shown
        ]
        opened = next((n for n in shown if sections[n] == "sport"), shown[0])
        records.append(shelf.event("click", f"a{opened}", reader, at + 5, request_id=request))
    shelf.commit(records, changes)
    return shelf


def price(shelf: Shelf, *limits: Limit, **more):
    return price_limits(
        shelf.archive, limits, empty_bundle(), RankingConfig(), now=NOW, hours=6.0, **more
    )


def test_a_limit_that_holds_anyway_costs_nothing(shelf: Shelf) -> None:
    told: list[float] = []
    found = price(shelf, LOOSE, progress=told.append)
    assert (found.feeds, found.readers, found.enough) == (120, 40, True)
    assert found.changed == 0
    assert found.ndcg is not None
    assert (found.ndcg.change, found.ndcg.low) == (0.0, None)
    assert found.met == ((1.0, 1.0),)
    assert told == sorted(told)
    assert told[0] == 0


def test_what_readers_open_is_missed_where_a_limit_bans_it(shelf: Shelf) -> None:
    found = price(shelf, NO_SPORT)
    assert found.ndcg is not None
    assert found.auc is not None
    assert found.changed >= 0
    assert found.ndcg.within < found.ndcg.without
    assert found.ndcg.low <= found.ndcg.change <= found.ndcg.high < 0
    assert found.auc.change < 0
    ((before, after),) = found.met
    assert before < after == 1.0
    assert "the limits cost" in found.sentence()
    assert "95 % interval" in found.sentence()


def test_the_price_is_the_mean_of_the_feeds_ranked_by_hand(shelf: Shelf) -> None:
    """A limit that raises one article by a few places costs what the clicks lose by it."""
    found = price(shelf, CULTURE)
    assert found.ndcg is not None
    assert found.met[0][1] == 1.0
    assert -0.3 < found.ndcg.change <= 0
    assert 0 <= found.changed <= 1 / 20 + 1e-9


def test_too_few_clicks_give_no_price(tmp_path) -> None:
    shelf = Shelf(tmp_path)
    assert price(shelf, LOOSE).feeds == 0
    shelf.commit(
        [
            shelf.feed(["a0", "a1"], at=NOW - 60),
            shelf.event("impression", "a0", at=NOW - 50),
            shelf.event("click", "a0", at=NOW - 40),
        ],
        [added("a0", section="news"), added("a1", section="news")],
    )
    found = price(shelf, LOOSE)
    assert (found.feeds, found.enough) == (1, False)
    assert "too little to state a price" in found.sentence()


def test_limits_that_a_feed_was_made_with_are_known_again() -> None:
    text = orjson.dumps([{"limit": LOOSE.to_json(), "met": True, "moved": 0}]).decode()
    assert logged_limits(text) == (LOOSE,)
    assert logged_limits("") == ()
