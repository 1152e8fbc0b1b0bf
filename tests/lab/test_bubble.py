"""The simulated months behind the figures on filter bubbles."""

from lab.simulation.bubble import World

from feed.config import RankingConfig


def run(weight, days=3, readers=5):
    world = World(RankingConfig(calibration=weight), readers=readers, per_day=80, seed=3)
    return [world.run_day(day) for day in range(days)]


def test_a_calibrated_feed_follows_its_readers_into_fewer_sections():
    plain, calibrated = run(0.0, readers=20), run(0.5, readers=20)
    assert calibrated[-1].own < plain[-1].own
    assert sum(day.clicks for day in calibrated) > sum(day.clicks for day in plain)
    for day in (*plain, *calibrated):
        assert 0 <= day.own <= day.all
        assert day.apart > 0


def test_the_same_seed_gives_the_same_days():
    assert run(0.0, days=1) == run(0.0, days=1)
