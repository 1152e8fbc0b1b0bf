"""Where one eligible article stands in each candidate source, or what it lacks there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from feed.config import RankingConfig
from feed.ranking.candidates import SOURCES
from feed.ranking.context import RankingContext, Situation
from feed.ranking.pipeline import Ranking
from feed.ranking.plugin_steps import SOURCE_REASONS

_OF_CONTENT = {"content_session": "session", "content_page": "page", "content_long": "long"}
_BY_LIMIT = frozenset({"followed"})
"""Sources whose order depends on how many articles they may propose: no place below is stated."""


class Lack(StrEnum):
    """Why a source did not propose an article.

    `OFF`: the settings switch the source off. `NO_MODEL`: no model, or none with vectors.
    `NO_START`: the reader has done nothing that it could start from. `NO_FOLLOWS`: they follow
    nothing. `NO_PAGE`: the request is of no article's page. `NOT_SEARCHED`: only the newest
    articles are compared. `NO_LINK`: nothing connects the article with what the source starts
    from. `BEYOND`: others come first.
    """

    OFF = "off"
    NO_MODEL = "no_model"
    NO_START = "no_start"
    NO_FOLLOWS = "no_follows"
    NO_PAGE = "no_page"
    NOT_SEARCHED = "not_searched"
    NO_LINK = "no_link"
    BEYOND = "beyond"


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """An article in one source.

    Attributes:
        name: of the source.
        place: from 1, in the whole order of the source; None if it is not in it, or its place
            there is not known.
        lack: why it was not proposed; None if it was.
    """

    name: str
    place: int | None
    lack: Lack | None


def find_source_places(ranking: Ranking, row: int) -> list[SourcePlace]:
    """Return what each source says of an eligible article.

    The sources that did not propose it are asked again for all that they have.
    """
    return [_place_in(name, ranking, row) for name in SOURCES]


def _place_in(name: str, ranking: Ranking, row: int) -> SourcePlace:
    proposed = np.flatnonzero(ranking.candidates.proposals[name] == row)
    if proposed.size:
        return SourcePlace(name, int(proposed[0]) + 1, None)
    context, situation, config = ranking.context, ranking.situation, ranking.config
    found = np.flatnonzero(SOURCES[name](context, situation, config, context.view.pool.size) == row)
    if not found.size:
        return SourcePlace(name, None, _lack(name, context, situation, config, row))
    # Of several articles that are equal to a source, some may be left out: this one was.
    place = max(int(found[0]), config.candidates_per_source) + 1
    return SourcePlace(name, None if name in _BY_LIMIT else place, Lack.BEYOND)


def _lack(
    name: str, context: RankingContext, situation: Situation, config: RankingConfig, row: int
) -> Lack:
    """Return why a source does not have an article at all."""
    view, preferences = context.view, context.profile.preferences
    by_factors, by_content = name in {"collaborative", "neighbours"}, name in _OF_CONTENT
    follows = preferences.followed_sections.size or preferences.followed_sources.size
    conditions = {
        Lack.OFF: (by_factors and not config.use_collaborative)
        or (by_content and not config.use_content)
        or (name == "exploration" and config.explore_slots <= 0)
        or (name in SOURCE_REASONS and not config.use_plugins),
        Lack.NO_PAGE: name in {"content_page", "listed"} and situation.page_row < 0,
        Lack.NO_MODEL: (by_content and not view.has_content)
        or (by_factors and view.bundle.version == "none"),
        Lack.NO_FOLLOWS: name == "followed" and not follows,
        Lack.NO_START: _has_no_start(name, context, situation),
        Lack.NOT_SEARCHED: (name == "collaborative" or by_content)
        and row not in situation.searched.rows,
    }
    return next((lack for lack, holds in conditions.items() if holds), Lack.NO_LINK)


def _has_no_start(name: str, context: RankingContext, situation: Situation) -> bool:
    """Return whether a source finds nothing in the reader's history, or the page, to start from."""
    if name in _OF_CONTENT:
        return _OF_CONTENT[name] not in situation.content_vectors
    if name == "collaborative":
        return situation.reader.collaborative is None
    if name == "neighbours":
        return not context.profile.clicked_rows.size
    return name == "covisitation" and not situation.recent_rows.size
