"""Which reads are a reader's second of one story: a reader counts once for a story."""

from __future__ import annotations

import numpy as np

from feed.arrays import Flags, Integers, Rows
from feed.features.stories import Stories


def stories_of(stories: Stories | None, rows: Rows) -> Rows:
    """Return the row of the first article of the story of each row, int64 [k].

    A row that is in no story, unknown or -1 is returned as it is.
    """
    if stories is None:
        return rows
    found, known = rows.copy(), _known(stories, rows)
    found[known] = stories.story[rows[known]]
    return found


def in_company(stories: Stories | None, rows: Rows) -> Flags:
    """Return which rows are of a story that has other articles, bool [k]."""
    found = np.zeros(len(rows), np.bool_)
    if stories is not None:
        known = _known(stories, rows)
        found[known] = stories.several[rows[known]]
    return found


def repeated_reads(
    stories: Stories | None, rows: Rows, previous_rows: Rows, counts: Integers
) -> Flags:
    """Return which first clicks on articles are by readers who had read another one of the story.

    Args:
        stories: of the articles.
        rows: what was clicked, int64 [k].
        previous_rows: what each reader had clicked before, one after the other, -1 for an unknown
            article, int64 [sum of counts].
        counts: how many clicks before each are given, int64 [k].
    """
    again = np.zeros(len(rows), np.bool_)
    if stories is None or not len(previous_rows):
        return again
    clicks = np.repeat(np.arange(len(rows)), counts)
    same = stories_of(stories, previous_rows) == stories_of(stories, rows)[clicks]
    again[clicks[same & (previous_rows >= 0) & (previous_rows != rows[clicks])]] = True
    return again


def _known(stories: Stories, rows: Rows) -> Rows:
    """Return the places of the rows that were among the articles grouped, int64 [at most k]."""
    return np.flatnonzero((rows >= 0) & (rows < len(stories.story)))
