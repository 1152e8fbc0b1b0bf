"""How much each article needs to be shown: how uncertain readers' click rate on it still is."""

from __future__ import annotations

import numpy as np

from feed.arrays import Floats, Rows
from feed.features.counters import Counters


def exploration_need(counters: Counters, rows: Rows, now: float) -> Floats:
    """Return the standard deviation of what is known of each click rate, f64 [k], above 0.

    The rate has a Beta distribution. It begins as the site's rate, with the weight of one click,
    and takes in the impressions of the article and the clicks that answered them. So it falls with
    the square root of the impressions, and is greater for an article that is clicked more.

    Args:
        counters: of the snapshot; their longest half-life counts.
        rows: of the articles.
        now: time of the request, epoch seconds.
    """
    site, own = counters.site_blocks(now), counters.blocks(rows, now)
    usual = (site["feed_clicks"][-1] + 1.0) / (site["impressions"][-1] + 2.0)
    clicks, shown = own["feed_clicks"][-1], own["impressions"][-1]
    for_it = 1.0 + clicks
    against = np.maximum(1.0 / usual - 1.0 + shown - clicks, 1.0)
    weight = for_it + against
    return np.asarray(np.sqrt(for_it * against / (weight + 1.0)) / weight, np.float64)
