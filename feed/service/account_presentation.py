"""Accounts as callers of the API see them, with ids and titles instead of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from feed.domain import format_time
from feed.ranking.absence import Answer
from feed.ranking.pipeline import Ranking
from feed.ranking.slot_account import CandidateStanding, SlotAccount
from feed.service.account_words import rule_words, source_words, verdict_words
from feed.service.cards import CardCache
from feed.service.presentation import present_reason
from feed.service.reader_accounts import FeedAccount, RankedSide
from feed.service.simulated_feeds import FeedDifference

_DIGITS = 6


def present_account(account: FeedAccount, cards: CardCache) -> dict[str, Any]:
    """Return a feed with the account of each slot, JSON-ready.

    Raises:
        StoreUnavailableError: the title of an article cannot be read.
    """
    sides = {side.name: side.ranking for side in account.sides}
    titles = _titles(cards, account)
    return {
        "at": format_time(account.now),
        "personalization": account.state.preferences.personalization,
        "experiments": dict(account.variants),
        "rankings": [_present_side(side) for side in account.sides],
        "slots": [
            _present_slot(sides[name], name, slot, titles) for name, slot in account.accounts
        ],
    }


def present_answers(
    account: FeedAccount,
    article_id: str,
    answers: list[tuple[RankedSide, Answer]],
    cards: CardCache,
) -> dict[str, Any]:
    """Return why an article is not in a feed, for each of its rankings, JSON-ready.

    Raises:
        StoreUnavailableError: the title of an article cannot be read.
    """
    shown = dict(zip(account.page.slots.article_ids, account.page.slots.positions, strict=True))
    named = [
        side.ranking.context.view.pool.ids.ids[row]
        for side, answer in answers
        for row in _rows_named(answer)
    ]
    titles = read_titles(cards, [article_id, *named])
    return {
        "at": format_time(account.now),
        "article": _article(article_id, titles),
        "position": shown.get(article_id),
        "answers": [
            {"ranking": side.name, **_present_answer(answer, side.ranking, titles)}
            for side, answer in answers
        ],
    }


def present_difference(difference: FeedDifference) -> dict[str, Any]:
    """Return how two feeds differ, JSON-ready."""
    return {
        "moved": [
            {"article_id": move.article_id, "before": move.before, "after": move.after}
            for move in difference.moved
        ],
        "new": list(difference.new),
        "gone": list(difference.gone),
        "same": difference.same,
        "overlap": round(difference.overlap, _DIGITS),
    }


def read_titles(cards: CardCache, article_ids: Iterable[str]) -> dict[str, str]:
    """Return the titles of articles by id; those that are gone are left out.

    Raises:
        StoreUnavailableError: the title of an article cannot be read.
    """
    wanted = list(dict.fromkeys(article_ids))
    return {card.article_id: card.title for card in cards.take(wanted) if card is not None}


def _present_side(side: RankedSide) -> dict[str, Any]:
    trace = side.ranking.trace
    return {
        "name": side.name,
        "model_version": side.ranking.context.view.bundle.version,
        "eligible": trace.eligible,
        "dropped": {rule: count for rule, count in trace.dropped.items() if count},
        "proposed": trace.proposed,
        "candidates": trace.candidates,
        "duplicates": trace.duplicates,
        "limits": [
            {"text": state.limit.sentence(), "met": state.met, "moved": state.moved}
            for state in trace.limits
        ],
        "widened_to_hours": trace.window_hours,
    }


def _present_slot(
    ranking: Ranking, name: str, account: SlotAccount, titles: dict[str, str]
) -> dict[str, Any]:
    ids = ranking.context.view.pool.ids.ids
    runner_up = account.runner_up
    return {
        "position": account.slot,
        "ranking": name,
        "article": _article(ids[account.standing.row], titles),
        "reasons": [present_reason(reason, titles) for reason in account.reasons],
        "trending": account.trending,
        "pinned": account.pinned,
        "explored": account.explored,
        "limit": account.limit and account.limit.sentence(),
        "propensity": account.propensity,
        **_present_standing(account.standing),
        "runner_up": None
        if runner_up is None
        else {"article": _article(ids[runner_up.row], titles), "lacked": _round(runner_up.lacked)},
    }


def _present_standing(standing: CandidateStanding) -> dict[str, Any]:
    return {
        "score": _round(standing.score),
        "factors": _rounded(standing.factors),
        "margin": _round(standing.margin),
        "groups": _rounded(standing.groups),
        "rest": _round(standing.rest),
        "features": _rounded(standing.features),
        "sources": standing.sources,
    }


def _present_answer(answer: Answer, ranking: Ranking, titles: dict[str, str]) -> dict[str, Any]:
    ids, comparison = ranking.context.view.pool.ids.ids, answer.comparison
    most = ranking.config.candidates_per_source
    return {
        "verdict": answer.verdict.value,
        "text": verdict_words(answer, ranking, titles),
        "position": answer.slot if answer.slot >= 0 else None,
        "rules": [
            {
                "rule": obstacle.rule.value,
                "text": rule_words(obstacle, ranking, answer.row, titles),
                "stands_for_it": ids[obstacle.twin] if obstacle.twin >= 0 else None,
            }
            for obstacle in answer.obstacles
        ],
        "stand_in": None
        if answer.stand_in is None
        else _present_answer(answer.stand_in, ranking, titles),
        "sources": [
            {
                "source": source.name,
                "place": source.place,
                "lacks": source.lack and source.lack.value,
                "text": source_words(source, most),
            }
            for source in answer.sources
        ],
        "turn": answer.turn if answer.turn > 0 else None,
        "alike": [
            {"article": _article(ids[row], titles), "cosine": _round(cosine)}
            for row, cosine in answer.alike
        ],
        "limits": [limit.sentence() for limit in answer.limits],
        "standing": None if answer.standing is None else _present_standing(answer.standing),
        "comparison": None
        if comparison is None
        else {
            "rank": comparison.rank,
            "rank_by_score": comparison.by_score,
            "lacked": _round(comparison.lacked),
            "chance": _round(comparison.chance),
            "last_shown": None
            if comparison.last is None
            else {
                "article": _article(ids[comparison.last.row], titles),
                **_present_standing(comparison.last),
            },
        },
    }


def _titles(cards: CardCache, account: FeedAccount) -> dict[str, str]:
    """Return the titles of the articles that an account names."""
    sides = {side.name: side.ranking.context.view.pool.ids.ids for side in account.sides}
    named: list[str] = []
    for name, slot in account.accounts:
        ids = sides[name]
        named.append(ids[slot.standing.row])
        named += [reason.article_id for reason in slot.reasons if reason.article_id]
        named += [ids[slot.runner_up.row]] if slot.runner_up else []
    return read_titles(cards, named)


def _rows_named(answer: Answer) -> Iterator[int]:
    yield from (obstacle.twin for obstacle in answer.obstacles if obstacle.twin >= 0)
    yield from (row for row, _ in answer.alike)
    if answer.comparison and answer.comparison.last:
        yield answer.comparison.last.row
    if answer.stand_in:
        yield from _rows_named(answer.stand_in)


def _article(article_id: str, titles: dict[str, str]) -> dict[str, Any]:
    return {"article_id": article_id, "title": titles.get(article_id)}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _rounded(values: dict[str, float] | dict[str, float | None]) -> dict[str, float | None]:
    return {name: _round(value) for name, value in values.items()}
