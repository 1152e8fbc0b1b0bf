"""The order that the rules of plugins make of the ranked articles, without breaking a limit."""

from __future__ import annotations

import numpy as np

from feed.arrays import Floats, Rows
from feed.ranking.context import RankingContext
from feed.ranking.front_page_limits import bring_back
from feed.ranking.plugin_steps import apply_rules


def rule_order(context: RankingContext, rows: Rows, scores: Floats, order: Rows) -> Rows:
    """Return an order as the rules leave it, with what a limit needs still in it.

    Args:
        context: the request.
        rows: of all candidates.
        scores: of all candidates, f64.
        order: positions of those that were ranked, best first; without pins.
    """
    ruled = apply_rules(context, rows, scores, order)
    if not context.limits:
        return ruled
    return bring_back(context, rows, ruled, order[~np.isin(order, ruled)])
