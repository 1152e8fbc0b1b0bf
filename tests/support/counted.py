"""What readers did, counted straight into signals."""

import numpy as np


def count_shown(signals, rows, at, page=-1):
    """Count articles that one reader was shown at a time, below an article or, -1, elsewhere."""
    times, pages = np.full(len(rows), at), np.full(len(rows), page)
    signals.counters.add_impressions(rows, times, on_page=page >= 0)
    if page >= 0:
        signals.page_lists.add_impressions(pages, rows, times)


def count_click(signals, row, at, previous=(), previous_times=(), *, from_feed=False):
    """Count a reader's first click on an article, after that reader's earlier clicks."""
    signals.counters.add_clicks(np.array([row]), np.array([at]), from_feed=from_feed)
    before = np.array(previous, np.int64), np.array(previous_times, np.float64)
    signals.covisitation.add_click(row, at, *before)
