"""Where candidates come from: small functions, each giving eligible rows best first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.config import RankingConfig
from feed.features.ids import first_of_each, first_places
from feed.features.profile import followed_of
from feed.ranking.context import RankingContext, Situation
from feed.ranking.plugin_steps import Source, join_sources

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The union of the sources: `rows`, and for each a bit per source that proposed it.

    `proposals` are the rows that each source proposed, best first; its order is that of the bits.
    """

    rows: Rows
    bits: npt.NDArray[np.int64]
    proposals: dict[str, Rows]

    @property
    def counts(self) -> dict[str, int]:
        """How many rows each source proposed."""
        return {name: len(rows) for name, rows in self.proposals.items()}


def from_collaborative(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Articles whose factors fit the reader's folded-in vector."""
    del context
    reader = situation.reader.collaborative
    if not config.use_collaborative or reader is None:
        return _NO_ROWS
    return _nearest(situation.searched.factors, reader, situation, limit)


def similar_to(vector: str) -> Source:
    """Return the source of the articles nearest to one content vector of the reader."""

    def from_content(
        context: RankingContext, situation: Situation, config: RankingConfig, limit: int
    ) -> Rows:
        del context
        wanted = situation.content_vectors.get(vector) if config.use_content else None
        if wanted is None:
            return _NO_ROWS
        return _nearest(situation.searched.content, wanted, situation, limit)

    return from_content


def from_covisitation(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Articles that readers of the reader's last clicks went to next."""
    del context, config
    return _most_voted(situation.votes.totals, situation, limit)


def from_neighbours(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Item-item neighbours, by the model, of the reader's last clicks."""
    del context
    if not config.use_collaborative:
        return _NO_ROWS
    return _most_voted(situation.reader.neighbour_votes, situation, limit)


def from_listed(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Articles that the site lists below the article of the page."""
    del config
    page = context.request.page_row
    if page < 0:
        return _NO_ROWS
    mask = situation.eligible.mask
    rows = context.signals.page_lists.listed(page, context.request.now, 2 * limit)
    return first_eligible(known_rows(rows, mask), mask, limit)


def from_trending(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Articles read far more than expected just now."""
    del config
    mask = situation.eligible.mask
    return first_eligible(known_rows(context.trending.ranked_rows, mask), mask, limit)


def popular_by(column: int) -> Source:
    """Return the source of the most read articles by one half-life of the counters."""

    def from_popular(
        context: RankingContext, situation: Situation, config: RankingConfig, limit: int
    ) -> Rows:
        del context, config
        return first_eligible(situation.index.popular[column], situation.eligible.mask, limit)

    return from_popular


def from_in_view(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Articles most in readers' view in the last half hour: what the site shows now."""
    del context, config
    return first_eligible(situation.index.in_view, situation.eligible.mask, limit)


def from_fresh(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """The newest articles."""
    del context, config
    return first_eligible(situation.index.newest, situation.eligible.mask, limit)


def from_followed(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Articles of followed sections and sources: the most read of the last hours, then newest."""
    del config
    preferences = context.profile.preferences
    if not preferences.followed_sections.size and not preferences.followed_sources.size:
        return _NO_ROWS
    pool = context.view.pool
    rows = np.concatenate(
        [
            first_eligible(situation.index.popular[1], situation.eligible.mask, 5 * limit),
            situation.eligible.rows,
        ]
    )
    by_section, by_source = followed_of(pool, preferences, rows)
    return first_of_each(rows[by_section | by_source], pool.size)[:limit]


def from_boosts(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Articles that editors boost, the most boosted first."""
    del config
    mask = situation.eligible.mask
    raised = known_rows(context.boosts.raised(context.request.now), mask)
    return first_eligible(raised, mask, limit)


def from_exploration(
    context: RankingContext, situation: Situation, config: RankingConfig, limit: int
) -> Rows:
    """Young articles that few readers were shown, least shown first."""
    del context
    if config.explore_slots <= 0:
        return _NO_ROWS
    return first_eligible(situation.index.underexposed, situation.eligible.mask, limit)


POPULAR_SOURCES: dict[str, Source] = {
    "popular_30m": popular_by(0),
    "popular_2h": popular_by(1),
    "popular_6h": popular_by(2),
    "popular_24h": popular_by(3),
}
COMMON_SOURCES: dict[str, Source] = {
    "trending": from_trending,
    **POPULAR_SOURCES,
    "in_view": from_in_view,
    "listed": from_listed,
    "fresh": from_fresh,
    "exploration": from_exploration,
}
"""Sources that know nothing of the reader."""
PERSONAL_SOURCES: dict[str, Source] = {
    "covisitation": from_covisitation,
    "collaborative": from_collaborative,
    "content_session": similar_to("session"),
    "content_page": similar_to("page"),
    "content_long": similar_to("long"),
    "neighbours": from_neighbours,
    "followed": from_followed,
}
"""Sources that start from the reader's history or preferences."""
SOURCES: dict[str, Source] = join_sources(
    {**PERSONAL_SOURCES, **COMMON_SOURCES, "boosts": from_boosts}
)
"""Every source; those of plugins come last."""


TURNS = {
    "in_view": 4.0,
    "popular_30m": 4.0,
    "listed": 4.0,
    "popular_24h": 0.5,
    "exploration": 0.25,
    **dict.fromkeys(
        ("covisitation", "collaborative", "content_session", "content_long", "neighbours"), 0.25
    ),
}
"""Turns a source has in the round robin while the others have one. Chosen on EB-NeRD's training
week, those of the sources that start from a reader's clicks on MIND as well: with more turns they
take places from articles that more readers click, at every number of clicks."""


def generate_candidates(
    context: RankingContext, situation: Situation, config: RankingConfig
) -> Candidates:
    """Return the round-robin union of every source, at most `candidate_cap` rows.

    All first choices come before all second choices, so no source starves another; sources with
    more `TURNS` go on to their next choices meanwhile.
    """
    limit = config.candidates_per_source
    proposals = {
        name: source(context, situation, config, limit) for name, source in SOURCES.items()
    }
    return unite(proposals, context.view.pool.size, config.candidate_cap)


def unite(proposals: dict[str, Rows], size: int, cap: int) -> Candidates:
    """Return the round-robin union of proposals (rows < `size`, none twice in one proposal)."""
    order, bits = _turns(tuple((name, len(rows)) for name, rows in proposals.items()))
    rows = np.concatenate(list(proposals.values()))[order]
    first = first_places(rows, size)
    union = (first == np.arange(len(rows))).nonzero()[0][:cap]
    # A row stands once in a proposal, so its bits are distinct and their sum is their union.
    bits_of = np.bincount(first, bits, minlength=1)[union].astype(np.int64)
    return Candidates(rows[union], bits_of, proposals)


@lru_cache(maxsize=512)
def _turns(counts: tuple[tuple[str, int], ...]) -> tuple[Rows, Rows]:
    """Return in which order the round robin takes proposals, and the bit of each one's source.

    The proposals stand one list after the other; the bits are in the order of the turns.
    """
    turns = [np.arange(1, count + 1) / TURNS.get(name, 1.0) for name, count in counts]
    order = np.argsort(np.concatenate(turns), kind="stable")
    bits = np.repeat(1 << np.arange(len(counts)), [count for _, count in counts])
    return order, bits[order]


@lru_cache(maxsize=4096)
def source_names(bits: int, names: tuple[str, ...] = tuple(SOURCES)) -> tuple[str, ...]:
    """Return the names of the sources whose bits are set."""
    return tuple(name for bit, name in enumerate(names) if bits >> bit & 1)


def first_eligible(ordered: Rows, mask: Flags, limit: int) -> Rows:
    """Return the first `limit` of `ordered` rows that `mask` allows, looking no further.

    Every row must be one of the mask's; `known_rows` leaves out others.
    """
    part = ordered[: 2 * limit]
    found: Rows = part[mask[part]]
    start, step = 2 * limit, 8 * limit
    while len(found) < limit and start < len(ordered):
        part = ordered[start : start + step]
        found = np.concatenate([found, part[mask[part]]])
        start, step = start + step, 4 * step
    return found[:limit]


def known_rows(rows: Rows, mask: Flags) -> Rows:
    """Return those of some rows that a mask has; what is newer than it, or -1, it has not."""
    return rows[(rows >= 0) & (rows < len(mask))]


def _nearest(vectors: Matrix, wanted: Matrix, situation: Situation, limit: int) -> Rows:
    """Return the eligible ones of the rows searched whose vectors fit one best, best first.

    Args:
        vectors: of the rows searched, f32 [searched, d].
        wanted: f32 [d].
        situation: which rows are searched, and which of them are eligible.
        limit: how many rows at most.
    """
    return situation.searched.rows[_top(vectors @ wanted * situation.allowed, limit)]


def _most_voted(votes: Floats, situation: Situation, limit: int) -> Rows:
    """Return the eligible rows with the most votes, best first; `votes` f64 are by row."""
    mask = situation.eligible.mask
    size = min(len(votes), len(mask))
    rows: Rows = ((votes[:size] > 0) & mask[:size]).nonzero()[0]
    return rows[_top(votes[rows], limit)]


def _top(scores: npt.NDArray[np.float32] | Floats, limit: int) -> Rows:
    """Return the positions of the `limit` greatest positive scores, best first."""
    if len(scores) > limit:
        best = scores.argpartition(len(scores) - limit)[len(scores) - limit :]
    else:
        best = np.arange(len(scores))
    best = best[scores[best] > 0]
    ordered: Rows = best[(-scores[best]).argsort(kind="stable")]
    return ordered
