"""The columns of a feature matrix that plugins fill."""

from __future__ import annotations

from feed.arrays import Matrix, Rows
from feed.features.profile import Profile
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.models.schema import BUILT_IN
from feed.models.view import RankingView
from feed.plugins.calling import compute
from feed.plugins.loading import active_plugins
from feed.plugins.moments import Known, Moment

_FEATURES = active_plugins().features
HAS_FEATURES = bool(_FEATURES)


def fill_plugin_columns(
    out: Matrix,
    view: RankingView,
    signals: LiveSignals,
    profile: Profile,
    context: RequestContext,
    rows: Rows,
) -> None:
    """Write the features of plugins into the last rows of `out`, f32 [features, k].

    Args:
        out: a row for each of `FEATURES`.
        view: the articles.
        signals: what happened before `context.now` only.
        profile: the reader at `context.now`.
        context: the request.
        rows: of the k candidates.
    """
    moment = moment_of(view, signals, profile, context, rows)
    for column, feature in enumerate(_FEATURES, len(BUILT_IN)):
        out[column] = compute(feature, moment)


def moment_of(
    view: RankingView,
    signals: LiveSignals,
    profile: Profile,
    context: RequestContext,
    rows: Rows,
) -> Moment:
    """Return what plugins see of a request that asks about the articles `rows`."""
    known = Known(view.pool, view.content, signals.counters, context.now)
    return Moment(known, profile, context, rows)
