"""A rule: no two articles of one source stand one below the other while others are left."""

from __future__ import annotations

import numpy.typing as npt

from feed.plugins import Floats, Moment


class SourcesApart:
    """Takes, for each place, the best article whose source is not the one just above."""

    name = "sources_apart"

    def apply(self, moment: Moment, scores: Floats) -> npt.ArrayLike:
        """Return the new order; nothing is left out."""
        del scores  # the articles stand best first already
        left = list(range(len(moment.articles)))
        sources = moment.articles.sources
        order: list[int] = []
        while left:
            above = sources[order[-1]] if order else None
            other = next((one for one in left if sources[one] != above), left[0])
            left.remove(other)
            order.append(other)
        return order
