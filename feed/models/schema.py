"""The feature schema: names, groups, meanings, and the day-one weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from feed.plugins.loading import PluginError, active_plugins

_BUILT_IN_GROUPS = (
    "content",
    "session_content",
    "covisitation",
    "collaborative",
    "popularity",
    "trend",
    "freshness",
    "affinity",
    "fatigue",
    "context",
)
PLUGINS = "plugins"
"""Group of the features of plugins, which there is only while there are some."""
GROUPS = (*_BUILT_IN_GROUPS, *([PLUGINS] if active_plugins().features else []))
"""Feature groups: what an explanation can name."""

_HALF_A_DAY = 2.565  # ln(1 + 12 hours)


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature: `weight` is its weight in the default linear ranker (log-odds per unit).

    `neutral` is the value that speaks neither for nor against an article: the linear ranker and
    its explanations count from there.
    """

    name: str
    group: str
    doc: str
    weight: float = 0.0
    neutral: float = 0.0


def _popularity() -> tuple[FeatureSpec, ...]:
    names = ("30m", "2h", "6h", "24h")
    weights = (0.3, 0.0, 0.0, 0.5)
    share = "ln(1 + 1000 x share of the site's"
    clicks = tuple(
        FeatureSpec(f"clicks_{h}", "popularity", f"{share} clicks), half-life {h}", w)
        for h, w in zip(names, weights, strict=True)
    )
    shown = tuple(
        FeatureSpec(f"shown_{h}", "popularity", f"{share} impressions), half-life {h}")
        for h in names
    )
    rates = tuple(
        FeatureSpec(f"ctr_{h}", "popularity", f"ln of smoothed click-through over site's, {h}", w)
        for h, w in zip(names[1:], (0.0, 0.2, 0.0), strict=True)
    )
    return clicks + shown + rates


def _of_plugins() -> tuple[FeatureSpec, ...]:
    known = {feature.name for feature in BUILT_IN}
    for plugin in active_plugins().features:
        if plugin.name in known:
            raise PluginError(f"feature {plugin.name}: a built-in feature has that name")
    return tuple(
        FeatureSpec(plugin.name, PLUGINS, plugin.doc, plugin.weight, plugin.neutral)
        for plugin in active_plugins().features
    )


