"""One reader's recent events as a Profile, which is built per request and stored nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Kinds, Rows
from feed.config import HOUR_S, RankingConfig
from feed.domain import EventKind
from feed.features.ids import Vocabulary, find, first_places, sum_by_row
from feed.features.interactions import CLICK, KIND_CODE, decay, event_weights
from feed.features.languages import matching_codes
from feed.features.pool import ArticlePool
from feed.features.wishes import CodedWish, code_wishes
from feed.preferences import Preferences
from feed.storage.records import ReaderState
from feed.training_config import TrainingConfig

_LEARNING = TrainingConfig()
_NOTHING_STATED = Preferences()
_NO_ROWS: Rows = np.zeros(0, np.int64)
_NO_FLOATS: Floats = np.zeros(0)


def _no_rows() -> Rows:
    return np.zeros(0, np.int64)


def _no_floats() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceCodes:
    """A reader's stated preferences as codes of the pool's vocabularies.

    `muted_rows` are articles whose stories are muted, sorted; `wishes` are those for more or fewer.
    """

    followed_sections: Rows = field(default_factory=_no_rows)
    muted_sections: Rows = field(default_factory=_no_rows)
    followed_sources: Rows = field(default_factory=_no_rows)
    muted_sources: Rows = field(default_factory=_no_rows)
    languages: Rows = field(default_factory=_no_rows)
    muted_rows: Rows = field(default_factory=_no_rows)
    wishes: tuple[CodedWish, ...] = ()
    personalization: bool = True


NO_PREFERENCES = PreferenceCodes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What ranking knows about one reader at one moment; rows are article rows.

    `clicked_rows` are distinct, newest first; `clicked_at` is the last click on each.
    `engaged_rows` are distinct articles with signed weights by kind and dwell: `weights` decay
    with the profile's half-life, `fold_in_weights` with that of the fold-in. `session_rows` are
    the `clicked_rows` of the present session, newest first, with `session_at`. `read_rows`,
    `hidden_rows` and `shown_rows` are sorted; `shown_counts` and `shown_last_at` belong to
    `shown_rows`. `n_events` counts the engagements (not impressions) behind all of these.
    """

    clicked_rows: Rows = field(default_factory=_no_rows)
    clicked_at: Floats = field(default_factory=_no_floats)
    engaged_rows: Rows = field(default_factory=_no_rows)
    weights: Floats = field(default_factory=_no_floats)
    fold_in_weights: Floats = field(default_factory=_no_floats)
    session_rows: Rows = field(default_factory=_no_rows)
    session_at: Floats = field(default_factory=_no_floats)
    read_rows: Rows = field(default_factory=_no_rows)
    hidden_rows: Rows = field(default_factory=_no_rows)
    shown_rows: Rows = field(default_factory=_no_rows)
    shown_counts: Floats = field(default_factory=_no_floats)
    shown_last_at: Floats = field(default_factory=_no_floats)
    preferences: PreferenceCodes = NO_PREFERENCES
    n_events: int = 0

    @property
    def is_cold(self) -> bool:
        """Whether the reader has done nothing from which a taste can be derived."""
        return not len(self.clicked_rows) and not (self.weights > 0).any()


EMPTY_PROFILE = Profile()


