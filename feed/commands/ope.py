"""`feed ope`: what another policy would have earned, estimated from the log of this one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from feed.commands.errors import one_line_errors
from feed.commands.parameters import OUTPUT_FILE, PATH, FiniteRange, parse_object
from feed.domain import FeedError, InvalidInputError, NotFoundError, parse_time
from feed.environment import settings_from_environment
from feed.experiments.design.definition_json import experiment_from_json
from feed.experiments.design.definitions import Experiment
from feed.experiments.off_policy.bootstrap import ReaderBootstrap
from feed.experiments.off_policy.estimators import (
    Estimate,
    LoggedBandit,
    OffPolicyReport,
    blank,
    evaluate_policy,
)
from feed.experiments.off_policy.open_bandit import load_policy_log, measure_reward, pair_logs
from feed.experiments.report.files import REPORTS
from feed.experiments.statistics.effects import Interval
from feed.models.bundle import ModelBundle, empty_bundle, load_bundle
from feed.models.registry import ModelRegistry
from feed.offline.explored import Policy, read_explored
from feed.setting_fields import override
from feed.storage.archive import Archive
from feed.storage.working_copy import place_of

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Question:
    """A log seen by a policy, and what to hold the estimates against.

    Attributes:
        log: Name of the log.
        policy: Name of the policy.
        bandit: The log's rows.
        known: What is known without estimating: "really got" or "drawn by chance".
        reward: That reward a row, with its interval.
        facts: More for the JSON.
        notes: More for the reader.
    """

    log: str
    policy: str
    bandit: LoggedBandit
    known: str
    reward: tuple[float, Interval | None]
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def ask_open_bandit(
    log_dir: Path, policy_dir: Path, campaign: str | None, rng: np.random.Generator
) -> Question:
    """Read two logs in the Open Bandit layout."""
    log, policy = load_policy_log(log_dir, campaign), load_policy_log(policy_dir, campaign)
    bandit = pair_logs(log, policy, rng)
    return Question(log.name, policy.name, bandit, "really got", measure_reward(policy, rng))


def ask_archive(
    log_dir: Path,
    policy: Policy,
    experiments: Sequence[Experiment],
    window: tuple[float, float],
    rng: np.random.Generator,
) -> Question:
    """Read the explored slots of an installation's archive."""
    registry = ModelRegistry(log_dir / "models")
    models = {"none": empty_bundle()}
    for manifest in registry.list():
        if "error" not in manifest:
            version = str(manifest["version"])
            models[version] = registry.load(version)
    archive = Archive(log_dir / "archive")
    found = read_explored(
        archive,
        models,
        policy,
        rng,
        base=settings_from_environment().ranking,
        experiments=experiments,
        from_at=window[0],
        to_at=window[1],
    )
    bandit = found.bandit
    ones = np.ones_like(bandit.rewards)
    interval = ReaderBootstrap(bandit.readers, rng).ratio_interval(bandit.rewards, ones)
    mean = float(bandit.rewards.mean()) if bandit.rewards.size else 0.0
    said = f"the policy draws among the best {policy.top:.0%} of each pool"
    notes = [f"{bandit.rewards.size} of {found.explored} explored slots; {said}"]
    notes += [f"{count} left out: {reason}" for reason, count in found.left_out.items()]
    facts = {"explored": found.explored, "left_out": dict(found.left_out), "top": policy.top}
    name = policy.bundle.version
    return Question(str(log_dir), name, bandit, "drawn by chance", (mean, interval), facts, notes)


def read_policy(directory: Path, changes: Sequence[str], top: float) -> Policy:
    """Read a model from its directory, or the live one of a data directory."""
    config = override(
        settings_from_environment().ranking, dict(map(parse_change, changes)), prefix="--set "
    )
    return Policy(bundle=read_model(directory), config=config, top=top)


def read_model(directory: Path) -> ModelBundle:
    """Return a published model, or the live one of a data directory (none: day one's)."""
    if (directory / "archive").is_dir() or (directory / "models").is_dir():
        return ModelRegistry(directory / "models").load_live() or empty_bundle()
    if not directory.is_dir():
        raise NotFoundError(f"there is no model in {directory}")
    return load_bundle(directory)


def _read_definition(path: Path) -> Experiment:
    return experiment_from_json(parse_object(path.read_bytes(), "--definition"))


def read_definitions(log_dir: Path, files: Sequence[Path]) -> list[Experiment]:
    """Read the experiments in the given files and in the installation's reports."""
    found = [_read_definition(path) for path in files]
    reports = place_of(log_dir / REPORTS)
    for name in reports.list():
        stored = reports.read(name) if name.endswith(".json") else None
        if stored is not None:
            with suppress(ValueError, KeyError, TypeError, FeedError):
                found.append(experiment_from_json(json.loads(stored.data)["experiment"]))
    return found


