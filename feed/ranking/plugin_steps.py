"""What plugins do in a request: sources propose candidates, rules re-order what was ranked."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from feed.arrays import Floats, Rows
from feed.config import RankingConfig
from feed.domain import Reason, ReasonCode
from feed.models.plugin_columns import moment_of
from feed.plugins.calling import apply, propose
from feed.plugins.loading import PluginError, active_plugins
from feed.plugins.moments import Moment
from feed.plugins.protocols import PluginSource
from feed.ranking.context import RankingContext, Situation

Source = Callable[[RankingContext, Situation, RankingConfig, int], Rows]

_RESERVED = ("limits", "pins")
_RULES = active_plugins().rules
HAS_RULES = bool(_RULES)
_SOURCES = {source.name: source for source in active_plugins().sources}
SOURCE_REASONS = {name: source.reason for name, source in _SOURCES.items()}
"""What readers are told of an article that one of these sources alone proposed, by source."""


def join_sources(built_in: dict[str, Source]) -> dict[str, Source]:
    """Return the built-in candidate sources and, after them, those of plugins, by name.

    Raises:
        PluginError: a plugin's source has the name of one that there is.
    """
    for name in _SOURCES:
        if name in built_in or name in _RESERVED:
            raise PluginError(f"candidate source {name}: a built-in source has that name")
    return built_in | {name: _as_source(source) for name, source in _SOURCES.items()}


def _as_source(source: PluginSource) -> Source:
    def from_plugin(
        context: RankingContext, situation: Situation, config: RankingConfig, limit: int
    ) -> Rows:
        if not config.use_plugins:
            return np.empty(0, np.int64)
        eligible = situation.eligible.rows
        return eligible[propose(source, _moment(context, eligible), limit)]

    return from_plugin


def apply_rules(context: RankingContext, rows: Rows, scores: Floats, order: Rows) -> Rows:
    """Return an order as the rules of plugins leave it.

    Args:
        context: the request.
        rows: of all candidates.
        scores: of all candidates, f64.
        order: positions of those that were ranked, best first; without pins.
    """
    for rule in _RULES if len(order) else ():
        of_ranked = scores[order]
        of_ranked.setflags(write=False)
        order = order[apply(rule, _moment(context, rows[order]), of_ranked)]
    return order


def with_source_reasons(
    sources: tuple[tuple[str, ...], ...], reasons: list[tuple[Reason, ...]]
) -> list[tuple[Reason, ...]]:
    """Put first what a plugin says of the articles that no source but plugins proposed.

    Without the plugin they would not be there, so that is why they are.

    Args:
        sources: of each slot, the names of the sources that proposed its article.
        reasons: of each slot.
    """
    return [
        (source_reason(names[0]), *given[:1])
        if names and all(name in SOURCE_REASONS for name in names)
        else given
        for names, given in zip(sources, reasons, strict=True)
    ]


@cache
def source_reason(name: str) -> Reason:
    """Return the reason of an article that a plugin's source alone proposed."""
    return Reason(code=ReasonCode.OWN_SOURCE, text=SOURCE_REASONS[name])


def _moment(context: RankingContext, rows: Rows) -> Moment:
    return moment_of(
        context.view, context.signals, context.profile, context.request, np.asarray(rows)
    )
