"""build_features: candidates as a feature matrix, by the same function live and in replay."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feed.arrays import Codes, Floats, Matrix, Rows
from feed.features.counters import HALF_LIVES_S, NEVER
from feed.features.covisitation import CovisitVotes
from feed.features.ids import find, sum_by_row
from feed.features.profile import Profile, followed_of
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.models.plugin_columns import HAS_FEATURES, fill_plugin_columns
from feed.models.reader_vectors import ReaderVectors, build_reader_vectors
from feed.models.schema import FEATURES, feature_index
from feed.models.view import RankingView

_COLUMN = feature_index()
_NEAREST = 20
_DAY_S = 86400.0
_ON_PAGES = {"impressions": "page_impressions", "feed_clicks": "page_clicks"}
"""Blocks of counters, and which hold their part below another article."""
_CTR_PRIOR = 20.0
_RATE_PRIOR = 1.0
_DWELL_PRIOR = 5.0
_PAGE_PRIOR = 2.0
_HOURS = np.array(HALF_LIVES_S) / 3600.0
_SHORTER = np.append(_HOURS[:-1] / _HOURS[1:], _HOURS[0] / _HOURS[2])[:, None]


@dataclass(slots=True)
class _Work:
    """One call's inputs and the columns being filled, f32 [features, k]."""

    view: RankingView
    signals: LiveSignals
    profile: Profile
    context: RequestContext
    rows: Rows
    vectors: ReaderVectors
    votes: CovisitVotes
    out: Matrix
    ranked: list[tuple[str, Floats]] = field(default_factory=list)

    def put(self, name: str, values: npt.ArrayLike) -> None:
        self.out[_COLUMN[name]] = values

    def put_block(self, first: str, values: Floats) -> None:
        """Put values f64 [n, k] into a feature and those that follow it in the schema."""
        start = _COLUMN[first]
        self.out[start : start + len(values)] = values

    def rank(self, name: str, values: Floats) -> None:
        self.ranked.append((name, values))


def build_features(
    view: RankingView,
    signals: LiveSignals,
    profile: Profile,
    context: RequestContext,
    rows: Rows,
    vectors: ReaderVectors | None = None,
    votes: CovisitVotes | None = None,
) -> Matrix:
    """Return the features of candidates, f32 [k, len(FEATURES)]; NaN where one is not known.

    Ranks and gaps are among the candidates given, so call it once with all of them.

    Args:
        view: pool and model.
        signals: counters and co-visitation holding events before `context.now` only.
        profile: the reader at `context.now`.
        context: the request.
        rows: candidate rows, int64 [k], each below `view.pool.size`.
        vectors: the reader's vectors, if they are computed already.
        votes: the co-visitation votes of the reader's clicks, likewise.
    """
    if vectors is None:
        vectors = build_reader_vectors(view, profile)
    if votes is None:
        clicked, at = profile.clicked_rows, profile.clicked_at
        votes = signals.covisitation.votes(clicked, at, context.now)
    out = np.full((len(FEATURES), len(rows)), np.nan, np.float32)
    work = _Work(view, signals, profile, context, rows, vectors, votes, out)
    if len(rows):
        _popularity(work)
        _freshness(work)
        _covisitation(work)
        _collaborative(work)
        _content(work)
        _affinity(work)
        _fatigue(work)
        _context(work)
        ranks = rank_each(np.array([values for _, values in work.ranked]))
        for (name, _), values in zip(work.ranked, ranks, strict=True):
            work.put(name, values)
        if HAS_FEATURES:
            fill_plugin_columns(out, view, signals, profile, context, rows)
    return np.ascontiguousarray(out.T)


