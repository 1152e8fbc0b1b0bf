"""The curve by a reader's past clicks, on a world in which taste is all that counts."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.ablation.first_clicks import CUTS, WAYS, CutBook

from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan
from feed.setting_fields import override
from feed.training_config import TrainingConfig

T0 = 1_700_000_000.0
HOUR = 3600.0
SMALL = override(
    TrainingConfig(),
    {"factors": 8, "iterations": 4, "ranker_trees": 20, "ranker_leaves": 7, "neighbours": 10},
)


@pytest.fixture(scope="module")
def found(make_world):
    log = make_world(taste=4.0, readers=30, lists=900)
    plan = WalkPlan(
        start=T0 + 36 * HOUR,
        end=T0 + 44 * HOUR,
        heads=("pool",),
        learn_pool_every=1,
        training=SMALL,
    )
    book = CutBook(plan.ranking)
    with ThreadPoolExecutor(1) as trainer:
        Walk(log, plan, None, book).evaluate(trainer)
    book.flush()
    return book.figures()


def test_what_is_known_of_a_reader_lifts_the_list(found):
    assert list(found.feed) == [str(cut) for cut in CUTS]
    assert found.feed["0"].n == found.feed["10"].n > 50
    assert found.feed["10"].mean > found.feed["0"].mean
    assert found.leads["10"].low > 0


def test_the_day_one_weights_have_a_curve_of_their_own(found):
    assert list(found.day_one) == list(found.day_one_leads) == [str(cut) for cut in CUTS]
    assert found.day_one["10"].mean > found.day_one["0"].mean
    assert found.day_one != found.feed


def test_the_rival_is_the_best_order_by_clicks_alone(found):
    assert found.popularity[found.rival].mean == max(o.mean for o in found.popularity.values())
    lead = found.feed["0"].mean - found.popularity[found.rival].mean
    assert found.leads["0"].mean == pytest.approx(lead)


def test_every_way_to_propose_is_measured_for_every_cut(found):
    for recalls in found.recalls.values():
        assert list(recalls) == list(WAYS)
        assert all(0.5 < one.mean <= 1.0 for one in recalls.values())
