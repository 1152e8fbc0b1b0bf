"""The Open Bandit layout: reading it, estimating its policies, the command."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from feed.domain import NotFoundError
from feed.experiments.off_policy.estimators import evaluate_policy
from feed.experiments.off_policy.open_bandit import (
    estimate_action_distribution,
    load_policy_log,
    measure_reward,
    pair_logs,
)

OPE = (sys.executable, "-m", "feed", "ope")
POLICIES = {"uniform": (0.25, 0.25, 0.25, 0.25), "greedy": (0.1, 0.1, 0.2, 0.6)}
RATES = np.array([0.05, 0.1, 0.2, 0.3])
ROWS = 6_000


def write_world(folder: Path, rows: int = ROWS) -> None:
    rng = np.random.default_rng(9)
    for name, chances in POLICIES.items():
        inside = folder / name / "men"
        inside.mkdir(parents=True)
        items = rng.choice(4, rows, p=chances)
        places = rng.integers(1, 4, rows)
        clicks = (rng.random(rows) < RATES[items]).astype(int)
        readers = rng.integers(0, 500, rows)
        lines = [",timestamp,item_id,position,click,propensity_score,"]
        lines[0] += ",".join(f"user_feature_{number}" for number in range(4))
        lines += [
            f"{row},2019-11-24 00:00:00+00:00,{items[row]},{places[row]},{clicks[row]},"
            f"{chances[items[row]]},a{readers[row]},b,c,d"
            for row in range(rows)
        ]
        (inside / "men.csv").write_text("\n".join(lines) + "\n")
        context = [",item_id,item_feature_0", *(f"{item},{item},0.5" for item in range(4))]
        (inside / "item_context.csv").write_text("\n".join(context) + "\n")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open_bandit")
    write_world(folder)
    return folder


def test_a_log_is_read_with_its_sizes(world: Path) -> None:
    log = load_policy_log(world / "greedy")
    assert (log.name, log.n_items, log.n_places) == ("greedy", 4, 3)
    assert log.items.shape == log.clicks.shape == (ROWS,)
    assert np.unique(log.readers).size == 500
    assert set(np.unique(log.places)) == {0, 1, 2}


def test_a_fixed_policy_is_known_exactly_from_its_log(world: Path) -> None:
    for name, chances in POLICIES.items():
        found = estimate_action_distribution(load_policy_log(world / name))
        np.testing.assert_allclose(found, np.array(chances)[:, None].repeat(3, axis=1))


@pytest.mark.parametrize("names", [("uniform", "greedy"), ("greedy", "uniform")])
def test_each_policy_is_valued_from_the_others_log(world: Path, names: tuple[str, str]) -> None:
    log, policy = (load_policy_log(world / name) for name in names)
    rng = np.random.default_rng(0)
    report = evaluate_policy(pair_logs(log, policy, rng), rng)
    truth = float(np.array(POLICIES[names[1]]) @ RATES)
    got, interval = measure_reward(policy, rng)
    assert report.refusal == ""
    assert interval is not None
    assert interval.covers(got)
    values = {estimate.name: estimate.value for estimate in report.estimates}
    for name in ("ips", "snips", "doubly_robust"):
        assert values[name] == pytest.approx(truth, abs=0.02)


def test_the_clicks_of_the_evaluated_policy_are_not_looked_at(world: Path) -> None:
    log, policy = load_policy_log(world / "uniform"), load_policy_log(world / "greedy")
    before = pair_logs(log, policy, np.random.default_rng(0))
    policy.clicks[:] = 1.0
    after = pair_logs(log, policy, np.random.default_rng(0))
    np.testing.assert_array_equal(before.targets, after.targets)
    np.testing.assert_array_equal(before.predicted_target, after.predicted_target)


def test_folders_that_are_no_policy_are_refused(world: Path) -> None:
    for folder, campaign in ((world, None), (world / "absent", None), (world / "greedy", "women")):
        with pytest.raises(NotFoundError, match="campaign"):
            load_policy_log(folder, campaign)


def test_the_command_prints_a_table_and_writes_the_same_as_json(
    world: Path, tmp_path: Path
) -> None:
    answer = tmp_path / "ope.json"
    arguments = ["--log", world / "uniform", "--policy", world / "greedy", "--json", answer]
    run = subprocess.run([*OPE, *arguments], capture_output=True, text=True, check=True)
    written = json.loads(answer.read_text())
    assert "really got" in run.stdout
    assert {row["name"] for row in written["estimates"]} >= {"replay", "ips", "snips"}
    assert written["refusal"] == ""


def test_the_command_says_what_is_wrong_without_a_traceback(world: Path) -> None:
    run = subprocess.run(
        [*OPE, "--log", world, "--policy", world],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "campaign" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_refused_log_has_no_numbers_in_the_table_and_nulls_in_the_json(tmp_path: Path) -> None:
    write_world(tmp_path, rows=80)
    answer = tmp_path / "ope.json"
    arguments = ["--log", tmp_path / "uniform", "--policy", tmp_path / "greedy", "--json", answer]
    run = subprocess.run([*OPE, *arguments], capture_output=True, text=True, check=True)
    assert "REFUSED: too little data" in run.stdout
    written = json.loads(answer.read_text())
    rows = [*written["estimates"], *written["clipped"]]
    assert {row["name"] for row in rows} >= {"snips", "dr_shrunk", "dr_switch", "direct"}
    for row in rows:
        assert {row[key] for key in ("value", "interval", "relative_error", "threshold")} == {None}
        (line,) = [line for line in run.stdout.splitlines() if line.startswith(f"│ {row['name']} ")]
        assert not any(sign.isdigit() for sign in line.replace(row["name"], ""))