def rank_each(values: Floats) -> Floats:
    """Return each value's rank in its row, 0 (lowest) to 1, f64 [rows, k]; NaN stays.

    Ties share their middle; the only value of a list of one has rank 0.5.
    """
    rows, count = values.shape
    if count == 1:
        return np.where(np.isnan(values), np.nan, 0.5)
    offset = np.arange(0, rows * count, count)[:, None]
    order = (np.argsort(values, axis=1) + offset).ravel()
    ordered = values.ravel()[order]
    starts = np.empty(rows * count, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    starts[::count] = True
    first = np.flatnonzero(starts)
    last = np.append(first[1:], rows * count) - 1
    ranks: Floats = np.empty(rows * count)
    ranks[order] = ((first + last) / 2.0)[np.cumsum(starts) - 1]
    ranks = ranks.reshape(rows, count) - offset
    unknown = np.isnan(values)
    ranks /= np.maximum(count - 1 - unknown.sum(axis=1, keepdims=True), 1)
    ranks[unknown] = np.nan
    return ranks


def _popularity(work: _Work) -> None:
    now, rows, counters = work.context.now, work.rows, work.signals.counters
    blocks, site = counters.blocks(rows, now), counters.site_blocks(now)
    shares = _put_shares(work, blocks, site)
    work.rank("clicks_2h_rank", shares[1])
    work.rank("clicks_6h_rank", shares[2])
    work.put("clicks_6h_gap", shares[2] - shares[2].max())
    work.rank("shown_30m_rank", shares[4])
    rates = _put_rates(work, blocks, site)
    work.rank("ctr_6h_rank", rates[2])
    work.put("ctr_6h_gap", rates[2] - rates[2].max())
    work.rank("ctr_24h_rank", rates[3])
    _put_page_shares(work, blocks, site)
    since = _minutes_since(counters.last_times(rows), now)
    work.put_block("last_clicked", since)
    work.rank("last_shown_rank", since[1])
    readers, _, likes, dislikes, dwell_sum, dwell_n = np.ascontiguousarray(
        counters.all_totals(rows).T
    )
    work.put("readers", np.log1p(readers))
    work.put("approval", (likes - dislikes) / (readers + 10.0))
    work.put("dwell", (dwell_sum + _DWELL_PRIOR * 3.5) / (dwell_n + _DWELL_PRIOR))


def _put_shares(work: _Work, blocks: dict[str, Floats], site: dict[str, Floats]) -> Floats:
    """Put ln(1 + 1000 x share of the site's) clicks and impressions; return them, f64 [10, k].

    The last two are those of impressions on pages of the request's kind.
    """
    of_kind, of_site = (_of_kind(work, of, "impressions")[::2] for of in (blocks, site))
    counts = np.concatenate([blocks["clicks"], blocks["impressions"], np.maximum(of_kind, 0.0)])
    whole = np.concatenate([site["clicks"], site["impressions"], np.maximum(of_site, 0.0)])
    counts *= (1000.0 / (whole + 1.0))[:, None]
    shares: Floats = np.log1p(counts, out=counts)
    work.put_block("clicks_30m", shares[:8])
    work.put_block("page_shown_30m", shares[8:])
    return shares


def _put_rates(work: _Work, blocks: dict[str, Floats], site: dict[str, Floats]) -> Floats:
    """Put the logarithms of rates and of their trends; return click-throughs, f64 [4, k]."""
    clicks, shown = blocks["clicks"], blocks["impressions"]
    base = _click_through(site["feed_clicks"], site["impressions"])
    logs = np.empty((9, len(work.rows)))
    rates, of_kind, trends = logs[:4], logs[4], logs[5:]
    np.divide(blocks["feed_clicks"] + _CTR_PRIOR * base, shown + _CTR_PRIOR, out=rates)
    rates /= base
    (kind_clicks, kind_shown), (site_clicks, site_shown) = (
        (_of_kind(work, of, "feed_clicks"), _of_kind(work, of, "impressions"))
        for of in (blocks, site)
    )
    base = _click_through(site_clicks, site_shown)
    smoothed = np.maximum(kind_clicks[3] + _CTR_PRIOR * base * rates[3], 1e-12)
    np.divide(smoothed, np.maximum(kind_shown[3], 0.0) + _CTR_PRIOR, out=of_kind)
    of_kind /= base
    short, long = np.concatenate([clicks[:3], shown[:1]]), np.concatenate([clicks[1:], shown[2:3]])
    np.divide(short + _RATE_PRIOR, long * _SHORTER + _RATE_PRIOR, out=trends)
    np.log(logs, out=logs)
    work.put_block("ctr_2h", rates[1:])
    work.put("page_ctr_24h", of_kind)
    work.put_block("trend_30m_2h", trends)
    return rates


def _put_page_shares(work: _Work, blocks: dict[str, Floats], site: dict[str, Floats]) -> None:
    """Put which share of each article's impressions was below an article, shrunk to the site's."""
    usual = site["page_impressions"] / np.maximum(site["impressions"], 1.0)
    below = blocks["page_impressions"] + _PAGE_PRIOR * usual[:, None]
    shares = below / (blocks["impressions"] + _PAGE_PRIOR)
    work.put("on_page_2h", shares[1])
    work.put("on_page_24h", shares[3])


def _of_kind(work: _Work, blocks: dict[str, Floats], name: str) -> Floats:
    """Return the part of one of `_ON_PAGES` that happened on pages of the request's kind."""
    on_pages = blocks[_ON_PAGES[name]]
    return on_pages if work.context.page_row >= 0 else blocks[name] - on_pages


def _click_through(clicks: Floats, shown: Floats) -> float:
    """Return the site's smoothed click-through of a day."""
    return float((clicks[3] + 1.0) / (shown[3] + 10.0))


def _freshness(work: _Work) -> None:
    pool, now = work.view.pool, work.context.now
    seen = np.maximum(now - pool.first_seen_at[work.rows], 0.0) / 3600.0
    published_at, fresh_at = pool.published_at[work.rows], pool.fresh_at[work.rows]
    changed_at = np.where(fresh_at <= now, fresh_at, published_at)  # in replay it may lie ahead
    published = np.maximum(now - changed_at, 0.0) / 3600.0
    work.put("age_seen", np.log1p(seen))
    work.put("age_published", np.where(published_at > 0, np.log1p(published), np.nan))
    work.rank("age_rank", seen)


def _covisitation(work: _Work) -> None:
    now, rows = work.context.now, work.rows
    covisit = _log_votes(work.votes.scores(rows))
    work.put("covisit", covisit)
    work.rank("covisit_rank", covisit)
    work.put("covisit_last", _log_votes(work.votes.scores_of(0, rows)))
    if work.context.page_row >= 0:
        page, at = np.array([work.context.page_row]), np.array([now])
        votes = work.signals.covisitation.votes(page, at, now)
        work.put("covisit_page", _log_votes(votes.scores(rows)))
        listed = work.signals.page_lists.scores(work.context.page_row, rows, now)
        work.put("page_list", np.log1p(1e3 * listed))
    work.put("neighbours", work.vectors.neighbour_scores(rows))


def _log_votes(scores: Floats) -> Floats:
    votes: Floats = np.log1p(1e4 * scores)
    return votes


def _collaborative(work: _Work) -> None:
    view, rows = work.view, work.rows
    if not view.has_factors:
        return
    factors = view.factors[rows]
    if work.vectors.collaborative is not None:
        scores = (factors @ work.vectors.collaborative).astype(np.float64)
        work.put("collaborative", scores)
        work.rank("collaborative_rank", scores)
    page = work.context.page_row
    if 0 <= page < view.pool.size and view.placed[page]:
        norms = np.linalg.norm(factors, axis=1) * np.linalg.norm(view.factors[page])
        work.put("collaborative_page", factors @ view.factors[page] / np.maximum(norms, 1e-9))


def _content(work: _Work) -> None:
    view, rows = work.view, work.rows
    if not view.has_content:
        return
    worded = view.worded[rows]
    if not worded.any():
        return
    content = view.content[rows]
    vectors = {
        "content_long": work.vectors.content_long,
        "content_session": work.vectors.content_session,
        "content_page": work.vectors.content_of(work.context.page_row),
    }
    for name, vector in vectors.items():
        if vector is not None:
            work.put(name, content @ vector)
    recent = work.profile.clicked_rows[:_NEAREST]
    recent = recent[recent < view.pool.size]
    recent = recent[view.worded[recent]]
    if len(recent):
        work.put("content_nearest", (content @ view.content[recent].T).max(axis=1))
    if not worded.all():
        for name in (*vectors, "content_nearest"):
            work.out[_COLUMN[name], ~worded] = np.nan


def _affinity(work: _Work) -> None:
    pool, rows, profile = work.view.pool, work.rows, work.profile
    known = profile.engaged_rows < pool.size
    engaged, weights = profile.engaged_rows[known], np.maximum(profile.weights[known], 0.0)
    sections = pool.section[rows]
    for name, history, codes in (
        ("section_share", pool.section[engaged], sections),
        ("source_share", pool.source[engaged], pool.source[rows]),
        ("language_share", pool.language[engaged], pool.language[rows]),
    ):
        work.put(name, _code_share(history, weights, codes))
    session = profile.session_rows[profile.session_rows < pool.size]
    ones = np.ones(len(session))
    work.put("section_session", _code_share(pool.section[session], ones, sections))
    by_section, by_source = followed_of(pool, profile.preferences, rows)
    work.put("followed", by_section | by_source)


def _code_share(history: Codes, weights: Floats, codes: Codes) -> Floats:
    """Return the share of the history's mass that has each code, f64 [k]; NaN for code -1."""
    mass = sum_by_row(history + 1, weights, int(codes.max()) + 2)
    total = mass[1:].sum()
    mass[0] = np.nan
    share: Floats = mass[codes + 1] / (total + 1.0)
    return share


def _fatigue(work: _Work) -> None:
    profile, rows, now = work.profile, work.rows, work.context.now
    read = find(profile.read_rows, rows) >= 0
    work.put("is_read", read)
    if read.any() and len(profile.clicked_rows):  # what was clicked is among what was read
        order = np.argsort(profile.clicked_rows)
        clicked = find(profile.clicked_rows[order], rows)
        hours = (now - profile.clicked_at[order][clicked]) / 3600.0
        work.put("read_age", np.where(clicked >= 0, np.log1p(np.maximum(hours, 0.0)), np.nan))
    if not len(profile.shown_rows):
        work.put("unseen_share", 1.0)
        work.put("shown_count", 0.0)
        work.put("passed_over", 0.0)
        return
    shown = find(profile.shown_rows, rows)
    was_shown = shown >= 0
    work.put("unseen_share", 1.0 - was_shown.mean())
    last_at = profile.shown_last_at[shown]
    count = np.where(was_shown, profile.shown_counts[shown], 0.0)
    work.put("shown_count", np.log1p(count))
    minutes = np.maximum(now - last_at, 0.0) / 60.0
    shown_age = np.where(was_shown, np.log1p(minutes), np.nan)
    work.put("shown_age", shown_age)
    work.rank("shown_age_rank", shown_age)
    times = np.sort(profile.clicked_at)
    since = len(times) - np.searchsorted(times, last_at, "left")
    work.put("passed_over", np.where(was_shown, since, 0.0))


def _context(work: _Work) -> None:
    context, profile, now = work.context, work.profile, work.context.now
    work.put("page_kind", float(context.page_row >= 0))
    work.put("is_page", work.rows == context.page_row)
    work.put("hour", now % _DAY_S / 3600.0)
    work.put("weekday", (now // _DAY_S + 3) % 7)
    work.put("device", context.device if context.device >= 0 else np.nan)
    work.put("subscriber", context.subscriber if context.subscriber >= 0 else np.nan)
    work.put("candidates", math.log(len(work.rows)))
    work.put("reader_events", math.log1p(profile.n_events))
    work.put("reader_shown", math.log1p(profile.shown_counts.sum()))
    if len(profile.clicked_at):
        work.put("since_click", math.log1p(max(now - profile.clicked_at[0], 0.0) / 60.0))
    work.put("session_clicks", len(profile.session_rows))


def _minutes_since(at: Floats, now: float) -> Floats:
    minutes: Floats = np.log1p(np.maximum(now - at, 0.0) / 60.0)
    return np.where(at > NEVER, minutes, np.nan)