def parse_change(text: str) -> tuple[str, Any]:
    """Return the name and the value of NAME=VALUE; a value may be JSON."""
    name, sign, value = text.partition("=")
    if not sign:
        raise InvalidInputError("--set", f"must be NAME=VALUE, not {text}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def show(report: OffPolicyReport, question: Question, console: Console) -> None:
    """Print the estimates beside what is known, then what the log can bear."""
    report = blank(report)
    table = Table(title="reward a row", title_justify="left")
    against = "off by" if question.known == "really got" else "against chance"
    for heading in ("estimator", "value", "95 % interval", against, ""):
        table.add_column(heading, justify="right" if heading not in ("estimator", "") else "left")
    for estimate in (*report.estimates, *report.clipped):
        table.add_row(*row_of(estimate, question.reward[0]))
    table.add_section()
    table.add_row(question.known, f"{question.reward[0]:.5f}", words(question.reward[1]), "", "")
    console.print(table)
    for note in question.notes:
        console.print(note, highlight=False)
    overlap = report.overlap
    console.print(
        f"{overlap.rows} rows of {overlap.readers} readers or groups of them count like "
        f"{overlap.effective_rows:.0f} rows ({overlap.effective_share:.1%}); largest weight "
        f"{overlap.largest_weight:.1f}, {overlap.largest_share:.1%} of all; weights average "
        f"{overlap.mean_weight:.3f} +- {overlap.mean_weight_error:.3f} (1 when all is right); "
        f"replay keeps about {overlap.matched:.0f} rows"
    )
    if report.refusal:
        console.print(f"REFUSED: {report.refusal}. No estimate is printed.", style="bold red")
    for estimate in (*report.estimates, *report.clipped):
        if estimate.refusal:
            console.print(f"{estimate.name} is refused: {estimate.refusal}", highlight=False)


def row_of(estimate: Estimate, known: float) -> tuple[str, str, str, str, str]:
    """One line of the table; without numbers where there is no estimate."""
    if estimate.value is None:
        return estimate.name, "", "", "", "refused" if estimate.refusal else ""
    off = f"{estimate.value / known - 1.0:+.0%}" if known > 0 else ""
    weak = "weak" if estimate.weak else ""
    return estimate.name, f"{estimate.value:.5f}", words(estimate.interval), off, weak


def words(interval: Interval | None) -> str:
    """An interval as text."""
    return "none" if interval is None else f"{interval.low:.5f} to {interval.high:.5f}"


def directory(name: str, help_text: str) -> Callable[[Command], Command]:
    """Declare one required directory."""
    return click.option(
        f"--{name}",
        f"{name}_dir",
        type=PATH,
        required=True,
        metavar="DIR",
        help=help_text,
    )


@click.command()
@directory("log", "A policy's log, or the data directory of an installation.")
@directory("policy", "Another policy's log; for an archive a model, or a data directory.")
@click.option("--campaign", help="Open Bandit: which campaign, if there are several.")
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Archive: a ranking setting."
)
@click.option(
    "--top",
    type=FiniteRange(0.0, 1.0, min_open=True),
    default=0.2,
    show_default=True,
    help="Archive: share of the pool from which the policy draws.",
)
@click.option(
    "--definition",
    "definitions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Archive: definition (JSON) of an experiment that has no report yet.",
)
@click.option("--from", "begin", help="Archive: start of the feeds to use (ISO 8601).")
@click.option("--to", "end", help="Archive: end of these feeds, exclusive.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of bootstrap and halves.",
)
@click.option(
    "--json",
    "json_file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Also write the numbers to this file.",
)
def ope(
    log_dir: Path,
    policy_dir: Path,
    campaign: str | None,
    changes: Sequence[str],
    top: float,
    definitions: Sequence[Path],
    begin: str | None,
    end: str | None,
    seed: int,
    json_file: Path | None,
) -> None:
    """Estimate what another policy would have earned, from the log of this one.

    For an installation's archive, --log is the data directory and --policy is a model (the
    directory of a version, or a data directory with a live model); --set changes ranking
    settings. The estimate uses the slots that exploration filled at random. It is the number of
    clicks on such a slot if the policy had drawn its article among the best --top of the same
    pool, by the policy's own scores.

    An estimate is marked "weak" if the truth may lie a third of its value away (at 95 %), or if its
    error cannot be estimated. If the truth may lie two thirds away, the estimate is refused.

    For data in the Open Bandit layout, --log and --policy are folders with the logs of two
    policies, and the estimate is compared with what the policy really got.

    \b
      feed ope --log data --policy data/models/VERSION --set trending_boost=0
      feed ope --log open_bandit/random --policy open_bandit/bts --json ope.json
    """  # noqa: D301
    rng = np.random.default_rng(seed)
    with one_line_errors():
        for option, folder in (("--log", log_dir), ("--policy", policy_dir)):
            if not folder.is_dir():
                raise InvalidInputError(option, f"must be a directory; {folder} is not one")
        if (log_dir / "archive").is_dir():
            window = (
                parse_time("--from", begin) if begin else 0.0,
                parse_time("--to", end) if end else 1e11,
            )
            if window[0] >= window[1]:
                raise InvalidInputError("--to", "must be later than --from")
            policy = read_policy(policy_dir, changes, top)
            experiments = read_definitions(log_dir, definitions)
            question = ask_archive(log_dir, policy, experiments, window, rng)
        else:
            question = ask_open_bandit(log_dir, policy_dir, campaign, rng)
        report = evaluate_policy(question.bandit, rng)
    console = Console()
    console.print(
        f"The value of [bold]{question.policy}[/bold] from the log of [bold]{question.log}[/bold]"
    )
    show(report, question, console)
    if json_file is not None:
        value, interval = question.reward
        answer = {
            "log": question.log,
            "policy": question.policy,
            "seed": seed,
            question.known.replace(" ", "_"): {"value": value, "interval": interval},
            **question.facts,
            **asdict(blank(report)),
        }
        json_file.write_text(json.dumps(answer, indent=2, allow_nan=False) + "\n")
