"""What the readers of one network are worth, and that the trending label follows it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.domain import Article
from feed.features.counters import HALF_LIVES_S, Counters
from feed.features.ids import IdMap
from feed.features.network_bound import NetworkBound, NetworkRules
from feed.features.pool import PoolBuilder
from feed.features.surprise import TrendingRules
from feed.features.trending import TrendingDetector

NOW = 1_780_000_000.0
HOUR = 3600.0
SHARES = np.concatenate([[0.10, 0.08, 0.06, 0.05, 0.05], np.full(660, 0.001)])


def read(bound, networks, at=NOW, row=0, fresh=False):
    """Let one reader of each of these networks read an article; return what each counts."""
    count = len(networks)
    return bound.add_readers([row] * count, networks, [fresh] * count, [at] * count, [at] * count)


def a_bound(articles=1, **rules):
    return NetworkBound(IdMap(f"a{n}" for n in range(articles)), NetworkRules(**rules))


def strangers(count, prefix="x"):
    return [f"{prefix}{n}" for n in range(count)]


def test_the_first_reader_of_each_network_counts_whole():
    assert read(a_bound(), strangers(50)).tolist() == [1.0] * 50


def test_a_network_that_floods_does_not_count_at_all():
    bound = a_bound()
    weights = read(bound, ["x"] * 1000)
    assert weights[0] == 1.0
    assert weights[1] < 0
    assert weights.sum() == pytest.approx(0, abs=1e-9)
    assert bound.withheld(np.array([0]), NOW)[0] == pytest.approx([1000] * 4)
    assert bound.site_withheld(NOW) == pytest.approx([1000] * 4)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.floats(0, 600)), max_size=300))
@settings(max_examples=60, deadline=None)
def test_ten_strange_networks_are_worth_about_ten_readers_at_most(readers):
    bound, total = a_bound(), 0.0
    for network, fresh, after in sorted(readers, key=lambda reader: reader[2]):
        total += read(bound, [f"x{network}"], NOW + after, fresh=fresh)[0]
        assert total <= 13


def test_a_flood_from_one_network_takes_nothing_from_the_others():
    bound = a_bound()
    read(bound, strangers(20))
    read(bound, ["x3"] * 500)
    assert read(bound, strangers(20, "y")).tolist() == [1.0] * 20
    counted = 540 - bound.withheld(np.array([0]), NOW)[0, 0]
    assert counted == pytest.approx(39)


def test_a_carrier_that_the_site_knows_counts_by_its_usual_share():
    bound = a_bound(300)
    rng = np.random.default_rng(1)
    for row in range(1, 300):
        others = [f"n{n}" for n in rng.integers(0, 3000, 18)]
        read(bound, [*others, "carrier", "carrier"], NOW + row, row=row)
    strange, counted = a_bound(), {"known": 0.0, "strange": 0.0}
    for number, network in enumerate(f"n{n}" for n in rng.integers(0, 3000, 180)):
        wave = [network, "carrier"] if number % 9 == 0 else [network]
        for name, one in (("known", bound), ("strange", strange)):
            counted[name] += read(one, wave, NOW + 300 + number)[1:].sum()
    assert counted["known"] > 15
    assert counted["strange"] < 5


def test_fresh_readers_count_one_for_each_network_and_one_for_each_established_reader():
    rules = {"usual_prior": 1e-9, "room": 100.0}  # no network is bounded by itself here
    alone, accompanied = a_bound(2, **rules), a_bound(2, **rules)
    for bound in (alone, accompanied):
        read(bound, strangers(10) * 10, row=1)
    read(accompanied, strangers(10) * 3)
    assert read(alone, strangers(10) * 20, fresh=True).sum() == pytest.approx(10)
    assert read(accompanied, strangers(10) * 20, fresh=True).sum() == pytest.approx(40)


def test_what_is_withheld_halves_as_the_counters_do():
    bound = a_bound()
    read(bound, ["x"] * 100)
    later = bound.withheld(np.array([0]), NOW + HALF_LIVES_S[0])[0]
    assert later == pytest.approx(100 * np.exp2(-HALF_LIVES_S[0] / np.array(HALF_LIVES_S)))
    assert bound.withheld(np.array([0, 7]), NOW)[1].tolist() == [0] * 4


def test_a_checkpoint_goes_on_under_other_row_numbers():
    bound = a_bound(3)
    rng = np.random.default_rng(5)
    for step in range(60):
        read(bound, [f"n{n}" for n in rng.integers(0, 30, 20)], NOW + 30 * step, row=step % 3)
    now = NOW + 1800
    ids = IdMap(["zz", "a2", "a0"])
    heir = NetworkBound.load(bound.dump(now), ids)
    rows = ids.rows(["a0", "a1", "a2"])
    assert heir.networks_held == bound.networks_held > 0
    np.testing.assert_allclose(heir.withheld(rows, now), bound.withheld(np.arange(3), now))
    np.testing.assert_allclose(heir.readers(rows, now), bound.readers(np.arange(3), now))
    np.testing.assert_allclose(heir.site_withheld(now), bound.site_withheld(now))
    for row, other in enumerate(rows.tolist()):
        more = [f"n{n}" for n in rng.integers(0, 60, 40)]
        fresh = row == 1
        np.testing.assert_allclose(
            read(heir, more, now + 5, row=other, fresh=fresh),
            read(bound, more, now + 5, row=row, fresh=fresh),
        )


def test_networks_are_forgotten_within_hours():
    bound = a_bound()
    read(bound, ["deadbeefdeadbeef"] * 50)
    rules = NetworkRules()
    assert b"deadbeefdeadbeef" in bound.dump(NOW + rules.memory_s)
    assert bound.networks_held == 1
    bound.forget(NOW + rules.memory_s + 1)
    assert bound.networks_held == 0
    assert b"deadbeefdeadbeef" not in bound.dump(NOW + rules.usual_memory_s + 1)
    assert bound.withheld(np.array([0]), NOW + rules.usual_memory_s)[0, 2] > 20


def test_memory_is_bounded_for_an_article_and_altogether():
    bound = a_bound(100, article_networks=40, most_networks=400)
    for row in range(100):
        for start in range(0, 100, 10):
            at = NOW + row + start / 100
            read(bound, strangers(10, f"{row}-{start}-"), at, row=row)
            assert bound.networks_held <= 500
    assert bound.networks_held >= 300
    assert len(bound.dump(NOW + 100)) < 100_000
    assert read(bound, ["99-90-3"], NOW + 100, row=99)[0] < 1  # the newest are still known


class World:
    """A site of forty articles with usual readers, by the second."""

    def __init__(self, seed=0, per_hour=8.0):
        self.rng = np.random.default_rng(seed)
        builder = PoolBuilder()
        for number in range(40):
            article = Article(article_id=f"a{number}", title="t", published_at=NOW - 30 * HOUR)
            builder.add(article, None, NOW - 30 * HOUR)
        self.pool = builder.snapshot()
        self.counters, self.bound = Counters(self.pool.ids), NetworkBound(self.pool.ids)
        self.detector = TrendingDetector()
        self.now, self.rate = NOW - 8 * HOUR, per_hour / HOUR
        while self.now < NOW:
            self.step(60.0)

    def step(self, seconds, networks=(), fresh=True):
        """Let usual readers come, and readers of article a0 from networks."""
        self.now += seconds
        rows = np.repeat(np.arange(40), self.rng.poisson(self.rate * seconds, 40)).tolist()
        origins = self.draw(len(rows))
        flags = (self.rng.random(len(rows)) < 0.3).tolist() + [fresh] * len(networks)
        rows += [0] * len(networks)
        if rows:
            times = [self.now] * len(rows)
            self.counters.add_clicks(np.array(rows), np.array(times))
            self.bound.add_readers(rows, [*origins, *networks], flags, times, times)

    def draw(self, count):
        return [f"n{n}" for n in self.rng.choice(len(SHARES), count, p=SHARES)]

    def is_labelled(self, bound):
        state = self.detector.update(self.counters, self.pool, self.now, bound)
        return any(e.labelled and e.article_id == "a0" for e in state.entries)


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "an hour old"])
@pytest.mark.parametrize("networks", [1, 3, 10])
@pytest.mark.parametrize("taking_turns", [True, False])
def test_a_thousand_ids_from_few_networks_label_nothing(networks, fresh, taking_turns):
    world = World(seed=networks)
    for tick in range(180):
        ids = range(10 * tick, 10 * tick + 10) if tick < 100 else ()
        turns = [i % networks if taking_turns else world.rng.integers(networks) for i in ids]
        world.step(5.0, [f"x{n}" for n in turns], fresh)
        assert not world.is_labelled(world.bound)
    assert TrendingDetector().update(world.counters, world.pool, world.now).entry(0).labelled


@pytest.mark.parametrize("fresh", [True, False])
def test_a_true_rush_through_many_networks_is_labelled_within_minutes_of_the_unbounded(fresh):
    world = World(seed=3)
    plain, found = TrendingDetector(), {}
    for tick in range(240):
        world.step(15.0, world.draw(world.rng.poisson(15 * 80 / HOUR)), fresh)
        if world.is_labelled(world.bound):
            found.setdefault("bounded", tick)
        state = plain.update(world.counters, world.pool, world.now)
        if state.entry(0) is not None and state.entry(0).labelled:
            found.setdefault("unbounded", tick)
    assert 0 <= found["bounded"] - found["unbounded"] <= 5 * 4


def test_the_readers_told_are_those_the_test_used():
    world = World(seed=4)
    world.step(60.0, world.draw(60) + ["x"] * 400)
    world.is_labelled(world.bound)
    world.now += TrendingRules().settle_s
    state = world.detector.update(world.counters, world.pool, world.now, world.bound)
    row = np.array([0])
    counted = world.counters.clicks(row, world.now) - world.bound.withheld(row, world.now)
    assert state.entry(0).labelled
    assert state.entry(0).readers == pytest.approx(counted[0, 0])
    assert state.entry(0).readers < 75


def test_a_label_waits_until_the_rule_has_held_for_a_while():
    world = World(seed=5)
    world.step(1.0, strangers(40))
    assert not world.is_labelled(world.bound)
    world.step(TrendingRules().settle_s - 1)
    assert not world.is_labelled(world.bound)
    world.step(1.0)
    assert world.is_labelled(world.bound)
    trusted = TrendingDetector().update(world.counters, world.pool, world.now)
    assert trusted.entry(0).labelled
