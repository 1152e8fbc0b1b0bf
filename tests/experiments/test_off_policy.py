"""Off-policy estimates: worked by hand, exact on the logging policy, honest about overlap."""

import dataclasses
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from feed.commands.ope import Question, show
from feed.experiments.off_policy.bootstrap import ReaderBootstrap
from feed.experiments.off_policy.estimators import (
    Estimate,
    LoggedBandit,
    OffPolicyReport,
    blank,
    evaluate_policy,
)

RATES = np.array([0.1, 0.3, 0.6])
LOGGING = np.array([0.5, 0.3, 0.2])
TARGET = np.array([0.2, 0.2, 0.6])


def log_of(
    rows: int, target: np.ndarray = TARGET, logged: np.ndarray = LOGGING, seed: int = 1
) -> LoggedBandit:
    rng = np.random.default_rng(seed)
    actions = rng.choice(3, rows, p=LOGGING)
    return LoggedBandit(
        rewards=(rng.random(rows) < RATES[actions]).astype(float),
        propensities=logged[actions],
        targets=target[actions],
        readers=np.arange(rows) // 2,
        predicted=RATES[actions],
        predicted_target=np.full(rows, float(target @ RATES)),
    )


def values_of(report: OffPolicyReport) -> dict[str, float | None]:
    return {estimate.name: estimate.value for estimate in report.estimates}


def test_estimates_worked_by_hand() -> None:
    log = LoggedBandit(
        rewards=np.array([1.0, 0.0, 1.0]),
        propensities=np.array([0.5, 0.5, 0.25]),
        targets=np.array([0.25, 0.5, 0.5]),
        readers=np.array([0, 1, 2]),
        predicted=np.array([0.5, 0.5, 0.5]),
        predicted_target=np.array([0.4, 0.4, 0.4]),
    )
    report = evaluate_policy(log, np.random.default_rng(0), most_error=np.inf)
    values = values_of(report)
    assert values["ips"] == pytest.approx((0.5 + 0 + 2) / 3)
    assert values["snips"] == pytest.approx(2.5 / 3.5)
    assert values["doubly_robust"] == pytest.approx(0.4 + (0.25 - 0.5 + 1.0) / 3)
    assert values["direct"] == pytest.approx(0.4)
    assert report.overlap.effective_rows == pytest.approx(3.5**2 / (0.25 + 1 + 4))
    assert report.overlap.largest_weight == 2
    assert report.overlap.largest_share == pytest.approx(2 / 3.5)
    assert report.overlap.matched == pytest.approx(1.75)


def test_the_logging_policy_is_worth_what_it_got() -> None:
    log = log_of(2_000, target=LOGGING)
    values = values_of(evaluate_policy(log, np.random.default_rng(0)))
    for name in ("replay", "ips", "snips"):
        assert values[name] == pytest.approx(log.rewards.mean())


def test_every_estimator_finds_the_value_of_another_policy() -> None:
    report = evaluate_policy(log_of(40_000), np.random.default_rng(0))
    truth = float(TARGET @ RATES)
    assert report.refusal == ""
    for estimate in report.estimates:
        assert estimate.value == pytest.approx(truth, abs=0.015)
        if estimate.interval is not None:
            assert estimate.interval.low < estimate.value < estimate.interval.high


def test_clipping_only_lowers_the_estimate() -> None:
    steep = np.array([0.01, 0.04, 0.95])
    report = evaluate_policy(log_of(3_000, target=steep), np.random.default_rng(0))
    clipped = [estimate.value for estimate in report.clipped]
    assert clipped == sorted(clipped)
    assert clipped[-1] == pytest.approx(values_of(report)["ips"])


def test_too_little_overlap_is_refused_in_words() -> None:
    rng = np.random.default_rng(2)
    propensities = np.where(rng.random(5_000) < 0.001, 0.001, 0.999)
    log = LoggedBandit(
        rewards=np.ones(5_000),
        propensities=propensities,
        targets=1 - propensities,
        readers=np.arange(5_000),
        predicted=np.ones(5_000),
        predicted_target=np.ones(5_000),
    )
    assert "overlap is too small" in evaluate_policy(log, rng).refusal
    assert "too little data" in evaluate_policy(log_of(100), rng).refusal


def test_a_refused_estimate_is_printed_without_its_number() -> None:
    rng = np.random.default_rng(0)
    log = log_of(100)
    question = Question("log", "policy", log, "really got", (0.3, None), {}, [])
    console = Console(file=StringIO(), width=120)
    report = evaluate_policy(log, rng)
    assert report.refusal
    show(report, question, console)
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    for estimate in (*report.estimates, *report.clipped):
        (line,) = [line for line in lines if line.startswith(f"│ {estimate.name} ")]
        assert not any(sign.isdigit() for sign in line.replace(estimate.name, ""))