def build_profile(
    rows: Rows,
    kinds: Kinds,
    occurred_at: Floats,
    dwell_s: Floats,
    *,
    now: float,
    config: RankingConfig,
    read_rows: Rows = _NO_ROWS,
    hidden_rows: Rows = _NO_ROWS,
    shown_rows: Rows = _NO_ROWS,
    shown_counts: Floats = _NO_FLOATS,
    shown_last_at: Floats = _NO_FLOATS,
    preferences: PreferenceCodes = NO_PREFERENCES,
) -> Profile:
    """Return the profile of a reader at `now`; the service and replay both use this function.

    Args:
        rows: article rows of the history (engagements, no impressions), int64 [k], -1 dropped.
        kinds: codes of `interactions.KINDS`, int8 [k].
        occurred_at: epoch seconds, f64 [k]; events at or after `now` are dropped.
        dwell_s: seconds, NaN where not known, f64 [k].
        now: the moment, epoch seconds.
        config: half-lives and session length.
        read_rows: articles ever clicked that the history may no longer hold.
        hidden_rows: articles the reader asked not to see.
        shown_rows: distinct articles that were in view, with counts and last times.
        shown_counts: how often each was shown.
        shown_last_at: when each was last shown, epoch seconds.
        preferences: stated preferences; with personalisation off, all but `hidden_rows` is left out
            beside them.
    """
    if not preferences.personalization:
        return stated_profile(preferences, hidden_rows)
    usable = (rows >= 0) & (occurred_at < now)
    if not usable.all():
        rows, kinds = rows[usable], kinds[usable]
        occurred_at, dwell_s = occurred_at[usable], dwell_s[usable]
    clicks = kinds == CLICK
    clicked_rows, clicked_at = _newest_first(rows[clicks], occurred_at[clicks])
    in_session = clicked_at >= now - config.session_minutes * 60.0
    base = event_weights(
        rows,
        kinds,
        occurred_at,
        dwell_s,
        _LEARNING.kind_weights,
        accidental_dwell_s=_LEARNING.accidental_dwell_s,
        accidental_weight=_LEARNING.accidental_weight,
    )
    order = rows.argsort(kind="stable")
    starts = _starts(rows[order])
    engaged = rows[order[starts]]
    index = np.empty(len(rows), np.int64)
    index[order] = starts.cumsum() - 1
    age = now - occurred_at
    slow = base * decay(age, config.profile_half_life_hours * HOUR_S)
    fast = base * decay(age, config.fold_in_half_life_hours * HOUR_S)
    if len(shown_rows):
        by_row = shown_rows.argsort(kind="stable")
        by_row = by_row[shown_rows[by_row] >= 0]
        shown_rows, shown_counts = shown_rows[by_row], shown_counts[by_row]
        shown_last_at = shown_last_at[by_row]
    return Profile(
        clicked_rows=clicked_rows,
        clicked_at=clicked_at,
        engaged_rows=engaged,
        weights=sum_by_row(index, slow, len(engaged)),
        fold_in_weights=sum_by_row(index, fast, len(engaged)),
        session_rows=clicked_rows[in_session],
        session_at=clicked_at[in_session],
        read_rows=_sorted_rows(np.concatenate([read_rows, clicked_rows])),
        hidden_rows=_unwanted_rows(preferences, hidden_rows),
        shown_rows=shown_rows,
        shown_counts=shown_counts,
        shown_last_at=shown_last_at,
        preferences=preferences,
        n_events=len(rows),
    )


def profile_from_state(
    state: ReaderState, pool: ArticlePool, now: float, config: RankingConfig
) -> Profile:
    """Return the profile of a reader whose state the store gave; unknown articles drop out.

    What the reader did with one of several twins counts for the one that is shown.
    """

    def rows_of(article_ids: Sequence[str]) -> Rows:
        return pool.leaders_of(pool.ids.rows(article_ids)) if article_ids else _NO_ROWS

    history = state.history
    shown_rows, counts, last_at = _NO_ROWS, _NO_FLOATS, _NO_FLOATS
    if state.shown:
        shown_rows = rows_of([shown.article_id for shown in state.shown])
        counts = np.array([shown.count for shown in state.shown], np.float64)
        last_at = np.array([shown.last_at for shown in state.shown], np.float64)
        if pool.leader is not None:
            shown_rows, counts, last_at = _add_up(shown_rows, counts, last_at)
    return build_profile(
        rows_of(history.article_ids),
        np.array([KIND_CODE[kind] for kind in history.kinds], np.int8),
        np.array(history.times, np.float64),
        np.array(history.dwells, np.float64),  # None, no dwell known, becomes NaN
        now=now,
        config=config,
        read_rows=rows_of(tuple(state.read_ids)),
        hidden_rows=rows_of(tuple(_disliked_or_hidden(state))),
        shown_rows=shown_rows,
        shown_counts=counts,
        shown_last_at=last_at,
        preferences=preference_codes(state, pool, now),
    )


