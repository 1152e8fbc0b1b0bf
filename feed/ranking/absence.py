"""Why an article does not stand in a feed, or at which slot it does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from feed.arrays import Rows
from feed.editorial.editorial_limits import Limit
from feed.ranking.candidates import unite
from feed.ranking.contest import Contest
from feed.ranking.front_page_limits import groups_of
from feed.ranking.obstacles import Obstacle, Rule, find_obstacles
from feed.ranking.pipeline import Ranking
from feed.ranking.plugin_steps import HAS_RULES
from feed.ranking.slot_account import CandidateStanding, standings
from feed.ranking.source_places import SourcePlace, find_source_places


class AbsenceVerdict(StrEnum):
    """How far an article came.

    `SHOWN`: it stands in the slots asked about. `RULES`: it may not be shown. `SOURCES`: no source
    proposed it. `CAP`: too many other proposals came first. `DUPLICATE`: a better article tells
    the same story. `OWN_RULE`: a rule of a plugin leaves it out. `LIMITS`: only the newsroom's
    limits keep it further down. `RANK`: it stands further down.
    """

    SHOWN = "shown"
    RULES = "rules"
    SOURCES = "sources"
    CAP = "cap"
    DUPLICATE = "duplicate"
    OWN_RULE = "own_rule"
    LIMITS = "limits"
    RANK = "rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankComparison:
    """A candidate beside the last ranked article that was shown.

    Attributes:
        rank: its place, from 1, among all that were ranked.
        by_score: the same if there were no limits.
        last: what the last ranked article shown had; None if none was ranked.
        lacked: by which share its score had to be greater to take that article's place.
        chance: with which probability it comes to a slot by being drawn.
    """

    rank: int
    by_score: int
    last: CandidateStanding | None
    lacked: float | None
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why an article is not in the slots asked about, or where it is.

    Attributes:
        row: of the article, -1 if it was never heard of.
        verdict: how far it came.
        slot: where it stands, from 0, if it is in the slate at all, else -1.
        obstacles: every rule that keeps it out, for the verdict `RULES`.
        stand_in: the same about the article that stands for it, if that is its twin.
        sources: what each source says of it, unless it may not be shown.
        turn: its place, from 1, among all proposals, for the verdict `CAP`.
        cap: how many of them are scored.
        alike: better articles that tell the same story, with the cosine, nearest first.
        standing: what it had, if it was scored.
        comparison: with what was shown, for the verdicts `LIMITS` and `RANK`.
        limits: the caps that have no room for it or, if there is none, the minimums that raised
            others, for the verdict `LIMITS`.
    """

    row: int
    verdict: AbsenceVerdict
    slot: int = -1
    obstacles: tuple[Obstacle, ...] = ()
    stand_in: Answer | None = None
    sources: tuple[SourcePlace, ...] = ()
    turn: int = -1
    cap: int = 0
    alike: tuple[tuple[int, float], ...] = ()
    standing: CandidateStanding | None = None
    comparison: RankComparison | None = None
    limits: tuple[Limit, ...] = ()


def explain_absence(ranking: Ranking, row: int, size: int) -> Answer:
    """Return why an article is not in the first slots of a slate, or where it is.

    Args:
        ranking: what the stages of the request found.
        row: of the article; -1 for an id that is not known.
        size: how many slots were shown.
    """
    candidates = ranking.candidates
    found = np.flatnonzero(candidates.rows == row) if row >= 0 else np.empty(0, np.int64)
    if found.size:
        return _of_candidate(ranking, row, int(found[0]), size)
    obstacles = _obstacles(ranking, row)
    if obstacles:
        twin = next((one.twin for one in obstacles if one.twin >= 0), -1)
        stand_in = explain_absence(ranking, twin, size) if twin >= 0 else None
        return Answer(
            row=row, verdict=AbsenceVerdict.RULES, obstacles=tuple(obstacles), stand_in=stand_in
        )
    places = tuple(find_source_places(ranking, row))
    if all(place.lack for place in places):
        return Answer(row=row, verdict=AbsenceVerdict.SOURCES, sources=places)
    turn = _turn(ranking, row)
    return Answer(
        row=row,
        verdict=AbsenceVerdict.CAP,
        sources=places,
        turn=turn,
        cap=ranking.config.candidate_cap,
    )


