from lab.simulation.exploration import build_newsstand, run_arm


def test_the_arms_differ_only_in_what_is_drawn():
    stand = build_newsstand(1, days=3, articles=40, visits=60)
    without = run_arm(stand, 0, by_need=False)
    assert without == run_arm(stand, 0, by_need=True)
    assert without != run_arm(stand, 2, by_need=False)
    assert run_arm(stand, 2, by_need=True) == run_arm(stand, 2, by_need=True)
    assert 0 < without["clicks a visit"] < 12
    assert 0 <= without["never shown"] < 1
    assert 0 <= without["best quarter found"] <= 1
