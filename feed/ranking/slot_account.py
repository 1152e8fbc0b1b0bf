"""The account of a slate: where each article came from, what it was worth, and who lost to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from feed.arrays import Rows
from feed.domain import Reason
from feed.editorial.editorial_limits import Limit
from feed.models.schema import FEATURES, GROUPS
from feed.ranking.contest import Contest
from feed.ranking.front_page_limits import ADDED_BIT, ADDED_SOURCE
from feed.ranking.pipeline import Ranking
from feed.ranking.slate import Slate


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateStanding:
    """What one candidate had.

    Attributes:
        row: of the article.
        sources: the place, from 1, in each candidate source that proposed it.
        features: the value of each feature, None where it is not known.
        groups: what each group of features adds to the margin. Exact for the linear ranker;
            learned trees lose as much if the group's features are made neutral.
        rest: what the margin has beside the sum of `groups`: the ranker's start, and for trees
            what only several groups make together.
        margin: the ranker's score in log-odds.
        factors: what the score is the product of, by name.
    """

    row: int
    sources: dict[str, int]
    features: dict[str, float | None]
    groups: dict[str, float]
    rest: float
    margin: float
    factors: dict[str, float]

    @property
    def score(self) -> float:
        """The score with everything that multiplies it."""
        return float(np.prod([*self.factors.values()]))


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The article that would have stood at a slot otherwise.

    `lacked` is the share by which its score had to be greater to stand there; None where chance, an
    editor or a limit had a part in it.
    """

    row: int
    lacked: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotAccount:
    """How one article came to its slot.

    Attributes:
        slot: from 0.
        standing: what it had.
        reasons: what the reader is told.
        trending: it carries the trending label.
        pinned: an editor put it there.
        explored: it was drawn by chance.
        limit: the newsroom's limit that raised it there, None for none.
        propensity: P(this article at this slot).
        runner_up: who would have stood there otherwise; None if nobody was left.
    """

    slot: int
    standing: CandidateStanding
    reasons: tuple[Reason, ...]
    trending: bool
    pinned: bool
    explored: bool
    limit: Limit | None
    propensity: float
    runner_up: RunnerUp | None


def account_for(ranking: Ranking, slate: Slate, size: int) -> list[SlotAccount]:
    """Return the account of the first slots of a slate.

    Args:
        ranking: what the stages found.
        slate: what was built from it.
        size: how many slots.
    """
    at = ranking.placed.at[:size]
    runners_up = _find_runners_up(ranking, len(at))
    return [
        SlotAccount(
            slot=slot,
            standing=standing,
            reasons=slate.reasons[slot],
            trending=bool(slate.trending[slot]),
            pinned=bool(slate.pinned[slot]),
            explored=bool(slate.explored[slot]),
            limit=_limit_of(ranking, int(at[slot])),
            propensity=float(slate.propensities[slot]),
            runner_up=runner_up,
        )
        for slot, (standing, runner_up) in enumerate(
            zip(standings(ranking, at), runners_up, strict=True)
        )
    ]


def _limit_of(ranking: Ranking, candidate: int) -> Limit | None:
    number = ranking.limited.raised.get(candidate)
    return None if number is None else ranking.context.limits[number]


def standings(ranking: Ranking, at: Rows) -> list[CandidateStanding]:
    """Return what candidates had.

    Args:
        ranking: what the stages found.
        at: positions among its candidates, int64 [k].
    """
    features, margins = ranking.scores.features[at], ranking.scores.margin[at]
    parts = ranking.ranker.contributions(features, margins, [(group,) for group in GROUPS])
    rests = margins - parts.sum(axis=1)
    factors = ranking.factors(at)
    places = _places(ranking)
    return [
        CandidateStanding(
            row=row,
            sources={name: of[row] for name, of in places.items() if row in of},
            features={
                feature.name: None if np.isnan(value) else float(value)
                for feature, value in zip(FEATURES, features[i], strict=True)
            },
            groups=dict(zip(GROUPS, parts[i].tolist(), strict=True)),
            rest=float(rests[i]),
            margin=float(margins[i]),
            factors={name: float(values[i]) for name, values in factors.items()},
        )
        for i, row in enumerate(ranking.candidates.rows[at].tolist())
    ]


def _places(ranking: Ranking) -> dict[str, dict[int, int]]:
    """Return by source the place, from 1, of each article that it proposed."""
    candidates = ranking.candidates
    added = candidates.rows[(candidates.bits & ADDED_BIT) != 0]
    return {
        name: {row: place for place, row in enumerate(rows.tolist(), 1)}
        for name, rows in (*candidates.proposals.items(), (ADDED_SOURCE, added))
    }


def _find_runners_up(ranking: Ranking, size: int) -> Iterator[RunnerUp | None]:
    """Yield who would have stood at each slot otherwise.

    Where the article was ranked, that is the next in line. Where it was drawn or pinned, it is the
    next ranked article that does not stand above.
    """
    contest, placed = Contest(ranking), ranking.placed
    rows = ranking.candidates.rows
    ordered = contest.ranked.tolist()
    place_of = {candidate: place for place, candidate in enumerate(ordered)}
    for slot, candidate in enumerate(placed.at[:size].tolist()):
        above = placed.at[: slot + 1]
        if placed.explored[slot] or placed.pinned[slot]:
            following = next((one for one in ordered if one not in above), -1)
            yield RunnerUp(int(rows[following]), None) if following >= 0 else None
            continue
        place = place_of[candidate]
        following = contest.next_in_line(place, above[placed.explored[: slot + 1]])
        if following < 0:
            yield None
        else:
            yield RunnerUp(int(rows[following]), contest.lack(following, place))
