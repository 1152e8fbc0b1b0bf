"""What a feed reaches that learns from its own log: with and without correcting for places."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import orjson
from scipy import stats

from feed.arrays import Floats, Rows
from feed.config import RankingConfig
from lab.simulation.feed_days import PAGE, Arm, Day, FeedDays, Newsroom, build_newsroom

LAST_DAYS = 10
"""Days at the end that the table is about."""
FOUND = 0.25
"""An article of the best so large a share is worth finding ..."""
FOUND_CLICKS = 3
"""... and is found when so many readers have clicked it."""
_BASE = RankingConfig(first_page=PAGE, slate_size=40, explore_by_need=False)
ARMS = (
    Arm(name="not corrected", ranking=_BASE, correct=False),
    Arm(name="corrected", ranking=_BASE),
    Arm(name="corrected, no slot by chance", ranking=replace(_BASE, explore_slots=0)),
    Arm(name="corrected, two slots", ranking=replace(_BASE, explore_slots=2)),
    Arm(name="oracle", ranking=_BASE, oracle=True),
    Arm(name="corrected, one slot by need", ranking=replace(_BASE, explore_by_need=True)),
    Arm(
        name="corrected, two slots by need",
        ranking=replace(_BASE, explore_by_need=True, explore_slots=2),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One arm in one newsroom. Days are in order; the other figures are of the last ten days.

    Attributes:
        reached: what readers could come upon as a share of the best order's, by day.
        clicks: clicks a visit.
        gini: of how often articles were shown.
        never: share of the articles that no reader was shown.
        found: share of the best quarter of articles that three readers or more clicked.
    """

    reached: list[float]
    clicks: float
    gini: float
    never: float
    found: float


def run_arm(room: Newsroom, arm: Arm, seed: int) -> Outcome:
    """Return what came of one arm in one newsroom."""
    days = list(FeedDays(room, arm, seed).run())
    last = days[-LAST_DAYS:]
    shown, clicked = (
        np.sum([getattr(day, n) for day in last], axis=0) for n in ("shown", "clicked")
    )
    own = room.published_in(len(days) - LAST_DAYS, len(days))
    best = own[np.argsort(-room.worth[own])][: round(FOUND * len(own))]
    return Outcome(
        reached=[day.reached / day.best for day in days],
        clicks=_ratio(last, "clicks"),
        gini=gini(shown[own]),
        never=float((shown[own] == 0).mean()),
        found=float((clicked[best] >= FOUND_CLICKS).mean()),
    )


def gini(amounts: Rows) -> float:
    """Return the Gini coefficient of amounts >= 0: 0 if all are equal, near 1 if one has all."""
    ordered = np.sort(amounts).astype(np.float64)
    ranks = np.arange(1, len(ordered) + 1)
    return float(2 * (ranks @ ordered) / (len(ordered) * ordered.sum()) - 1 - 1 / len(ordered))


def _ratio(days: Sequence[Day], name: str) -> float:
    return float(sum(getattr(day, name) for day in days) / sum(day.visits for day in days))


def interval(values: Floats) -> str:
    """Return the mean and its 95 % interval by Student's t over the newsrooms, as text."""
    mean = float(values.mean())
    if len(values) < 2:
        return f"{mean:+.3f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def report(found: dict[str, list[Outcome]]) -> str:
    """Return the tables, in Markdown."""
    days = len(next(iter(found.values()))[0].reached)
    marks = sorted({day for day in (1, 5, 10, 20, days) if day <= days})
    head = ["", *(f"day {day}" for day in marks), f"last {LAST_DAYS} days", "clicks a visit"]
    lines = [[*head, "Gini", "never shown", "best quarter found"], ["---"] * (len(head) + 3)]
    for name, outcomes in found.items():
        reached = np.array([o.reached for o in outcomes]).mean(axis=0)
        figures = [*(reached[day - 1] for day in marks), reached[-LAST_DAYS:].mean()]
        columns = ("clicks", "gini", "never", "found")
        figures += [np.mean([getattr(o, column) for o in outcomes]) for column in columns]
        lines.append([name, *(f"{figure:.3f}" for figure in figures)])
    text = ["| " + " | ".join(line) + " |" for line in lines]
    base = ARMS[1].name
    text += ["", f"Less '{base}', paired by newsroom, mean of the last {LAST_DAYS} days:", ""]
    text += ["| | reached | clicks a visit | never shown | best quarter found |"]
    text += ["|---|---|---|---|---|"]
    for name, outcomes in found.items():
        if name != base and base in found:
            text.append(f"| {name} | " + " | ".join(_differences(outcomes, found[base])) + " |")
    return "\n".join(text)


def _differences(ones: list[Outcome], others: list[Outcome]) -> list[str]:
    pairs = list(zip(ones, others, strict=True))
    reached = [np.mean(a.reached[-LAST_DAYS:]) - np.mean(b.reached[-LAST_DAYS:]) for a, b in pairs]
    clicks = [a.clicks - b.clicks for a, b in pairs]
    never = [a.never - b.never for a, b in pairs]
    best = [a.found - b.found for a, b in pairs]
    return [interval(np.array(values)) for values in (reached, clicks, never, best)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--readers", type=int, default=120)
    parser.add_argument("--articles", type=int, default=30, help="new ones a day")
    parser.add_argument("--seeds", type=int, default=3, help="how many newsrooms")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--arms", type=int, nargs="*", default=range(len(ARMS)))
    parser.add_argument("--keep", type=Path, help="directory of finished runs, not run again")
    options = parser.parse_args()
    found: dict[str, list[Outcome]] = {ARMS[number].name: [] for number in options.arms}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        room = build_newsroom(
            seed, days=options.days, readers=options.readers, articles=options.articles
        )
        for number in options.arms:
            arm = ARMS[number]
            place = options.keep and options.keep / f"{number}-{seed}.json"
            if place and place.exists():
                outcome = Outcome(**orjson.loads(place.read_bytes()))
            else:
                outcome = run_arm(room, arm, seed)
                if place:
                    place.write_bytes(orjson.dumps(asdict(outcome)))
            found[arm.name].append(outcome)
    print(report(found))


if __name__ == "__main__":
    main()