def _add_up(rows: Rows, counts: Floats, last_at: Floats) -> tuple[Rows, Floats, Floats]:
    """Return the different rows with the sums of their counts and the last of their times."""
    different, place = np.unique(rows, return_inverse=True)
    latest = np.full(len(different), -np.inf)
    np.maximum.at(latest, place, last_at)
    return different, sum_by_row(place, counts, len(different)), latest


def stated_profile(preferences: PreferenceCodes, hidden_rows: Rows = _NO_ROWS) -> Profile:
    """Return the profile of a reader of whom only what was stated may be used.

    Args:
        preferences: stated preferences.
        hidden_rows: articles the reader asked not to see, int64 [k].
    """
    return Profile(preferences=preferences, hidden_rows=_unwanted_rows(preferences, hidden_rows))


def with_preferences(profile: Profile, preferences: PreferenceCodes) -> Profile:
    """Return the profile of a reader who has stated something else, and done the same."""
    hidden = _unwanted_rows(preferences, profile.hidden_rows)
    return replace(profile, preferences=preferences, hidden_rows=hidden)


def _unwanted_rows(preferences: PreferenceCodes, hidden_rows: Rows) -> Rows:
    return _sorted_rows(np.concatenate([hidden_rows, preferences.muted_rows]))


def preference_codes(state: ReaderState, pool: ArticlePool, now: float) -> PreferenceCodes:
    """Return a reader's preferences as they hold at `now`, as codes.

    Names the pool does not know drop out. What is muted for a while is muted like the rest.
    """
    preferences = state.preferences
    if preferences == _NOTHING_STATED:
        return NO_PREFERENCES
    wishes = code_wishes(preferences.wishes, pool, now)
    return PreferenceCodes(
        followed_sections=_codes(pool.sections, preferences.followed_sections),
        muted_sections=np.concatenate(
            [_codes(pool.sections, preferences.muted_sections), wishes.muted_sections]
        ),
        followed_sources=_codes(pool.sources, preferences.followed_sources),
        muted_sources=np.concatenate(
            [_codes(pool.sources, preferences.muted_sources), wishes.muted_sources]
        ),
        languages=matching_codes(pool.languages, preferences.languages),
        muted_rows=wishes.muted_rows,
        wishes=wishes.others,
        personalization=preferences.personalization,
    )


def followed_of(pool: ArticlePool, preferences: PreferenceCodes, rows: Rows) -> tuple[Flags, Flags]:
    """Return which rows are of a followed section, and which of a followed source, bool [k].

    An article is also of the sections that it has beside its own.
    """
    none = np.zeros(len(rows), np.bool_)
    sections, sources = preferences.followed_sections, preferences.followed_sources
    by_section = pool.stand_in(rows, sections.tolist()) if sections.size else none
    by_source = np.isin(pool.source[rows], sources) if sources.size else none
    return by_section, by_source


def contains(sorted_rows: Rows, rows: Rows) -> npt.NDArray[np.bool_]:
    """Return which of `rows` are among `sorted_rows`, bool [k]."""
    return find(sorted_rows, rows) >= 0


def _newest_first(rows: Rows, at: Floats) -> tuple[Rows, Floats]:
    order = np.lexsort((rows, -at))
    rows, at = rows[order], at[order]
    first = first_places(rows, int(rows.max(initial=0)) + 1) == np.arange(len(rows))
    return rows[first], at[first]


def _starts(ordered: Rows) -> npt.NDArray[np.bool_]:
    """Return where a new value begins in ordered rows."""
    starts = np.empty(len(ordered), np.bool_)
    starts[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    return starts


def _sorted_rows(rows: Rows) -> Rows:
    if not len(rows):
        return rows
    ordered = np.sort(rows[rows >= 0])
    return ordered[_starts(ordered)]


def _codes(vocabulary: Vocabulary, names: tuple[str, ...]) -> Rows:
    codes = vocabulary.rows(names)
    return codes[codes >= 0]


def _disliked_or_hidden(state: ReaderState) -> set[str]:
    disliked = {a for a, kind in state.reactions.items() if kind is EventKind.DISLIKE}
    return set(state.hidden_ids) | disliked