def test_a_refused_log_leaves_no_number_in_what_is_written() -> None:
    report = evaluate_policy(log_of(100), np.random.default_rng(0))
    assert report.refusal
    written = blank(report)
    numbers = [
        value
        for estimate in (*written.estimates, *written.clipped)
        for name, value in dataclasses.asdict(estimate).items()
        if name not in {"name", "weak", "refusal"}
    ]
    assert set(numbers) == {None}
    assert written.overlap == report.overlap
    fine = evaluate_policy(log_of(5_000), np.random.default_rng(0))
    assert blank(fine) == fine


def snips_with(clicks: int) -> Estimate:
    """The estimate from a log in which only so many rows were rewarded."""
    log = log_of(20_000, target=LOGGING)
    rewards = np.zeros(log.rewards.size)
    rewards[np.flatnonzero(log.rewards)[:clicks]] = 1.0
    report = evaluate_policy(dataclasses.replace(log, rewards=rewards), np.random.default_rng(0))
    assert report.refusal == ""
    (found,) = [estimate for estimate in report.estimates if estimate.name == "snips"]
    return found


@pytest.mark.parametrize("clicks", [4, 20, 100])
def test_an_estimate_from_few_clicks_is_weak_and_from_very_few_refused(clicks: int) -> None:
    """With equal weights, the relative standard error is one over the root of the clicks."""
    found = snips_with(clicks)
    assert found.relative_error == pytest.approx(1 / np.sqrt(clicks), rel=0.25)
    if clicks == 4:
        assert (found.value, found.interval) == (None, None)
        assert "standard error" in found.refusal
    else:
        assert found.value == pytest.approx(clicks / 20_000)
        assert found.weak == (clicks == 20)


def test_wrong_propensities_are_refused_in_words() -> None:
    wrong = log_of(20_000, logged=np.array([0.4, 0.3, 0.3]))
    assert "propensities" in evaluate_policy(wrong, np.random.default_rng(0)).refusal


def test_an_empty_log_and_a_policy_never_seen_give_no_estimate() -> None:
    report = evaluate_policy(log_of(0), np.random.default_rng(0))
    assert report.refusal == "the log is empty"
    assert set(values_of(report).values()) == {None}
    unseen = evaluate_policy(log_of(500, target=np.zeros(3)), np.random.default_rng(0))
    assert "never takes" in unseen.refusal
    assert values_of(unseen)["snips"] is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("propensities", [0.0, 0.5]),
        ("propensities", [0.5, 1.5]),
        ("targets", [-0.1, 0.5]),
        ("rewards", [np.nan, 1.0]),
        ("rewards", [1.0]),
    ],
)
def test_logs_that_make_no_sense_are_refused(name: str, values: list[float]) -> None:
    columns = dict.fromkeys(
        ("rewards", "propensities", "targets", "predicted", "predicted_target"),
        np.array([0.5, 0.5]),
    )
    columns[name] = np.array(values)
    with pytest.raises(ValueError, match=r"log|propensities|probabilities"):
        LoggedBandit(**columns, readers=np.array([0, 1]))


def test_the_bootstrap_resamples_readers_not_rows() -> None:
    rng = np.random.default_rng(4)
    readers = np.arange(400).repeat(25)
    clicks = (rng.random(400) < 0.3).astype(float)[readers]
    ones = np.ones_like(clicks)
    by_reader = ReaderBootstrap(readers, rng).ratio_interval(clicks, ones)
    by_row = ReaderBootstrap(np.arange(clicks.size), rng).ratio_interval(clicks, ones)
    assert by_reader is not None
    assert by_row is not None
    wide, narrow = by_reader.high - by_reader.low, by_row.high - by_row.low
    assert wide == pytest.approx(2 * 1.96 * clicks.std() / 20, rel=0.15)
    assert narrow == pytest.approx(wide / 5, rel=0.15)


def test_one_reader_has_no_interval() -> None:
    values = np.ones(3)
    rng = np.random.default_rng(0)
    alone = ReaderBootstrap(np.zeros(3, dtype=np.int64), rng)
    assert alone.ratio_interval(values, values) is None
    assert ReaderBootstrap(np.arange(3), rng).ratio_interval(values, 0 * values) is None


def test_rewards_that_are_all_alike_have_no_interval() -> None:
    silent = dataclasses.replace(log_of(2_000), rewards=np.zeros(2_000))
    for estimate in evaluate_policy(silent, np.random.default_rng(0)).estimates:
        if estimate.name in {"replay", "ips", "snips"}:
            assert (estimate.value, estimate.interval) == (0.0, None)
