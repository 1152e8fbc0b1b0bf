"""A candidate source: what few have seen, and many of those opened."""

from __future__ import annotations

import numpy as np

from feed.plugins import Moment, Rows

SIX_HOURS = 360
USUAL_WEIGHT = 20.0
"""Impressions at which an article's own rate and the usual one weigh the same."""


class OpenedOften:
    """Proposes articles that readers open more often than most when they are shown."""

    name = "opened_often"
    reason = "Opened more often than most when it is shown"

    def propose(self, moment: Moment, limit: int) -> Rows:
        """Return the articles above the usual rate, the highest first."""
        clicks = moment.articles.clicks(SIX_HOURS)
        shown = moment.articles.impressions(SIX_HOURS)
        usual = clicks.sum() / max(shown.sum(), 1.0)
        rates = (clicks + USUAL_WEIGHT * usual) / (shown + USUAL_WEIGHT)
        found = np.flatnonzero((rates > usual) & (shown > 0))
        return found[np.argsort(-rates[found], kind="stable")[:limit]]
