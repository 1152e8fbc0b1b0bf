"""What readers who do not exist would see now, and how two such feeds differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from feed.config import RankingConfig
from feed.domain import EventKind, InvalidInputError
from feed.experiments.design.design_rules import SHARED_SETTINGS
from feed.preferences import Preferences
from feed.ranking.settings_in_force import with_values
from feed.reader_schemas import SimulatedReaderIn, SimulationIn
from feed.schemas import FeedQuery
from feed.service.reader_accounts import FeedAccount, account_of_feed, present_snapshot
from feed.service.services import Services
from feed.storage.records import History, HistoryEntry, ReaderState

BETWEEN_READS_S = 120.0
"""How long before the next one, and before now, a simulated reader read an article."""


@dataclass(frozen=True, slots=True)
class Move:
    """An article that stands at another slot (from 0) in the second feed."""

    article_id: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedDifference:
    """How the second of two pages differs from the first.

    Attributes:
        moved: articles on both at different slots, in the order of the second.
        new: only on the second.
        gone: only on the first.
        same: how many stand at the same slot.
        overlap: share of the longer page that is on both, whatever the slot.
    """

    moved: tuple[Move, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    same: int
    overlap: float


def simulate(
    services: Services, asked: SimulationIn
) -> tuple[FeedAccount, FeedAccount, FeedDifference]:
    """Return the feeds of two readers who do not exist, and how they differ.

    Raises:
        InvalidInputError: an article is not known, or a setting is not one or out of range.
        StoreUnavailableError: there is no snapshot, or articles cannot be read.
    """
    query = FeedQuery.model_validate(asked.model_dump(exclude={"first", "second"}))
    sides = {"first": asked.first, "second": asked.second}
    base, now = present_snapshot(services).ranking.config, services.clock()
    settings = {name: _changed(base, side.settings, name) for name, side in sides.items()}
    states = {name: _state_of(services, side, now, name) for name, side in sides.items()}
    first, second = (account_of_feed(services, query, states[n], settings[n]) for n in sides)
    return first, second, compare_pages(first.page.slots.article_ids, second.page.slots.article_ids)


def compare_pages(first: Sequence[str], second: Sequence[str]) -> FeedDifference:
    """Return how a page of article ids differs from another."""
    before = {article_id: place for place, article_id in enumerate(first)}
    both = [(article_id, place) for place, article_id in enumerate(second) if article_id in before]
    moves = [Move(article_id, before[article_id], place) for article_id, place in both]
    return FeedDifference(
        moved=tuple(move for move in moves if move.before != move.after),
        new=tuple(article_id for article_id in second if article_id not in before),
        gone=tuple(article_id for article_id in first if article_id not in set(second)),
        same=sum(move.before == move.after for move in moves),
        overlap=len(both) / max(len(first), len(second), 1),
    )


def _changed(base: RankingConfig, values: dict[str, Any], side: str) -> RankingConfig:
    """Return the ranking settings of one side, checked like those of an experiment's variant."""
    prefix = f"{side}.settings."
    for name in SHARED_SETTINGS & values.keys():
        raise InvalidInputError(prefix + name, "cannot be changed for a single feed")
    try:
        return with_values(base, values)
    except InvalidInputError as error:
        raise InvalidInputError(prefix + error.field_name, error.rule) from None


def _state_of(services: Services, reader: SimulatedReaderIn, now: float, side: str) -> ReaderState:
    """Return the state of a reader who read these articles, the last one most recently."""
    known = services.store.read_articles(reader.read)
    for place, stored in enumerate(known):
        if stored is None:
            raise InvalidInputError(f"{side}.read.{place}", "must be an article that exists")
    count = len(reader.read)
    entries = [
        HistoryEntry(EventKind.CLICK, article_id, now - BETWEEN_READS_S * (count - place))
        for place, article_id in enumerate(reader.read)
    ]
    return ReaderState(
        preferences=Preferences(
            followed_sections=tuple(reader.followed_sections),
            followed_sources=tuple(reader.followed_sources),
        ),
        history=History.of(entries),
        read_ids=frozenset(reader.read),
    )
