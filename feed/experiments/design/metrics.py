"""What experiments measure: every metric declared in a few lines over the columns of a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from feed.domain import InvalidInputError
from feed.experiments.statistics.noninferiority import Direction

QUALIFIED_DWELL_S = 10.0
"""A read at least this long counts as qualified, seconds."""
SESSION_GAP_S = 1800.0
"""A pause longer than this ends a session, seconds."""
LONGEST_DWELL_S = 1800.0
"""One read counts at most this long, seconds: tabs left open are not reading."""

Form = Literal["count", "number", "share", "seconds", "milliseconds"]

ACTIVITY_COLUMNS: dict[str, str] = {
    "views": "count(*) FILTER (kind = 'view')",
    "impressions": "count(*) FILTER (kind = 'impression')",
    "clicks": "count(*) FILTER (kind = 'click')",
    "reads": "count(*) FILTER (kind = 'read')",
    "qualified_reads": f"count(*) FILTER (kind = 'read' AND dwell_s >= {QUALIFIED_DWELL_S})",
    "dwell_s": "coalesce(sum(dwell_s) FILTER (kind = 'read'), 0)",
    "likes": "count(*) FILTER (kind = 'like') - count(*) FILTER (kind = 'unlike')",
    "dislikes": "count(*) FILTER (kind = 'dislike') - count(*) FILTER (kind = 'undislike')",
    "saves": "count(*) FILTER (kind = 'save') - count(*) FILTER (kind = 'unsave')",
    "shares": "count(*) FILTER (kind = 'share')",
    "hides": "count(*) FILTER (kind = 'hide') - count(*) FILTER (kind = 'unhide')",
    "sessions": "count(*) FILTER (opens_session)",
    "fallback_views": "count(*) FILTER (kind = 'view' AND fallback)",
}
"""Columns of a reader's day, summed from the activity stream (events and feed views)."""

SHOWN_COLUMNS: dict[str, str] = {
    "slots": "sum(slots)",
    "trending_slots": "sum(trending_slots)",
    "ai_slots": "sum(ai_slots)",
    "explored_slots": "sum(explored_slots)",
    "section_entropy": "ln(sum(slots)) - sum(slots * ln(slots)) / sum(slots)",
    "shown_days": "1",
}
"""Columns of a reader's day, from what was shown, counted by section first."""

RETURN_COLUMNS = ("returned_days", "returnable_days")
"""Columns of a reader's day that look at the day after it."""

BASE_COLUMNS = (*ACTIVITY_COLUMNS, *SHOWN_COLUMNS, *RETURN_COLUMNS)
"""Every column a metric may be made of; each adds up over days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number about readers that a variant may move.

    Attributes:
        name: How definitions name it.
        title: How reports name it.
        numerator: One of ``BASE_COLUMNS``.
        denominator: One of ``BASE_COLUMNS`` for a ratio of means; empty: a mean per reader.
        direction: Which way is better.
        form: How values are written.
        winsorised: Whether readers above the 99th percentile are pulled down to it.
        grouped: SQL of a number that only a group of readers has (a quantile, a count of distinct
            articles); its interval comes from groups of readers instead of readers.
        grouped_over: What that SQL runs over: served feeds or their slots.
        note: What it counts, in a sentence.
    """

    name: str
    title: str
    numerator: str = ""
    denominator: str = ""
    direction: Direction = "higher_is_better"
    form: Form = "number"
    winsorised: bool = False
    grouped: str = ""
    grouped_over: Literal["requests", "slots"] = "requests"
    note: str = ""


_DECLARED = (
    Metric(
        name="qualified_reads",
        title="Qualified reads per reader",
        numerator="qualified_reads",
        note=f"Reads of {QUALIFIED_DWELL_S:.0f} seconds or more.",
    ),
    Metric(
        name="click_through",
        title="Click-through",
        numerator="clicks",
        denominator="impressions",
        form="share",
        note="Clicks over impressions that were in view, as a ratio of means per reader.",
    ),
    Metric(name="clicks", title="Clicks per reader", numerator="clicks", note="Articles opened."),
    Metric(
        name="feed_views",
        title="Feed views per reader",
        numerator="views",
        note="Feeds served, pages of one feed counted once.",
    ),
    Metric(
        name="impressions",
        title="Examined impressions per reader",
        numerator="impressions",
        note="Articles that the page saw in view.",
    ),
    Metric(
        name="dwell",
        title="Reading time per reader",
        numerator="dwell_s",
        form="seconds",
        winsorised=True,
        note="Seconds of reading, one read at most 30 minutes, readers cut at the 99th percentile.",
    ),
    Metric(
        name="likes",
        title="Likes per reader",
        numerator="likes",
        note="Likes less those taken back.",
    ),
    Metric(
        name="hides",
        title="Hides per reader",
        numerator="hides",
        direction="lower_is_better",
        note="“Not interested”, less those taken back.",
    ),
    Metric(
        name="sessions",
        title="Sessions per reader",
        numerator="sessions",
        note="Stretches of activity without a pause of more than 30 minutes.",
    ),
    Metric(
        name="return_next_day",
        title="Return on the next day",
        numerator="returned_days",
        denominator="returnable_days",
        form="share",
        note="Active days followed by an active day, of those whose next day is in the window.",
    ),
    Metric(
        name="section_entropy",
        title="Section entropy of a day's feed",
        numerator="section_entropy",
        denominator="shown_days",
        note="Shannon entropy (nats) of the sections shown to a reader on a day.",
    ),
    Metric(
        name="share_trending",
        title="Share trending of what was shown",
        numerator="trending_slots",
        denominator="slots",
        form="share",
        note="Slots labelled trending.",
    ),
    Metric(
        name="share_ai_generated",
        title="Share AI-generated of what was shown",
        numerator="ai_slots",
        denominator="slots",
        direction="lower_is_better",
        form="share",
        note="Slots whose article the publisher marks as generated with AI.",
    ),
    Metric(
        name="fallback_share",
        title="Feeds served from a fallback",
        numerator="fallback_views",
        denominator="views",
        direction="lower_is_better",
        form="share",
        note="Feeds of a rung below “personalized” and “without model”.",
    ),
    Metric(
        name="coverage",
        title="Articles shown at least once",
        grouped="count(DISTINCT article_id)",
        grouped_over="slots",
        form="count",
        note="Different articles that one group of readers was shown; groups are of equal size.",
    ),
    Metric(
        name="latency_p95",
        title="Latency, 95th percentile",
        grouped="quantile_cont(latency_ms, 0.95)",
        direction="lower_is_better",
        form="milliseconds",
        note="Milliseconds to make a feed, over groups of readers.",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _DECLARED}
"""Every metric by name, in the order of the report."""

PER_READER = tuple(metric for metric in _DECLARED if not metric.grouped)
"""Metrics that every single reader has."""


def metric_named(name: str, field_name: str = "metric") -> Metric:
    """Return a metric by name.

    Raises:
        InvalidInputError: there is none of that name.
    """
    if name not in METRICS:
        raise InvalidInputError(field_name, f"must be one of {', '.join(METRICS)}")
    return METRICS[name]
