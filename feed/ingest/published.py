"""Reads a published data set's log as articles and events, shifted in time so that it ends now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from feed.config import DAY_S, HOUR_S
from feed.domain import Article, Event, EventKind, Submission
from feed.features.interactions import KINDS
from feed.ingest.documents import Documents
from feed.offline.event_log import EventLog

END_MARGIN_S = 10.0
"""The last record of the log is placed this long before now, seconds."""
CLICK_DELAY_S = 1.0
"""A click on a list is placed this long after the list was shown, seconds."""
NO_VECTOR = (0.0,)
"""Given instead of a vector for articles without text: two such articles are not alike."""


def documents_from_log(
    log: EventLog, now: float, *, event_days: float, impression_hours: float
) -> Documents:
    """Return the newest part of a log, its times shifted so that it ends at `now`.

    Args:
        log: of a published data set.
        now: epoch seconds.
        event_days: how many of the last days of engagements to take.
        impression_hours: how many of the last hours of impressions to take.

    Returns:
        Events oldest first and every article that they name. An article without text in the
        data set is called by its number.
    """
    end = max(_last(log.events.columns.occurred_at), _last(log.impressions.at))
    shift = now - END_MARGIN_S - end
    shown_from = end - impression_hours * HOUR_S
    events = [
        *_engagements(log, end - event_days * DAY_S, shown_from, shift),
        *_impressions(log, shown_from, shift),
    ]
    events.sort(key=lambda e: e.occurred_at)
    named = {e.article_id for e in events}
    submissions = [Submission(article) for article in _articles(log, named, shift)]
    return Documents(submissions, events)


def _engagements(log: EventLog, start: float, shown_from: float, shift: float) -> Iterator[Event]:
    columns = log.events.columns
    for at in range(int(np.searchsorted(columns.occurred_at, start)), len(columns.occurred_at)):
        if log.events.from_feed[at] and columns.occurred_at[at] >= shown_from:
            continue  # comes with its impression
        dwell_s = float(columns.dwell_s[at])
        kind = KINDS[int(columns.kinds[at])]
        yield Event(
            event_id=f"{log.name}-{at}-{kind.value}",
            user_id=log.users.ids[int(columns.users[at])],
            article_id=log.articles.ids[int(columns.articles[at])],
            kind=kind,
            occurred_at=float(columns.occurred_at[at]) + shift,
            dwell_s=None if np.isnan(dwell_s) else min(max(dwell_s, 0.0), DAY_S),
            context={"platform": log.name},
        )


def _impressions(log: EventLog, start: float, shift: float) -> Iterator[Event]:
    views = log.impressions
    for number in views.between(start, np.inf):
        low, high = int(views.starts[number]), int(views.starts[number + 1])
        request_id = f"{log.name}-{views.keys[number]}"
        for position, row in enumerate(views.shown[low:high].tolist()):
            impression = Event(
                event_id=f"{request_id}-{position}",
                user_id=log.users.ids[int(views.users[number])],
                article_id=log.articles.ids[row],
                kind=EventKind.IMPRESSION,
                occurred_at=float(views.at[number]) + shift,
                request_id=request_id,
                position=position,
                context={"platform": log.name},
            )
            yield impression
            if views.clicked[low + position]:
                yield replace(
                    impression,
                    event_id=f"{request_id}-{position}-click",
                    kind=EventKind.CLICK,
                    occurred_at=impression.occurred_at + CLICK_DELAY_S,
                )


def _articles(log: EventLog, named: set[str], shift: float) -> Iterator[Article]:
    known = {a.article_id: a for a in log.catalogue}
    for article_id in sorted(named):
        first = float(log.first_seen_at[log.articles.row(article_id)]) + shift
        article = known.get(article_id)
        if article is not None and article.title:
            yield replace(article, published_at=first)
        else:
            title = f"Article {article_id} (its text is not in the data set)"
            yield Article(
                article_id=article_id,
                title=title,
                source=log.name,
                published_at=first,
                embedding=NO_VECTOR,
            )


def _last(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(times[-1]) if len(times) else 0.0
