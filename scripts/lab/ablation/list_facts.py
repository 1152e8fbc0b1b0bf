"""The facts of measured lists by which their numbers are averaged over readers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from feed.offline.evaluated_lists import PoolList, SlateList
from feed.offline.metric_values import ListFacts


def facts_of(entries: Sequence[PoolList | SlateList]) -> ListFacts:
    """Return the facts of lists; ages of the clicked articles are left out."""
    return ListFacts(
        users=np.array([entry.seen.user for entry in entries], np.int64),
        reader_clicks=np.array([entry.reader_clicks for entry in entries]),
        clicked_age_hours=np.full(len(entries), np.nan),
        at=np.array([entry.seen.at for entry in entries]),
        numbers=np.array([entry.seen.number for entry in entries]),
    )