_FIRST: tuple[FeatureSpec, ...] = (
    FeatureSpec("content_long", "content", "cosine with the reader's decayed mean article", 1.0),
    FeatureSpec("content_nearest", "content", "cosine with the nearest of the last 20 clicks", 0.3),
    FeatureSpec("content_page", "content", "cosine with the article of the page"),
    FeatureSpec("content_session", "session_content", "cosine with this session's mean", 0.5),
    FeatureSpec("covisit", "covisitation", "ln of how the last clicks' readers went on", 0.15),
    FeatureSpec("covisit_last", "covisitation", "the same from the very last click alone"),
    FeatureSpec("covisit_page", "covisitation", "the same from the article of the page"),
    FeatureSpec("covisit_rank", "covisitation", "rank of covisit among the candidates, 0 to 1"),
    FeatureSpec("page_list", "covisitation", "ln of the share of impressions below the page"),
    FeatureSpec("neighbours", "covisitation", "item-item similarity to the last clicks", 0.3),
    FeatureSpec("collaborative", "collaborative", "fold-in vector x article factors", 1.0),
    FeatureSpec("collaborative_rank", "collaborative", "its rank among the candidates, 0 to 1"),
    FeatureSpec("collaborative_page", "collaborative", "factor cosine with the page's article"),
    *_popularity(),
    FeatureSpec("page_shown_30m", "popularity", "shown_30m among pages of the same kind"),
    FeatureSpec("page_shown_6h", "popularity", "shown_6h among pages of the same kind"),
    FeatureSpec("page_ctr_24h", "popularity", "ctr_24h among pages of the same kind"),
    FeatureSpec("readers", "popularity", "ln(1 + distinct readers ever)"),
    FeatureSpec("approval", "popularity", "(likes - dislikes) / (readers + 10)", 1.0),
    FeatureSpec(
        "dwell", "popularity", "mean ln(1 + dwell seconds) of its readers, shrunk", 0.1, 3.5
    ),
    FeatureSpec("last_clicked", "popularity", "ln(1 + minutes since anybody's last click)"),
    FeatureSpec("last_shown", "popularity", "ln(1 + minutes since last shown to anybody)"),
    FeatureSpec("ctr_6h_gap", "popularity", "ctr_6h less the best candidate's"),
    FeatureSpec("ctr_24h_rank", "popularity", "rank of ctr_24h among the candidates, 0 to 1"),
    FeatureSpec("last_shown_rank", "popularity", "rank of last_shown among the candidates"),
    FeatureSpec("clicks_2h_rank", "popularity", "rank of clicks_2h among the candidates, 0 to 1"),
    FeatureSpec("clicks_6h_rank", "popularity", "rank of clicks_6h among the candidates, 0 to 1"),
    FeatureSpec("clicks_6h_gap", "popularity", "clicks_6h less the best candidate's"),
    FeatureSpec("ctr_6h_rank", "popularity", "rank of ctr_6h among the candidates, 0 to 1"),
    FeatureSpec("shown_30m_rank", "popularity", "rank of shown_30m among the candidates, 0 to 1"),
    FeatureSpec("trend_30m_2h", "trend", "ln of smoothed click rate, 30 min over 2 h", 1.0),
    FeatureSpec("trend_2h_6h", "trend", "ln of smoothed click rate, 2 h over 6 h", 1.0),
    FeatureSpec("trend_6h_24h", "trend", "ln of smoothed click rate, 6 h over 24 h", 0.5),
    FeatureSpec("shown_trend", "trend", "ln of smoothed impression rate, 30 min over 6 h"),
    FeatureSpec(
        "age_seen", "freshness", "ln(1 + hours since the article first came)", -0.4, _HALF_A_DAY
    ),
    FeatureSpec("age_published", "freshness", "ln(1 + hours since publication)", -0.3, _HALF_A_DAY),
    FeatureSpec("age_rank", "freshness", "rank of age_seen among the candidates, 0 to 1"),
    FeatureSpec("section_share", "affinity", "section's decayed share of the reader's clicks", 1.6),
    FeatureSpec("section_session", "affinity", "section's share of this session's clicks", 0.5),
    FeatureSpec("source_share", "affinity", "source's decayed share of the reader's clicks", 0.3),
    FeatureSpec("language_share", "affinity", "language's share of the reader's clicks", 0.5),
    FeatureSpec("followed", "affinity", "1 if the reader follows the section or source", 1.0),
    FeatureSpec("shown_count", "fatigue", "ln(1 + times shown to this reader, unread)", -0.4),
    FeatureSpec("shown_age", "fatigue", "ln(1 + minutes since last shown to this reader)"),
    FeatureSpec("passed_over", "fatigue", "clicks on others since it was last shown", -0.1),
    FeatureSpec("shown_age_rank", "fatigue", "rank of shown_age among the candidates, 0 to 1"),
    FeatureSpec("is_read", "fatigue", "1 if the reader has clicked it before", -3.0),
    FeatureSpec("read_age", "fatigue", "ln(1 + hours since that click)"),
    FeatureSpec("page_kind", "context", "1 below an article, 0 on a front page"),
    FeatureSpec("is_page", "context", "1 for the very article of the page", -3.0),
    FeatureSpec("hour", "context", "hour of the day, UTC"),
    FeatureSpec("weekday", "context", "day of the week, Monday 0, UTC"),
    FeatureSpec("device", "context", "the publisher's device code"),
    FeatureSpec("subscriber", "context", "the publisher's subscription code"),
    FeatureSpec("candidates", "context", "ln of the number of candidates"),
    FeatureSpec("unseen_share", "context", "share of the candidates never shown to the reader"),
    FeatureSpec("reader_events", "context", "ln(1 + engagements in the reader's history)"),
    FeatureSpec("reader_shown", "context", "ln(1 + articles shown to the reader)"),
    FeatureSpec("since_click", "context", "ln(1 + minutes since the reader's last click)"),
    FeatureSpec("session_clicks", "context", "clicks of the reader in this session"),
)
_LATER: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "on_page_2h", "popularity", "share of its impressions below an article, shrunk, 2h"
    ),
    FeatureSpec(
        "on_page_24h", "popularity", "share of its impressions below an article, shrunk, 24h"
    ),
)
FEWEST_BUILT_IN = len(_FIRST)
"""So many of feed's own features a model knows at least. Those that came later stand behind them,
so a model that was made before they came still ranks."""
BUILT_IN: tuple[FeatureSpec, ...] = _FIRST + _LATER
"""The features that feed has by itself. No position and no identity among them."""
FEATURES: tuple[FeatureSpec, ...] = (*BUILT_IN, *_of_plugins())
"""Every feature, in the order of the columns: those of plugins come last."""


@cache
def feature_index() -> dict[str, int]:
    """Return the column of each feature."""
    return {f.name: i for i, f in enumerate(FEATURES)}


@cache
def columns_of(groups: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """Return the columns of several groups together."""
    return np.flatnonzero([f.group in groups for f in FEATURES])


def fingerprint(features: tuple[FeatureSpec, ...] = FEATURES) -> str:
    """Return 16 hex digits that change with any feature's name, order or definition."""
    text = "\n".join(f"{f.name}|{f.group}|{f.doc}" for f in features)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
