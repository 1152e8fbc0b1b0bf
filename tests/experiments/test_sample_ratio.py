"""Sample ratio: agreement, alarms, strata, daily looks."""

import numpy as np
import pytest
import scipy.stats
import tea_tasting as tt
from tea_tasting.aggr import Aggregates

from feed.experiments.statistics.sample_ratio import (
    always_valid_p_value,
    check_sample_ratio,
    check_strata,
    follow_sample_ratio,
)


@pytest.mark.parametrize(("counts", "ratio"), [((480, 530), 1.0), ((900, 2_100), 2.0)])
def test_two_variants_agree_with_tea_tasting(counts: tuple[int, int], ratio: float) -> None:
    data = {name: Aggregates(count_=n) for name, n in zip("ab", counts, strict=True)}
    expected = tt.SampleRatio(ratio, method="binom").analyze(data, "a", "b")
    found = check_sample_ratio(counts, (1.0, ratio))
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-8)


def test_three_variants_are_tested_by_chi_square() -> None:
    found = check_sample_ratio((310, 280, 410), (0.3, 0.3, 0.4))
    expected = scipy.stats.chisquare((310, 280, 410), (300, 300, 400)).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-12)
    assert not found.alarm


def test_a_tenth_of_one_arm_missing_is_an_alarm() -> None:
    assert check_sample_ratio((5_000, 4_500), (0.5, 0.5)).alarm
    assert check_sample_ratio((5_000, 0), (0.5, 0.5)).alarm


def test_few_readers_in_three_variants_are_tested_exactly() -> None:
    p_value = check_sample_ratio((4, 0, 0), (1, 1, 1)).p_value
    assert p_value == pytest.approx(3 * scipy.stats.binomtest(4, 4, 1 / 3).pvalue)


def test_no_reader_gives_no_estimate() -> None:
    found = check_sample_ratio((0, 0), (0.5, 0.5))
    assert found.p_value is None
    assert not found.alarm
    assert always_valid_p_value((0, 0), (0.5, 0.5)) is None


def test_strata_are_corrected_for_their_number() -> None:
    counts = {"web": (500, 390), "ios": (400, 410), "android": (0, 0)}
    found = check_strata(counts, (0.5, 0.5))
    single = check_sample_ratio(counts["web"], (0.5, 0.5)).p_value
    assert single is not None
    assert found["web"].p_value == pytest.approx(2 * single)
    assert found["web"].alarm
    assert not found["ios"].alarm
    assert found["android"].p_value is None


def test_daily_looks_at_the_always_valid_test_rarely_alarm() -> None:
    rng = np.random.default_rng(3)
    days = rng.binomial(400, 0.5, (1_500, 28)).cumsum(axis=1)
    totals = 400 * np.arange(1, 29)
    alarms = sum(
        any(
            (always_valid_p_value((int(a), int(n - a)), (1, 1)) or 1.0) < 0.05
            for a, n in zip(run, totals, strict=True)
        )
        for run in days
    )
    assert alarms / 1_500 < 0.05
    assert (always_valid_p_value((5_000, 4_300), (1, 1)) or 1.0) < 0.001


def test_the_always_valid_p_value_is_one_over_the_bayes_factor() -> None:
    counts, shares, concentration = (31, 12, 7), np.array([0.5, 0.3, 0.2]), 40.0
    rng = np.random.default_rng(1)
    drawn = rng.dirichlet(concentration * shares, 400_000)
    factor = np.exp(np.log(drawn / shares) @ counts).mean()
    found = always_valid_p_value(counts, shares.tolist(), (concentration,))
    assert found == pytest.approx(1 / factor, rel=0.02)


def test_under_the_shares_the_bayes_factor_averages_one() -> None:
    n = 60
    chances = scipy.stats.binom.pmf(np.arange(n + 1), n, 0.3)
    p_values = [always_valid_p_value((k, n - k), (0.3, 0.7), (5.0,)) for k in range(n + 1)]
    capped = sum(c / p for c, p in zip(chances, p_values, strict=True) if p)
    assert capped >= 1.0  # 1 / p, where p is capped at 1
    assert capped - chances[np.array(p_values) == 1.0].sum() <= 1.0


def test_an_alarm_stays_and_does_not_depend_on_who_looked_when() -> None:
    broken = [(100, 40)] * 3
    healed = broken + [(100, 130)] * 6
    assert follow_sample_ratio(broken, (0.5, 0.5)).alarm
    found = follow_sample_ratio(healed, (0.5, 0.5))
    assert found.alarm
    assert found.counts == (900, 900)
    assert not follow_sample_ratio([(100, 95)] * 28, (0.5, 0.5)).alarm
    assert follow_sample_ratio([], (0.5, 0.5)).p_value is None


@pytest.mark.parametrize("counts", [(60, 0), (5_000, 4_200), (200_000, 197_000)])
def test_losses_of_every_size_are_found_in_the_end(counts: tuple[int, int]) -> None:
    assert follow_sample_ratio([counts], (0.5, 0.5)).alarm


def test_strata_may_be_corrected_for_those_still_to_come() -> None:
    few = check_strata({"monday": (500, 390)}, (0.5, 0.5))["monday"].p_value
    many = check_strata({"monday": (500, 390)}, (0.5, 0.5), tests=28)["monday"].p_value
    assert few is not None
    assert many == pytest.approx(28 * few)


@pytest.mark.parametrize(("counts", "shares"), [((1, 2), (1.0, 0.0)), ((1,), (1,)), ((1, 2), (1,))])
def test_shares_that_fit_no_variants_are_refused(counts, shares) -> None:
    with pytest.raises(ValueError, match="share"):
        check_sample_ratio(counts, shares)
