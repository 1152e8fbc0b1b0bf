"""Team-draft interleaving: two rankings in one feed, judged by the same reader's clicks."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, betaincinv, stdtr, stdtrit

from feed.experiments.statistics.effects import ArmMean, Interval, compare_means
from feed.experiments.statistics.sequential import SequentialEstimate, estimate_sequence

Article = TypeVar("Article", bound=Hashable)
Team = Literal["a", "b"]


class Interleaved(NamedTuple, Generic[Article]):
    """One feed made of two rankings.

    Attributes:
        slate: Articles, first slot first; none twice.
        teams: Which ranking each slot's click counts for.
    """

    slate: list[Article]
    teams: list[Team]


@dataclass(frozen=True, slots=True)
class Preference:
    """Which ranking readers click more; None where there is no estimate.

    Attributes:
        readers: Readers with at least one credited click.
        wins_a: Readers with more clicks on articles of ranking a.
        wins_b: Readers with more on b.
        ties: Readers with as many on both.
        share_b: Wins of b plus half of the ties, as a share of readers; 0.5 is no preference.
        share_b_interval: Exact binomial interval for the share of b among the readers not tied.
        sign_p_value: Exact two-sided sign test over readers that are not tied.
        credit: Mean over readers of clicks on b minus clicks on a.
        credit_error: Standard error of ``credit``, over readers.
        credit_interval: By Student's t over readers.
        credit_p_value: Two-sided, of no preference.
    """

    readers: int
    wins_a: int
    wins_b: int
    ties: int
    share_b: float | None = None
    share_b_interval: Interval | None = None
    sign_p_value: float | None = None
    credit: float | None = None
    credit_error: float | None = None
    credit_interval: Interval | None = None
    credit_p_value: float | None = None


def interleave(
    ranking_a: Sequence[Article],
    ranking_b: Sequence[Article],
    slots: int,
    rng: np.random.Generator,
) -> Interleaved[Article]:
    """Draft a feed: the team that is behind picks its best article left, a coin breaks ties.

    Source: Radlinski, Kurup and Joachims (2008), How does clickthrough data reflect retrieval
    quality?, algorithm 2.

    Args:
        ranking_a: Best first.
        ranking_b: Best first.
        slots: Length of the feed wanted.
        rng: Tosses the coins; one toss for each round.

    Returns:
        The feed; shorter when both rankings run out.
    """
    slate: list[Article] = []
    teams: list[Team] = []
    shown: set[Article] = set()
    picked = {"a": 0, "b": 0}
    rankings: dict[Team, Iterator[Article]] = {"a": iter(ranking_a), "b": iter(ranking_b)}
    open_teams: set[Team] = {"a", "b"}
    while len(slate) < slots and open_teams:
        team = _next_team(picked, open_teams, rng)
        found = next((x for x in rankings[team] if x not in shown), None)
        if found is None:
            open_teams.discard(team)
            continue
        shown.add(found)
        slate.append(found)
        teams.append(team)
        picked[team] += 1
    return Interleaved(slate, teams)


def estimate_preference(
    clicks_a: ArrayLike, clicks_b: ArrayLike, *, level: float = 0.95
) -> Preference:
    """Decide between two rankings from credited clicks.

    Readers without a click say nothing about which ranking is better and are left out.

    Source: Chapelle, Joachims, Radlinski and Yue (2012), Large-scale validation and analysis of
    interleaved search evaluation, eq. 1 for the share, section 3.3 for the sign test.

    Args:
        clicks_a: Shape (readers,): clicks of each reader on slots of team a, over the whole
            experiment.
        clicks_b: The same for team b.
        level: Confidence level of the intervals.

    Returns:
        The preference.

    Raises:
        ValueError: Shapes differ.
    """
    credit_a = np.asarray(clicks_a, dtype=np.float64)
    credit_b = np.asarray(clicks_b, dtype=np.float64)
    if credit_a.shape != credit_b.shape or credit_a.ndim != 1:
        raise ValueError("one number of clicks is needed for each reader and team")
    clicked = credit_a + credit_b > 0
    credit = credit_b[clicked] - credit_a[clicked]
    wins_b, wins_a = int((credit > 0).sum()), int((credit < 0).sum())
    readers = int(credit.size)
    ties = readers - wins_a - wins_b
    if readers == 0:
        return Preference(0, 0, 0, 0)
    share = (wins_b + ties / 2.0) / readers
    mean, error, interval, p_value = _mean_credit(credit, level)
    sign_p_value, share_interval = None, None
    if wins_a + wins_b > 0:
        sign_p_value = _sign_test(wins_a, wins_b)
        share_interval = _exact_share(wins_b, wins_a + wins_b, level)
    return Preference(
        readers,
        wins_a,
        wins_b,
        ties,
        share_b=share,
        share_b_interval=share_interval,
        sign_p_value=sign_p_value,
        credit=mean,
        credit_error=error,
        credit_interval=interval,
        credit_p_value=p_value,
    )


def follow_preference(found: Preference, n_planned: int, *, level: float) -> SequentialEstimate:
    """Turn a preference into a statement that may be read at every look, by mean credit.

    The sign test may not: a reader who prefers one ranking today may prefer the other tomorrow.

    Args:
        found: The preference at this look.
        n_planned: Readers planned in the interleaved variant.
        level: Confidence level over all looks.

    Returns:
        The sequence of the mean credit; it says nothing without an estimate.
    """
    if found.credit is None or found.credit_error is None:
        return SequentialEstimate(reason="no credited click decides between the rankings")
    nothing = ArmMean(found.readers, 0.0, 0.0)
    credit = ArmMean(found.readers, found.credit, found.credit_error**2)
    return estimate_sequence(compare_means(nothing, credit, level), 2 * n_planned)


def _next_team(picked: dict[str, int], open_teams: set[Team], rng: np.random.Generator) -> Team:
    if len(open_teams) == 1:
        return next(iter(open_teams))
    if picked["a"] != picked["b"]:
        return "a" if picked["a"] < picked["b"] else "b"
    return "a" if rng.random() < 0.5 else "b"


def _sign_test(wins_a: int, wins_b: int) -> float:
    """Two-sided p-value of a fair coin; scipy.stats has it, at two seconds of import."""
    return min(1.0, 2.0 * float(bdtr(min(wins_a, wins_b), wins_a + wins_b, 0.5)))


def _exact_share(wins: int, tries: int, level: float) -> Interval:
    """Interval of a binomial share.

    Source: Clopper and Pearson (1934).
    """
    tail = (1.0 - level) / 2.0
    low = float(betaincinv(wins, tries - wins + 1, tail)) if wins else 0.0
    high = float(betaincinv(wins + 1, tries - wins, 1.0 - tail)) if wins < tries else 1.0
    return Interval(low, high)


def _mean_credit(
    credit: np.ndarray[tuple[int], np.dtype[np.float64]], level: float
) -> tuple[float, float | None, Interval | None, float | None]:
    mean = float(credit.mean())
    if credit.size < 2 or float(credit.std()) == 0:
        return mean, None, None, None
    error = float(credit.std(ddof=1)) / math.sqrt(credit.size)
    freedom = credit.size - 1
    width = float(stdtrit(freedom, (1.0 + level) / 2.0)) * error
    p_value = 2.0 * float(stdtr(freedom, -abs(mean) / error))
    return mean, error, Interval(mean - width, mean + width), min(1.0, p_value)