def _obstacles(ranking: Ranking, row: int) -> list[Obstacle]:
    """Return the rules that keep an article out; a pinned twin stands for all the others."""
    found = find_obstacles(ranking.context, ranking.situation, ranking.config, row)
    pool, pins = ranking.context.view.pool, ranking.candidates.rows[: len(ranking.pin_slots)]
    leaders = pool.leaders_of(pins).tolist()
    if 0 <= row < pool.size and pool.leader_of(row) in leaders:
        pinned = int(pins[leaders.index(pool.leader_of(row))])
        others = [obstacle for obstacle in found if obstacle.rule is not Rule.TWIN]
        return [*others, Obstacle(Rule.TWIN, twin=pinned)]
    return found


def _turn(ranking: Ranking, row: int) -> int:
    """Return the place, from 1, of an article in the round robin of all proposals."""
    proposals, size = ranking.candidates.proposals, ranking.context.view.pool.size
    every = unite(proposals, size, sum(map(len, proposals.values())))
    return int(np.flatnonzero(every.rows == row)[0]) + 1


def _of_candidate(ranking: Ranking, row: int, at: int, size: int) -> Answer:
    (standing,) = standings(ranking, np.array([at]))
    slots = np.flatnonzero(ranking.placed.at == at)
    slot = int(slots[0]) if slots.size else -1
    sources: tuple[SourcePlace, ...] = ()
    if at >= len(ranking.pin_slots):
        sources = tuple(find_source_places(ranking, row))
    found = Answer(
        row=row, verdict=AbsenceVerdict.SHOWN, slot=slot, sources=sources, standing=standing
    )
    if 0 <= slot < size:
        return found
    if at in ranking.order.duplicates:
        return replace(found, verdict=AbsenceVerdict.DUPLICATE, alike=_alike(ranking, at))
    if HAS_RULES and Contest(ranking).place_of(at) < 0:
        return replace(found, verdict=AbsenceVerdict.OWN_RULE)
    comparison, is_held_back = _compare(ranking, at, size)
    if is_held_back:
        limits = _limits_against(ranking, at)
        return replace(found, verdict=AbsenceVerdict.LIMITS, comparison=comparison, limits=limits)
    return replace(found, verdict=AbsenceVerdict.RANK, comparison=comparison)


def _alike(ranking: Ranking, at: int) -> tuple[tuple[int, float], ...]:
    """Return the better candidates that were kept and are alike, or tell of the same event."""
    rows, scores = ranking.candidates.rows, ranking.final
    content = ranking.context.view.content[rows]
    cosines = content @ content[at]
    better = scores >= scores[at]
    better[: len(ranking.pin_slots)] = True
    better &= cosines >= ranking.config.duplicate_similarity
    better[ranking.order.duplicates] = False
    stories = ranking.context.view.pool.stories
    if stories is not None:
        versions = stories.story[rows] == stories.story[rows[at]]
        versions[ranking.versions.dropped] = False
        better |= versions
    better[at] = False
    found = np.flatnonzero(better)
    found = found[np.argsort(-cosines[found], kind="stable")]
    return tuple((int(rows[one]), float(cosines[one])) for one in found)


def _compare(ranking: Ranking, at: int, size: int) -> tuple[RankComparison, bool]:
    """Return how a candidate compares, and whether it would be shown if there were no limits."""
    contest, placed = Contest(ranking), ranking.placed
    place, by_score = contest.place_of(at), contest.place_without_limits(at)
    ranked: Rows = placed.at[:size][~(placed.explored | placed.pinned)[:size]]
    last = max((contest.place_of(one) for one in ranked.tolist()), default=-1)
    is_below = 0 <= last < place
    comparison = RankComparison(
        rank=place + 1,
        by_score=by_score + 1,
        last=standings(ranking, contest.ranked[last : last + 1])[0] if is_below else None,
        lacked=contest.lack(at, last) if is_below else None,
        chance=float(ranking.plan.inclusion[ranking.plan.pool == at].sum()),
    )
    return comparison, is_below and by_score < len(ranked)


def _limits_against(ranking: Ranking, at: int) -> tuple[Limit, ...]:
    """Return the caps that have no room for a candidate, else the minimums that raised others."""
    context, placed = ranking.context, ranking.candidates.rows[ranking.placed.at]
    pool, now, row = context.view.pool, context.request.now, ranking.candidates.rows[at : at + 1]
    found = []
    for limit in context.limits:
        group = int(groups_of(limit, pool, row, now)[0])
        window = groups_of(limit, pool, placed[: limit.within], now)
        most = limit.most_of(min(limit.within, len(placed)))
        if limit.is_cap and group >= 0 and int((window == group).sum()) >= most:
            found.append(limit)
    raised = dict.fromkeys(ranking.limited.raised.values())
    return tuple(found) or tuple(context.limits[number] for number in raised)
