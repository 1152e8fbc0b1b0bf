"""Replay: passes the log in time order through the signals that serve."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed.arrays import Floats, Matrix, Rows
from feed.config import DAY_S
from feed.domain import Article, EventKind
from feed.features.interactions import CLICK, KIND_CODE, READ
from feed.features.network_bound import NetworkBound
from feed.features.pool import ArticlePool, PoolBuilder
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.features.stories import Stories, StoryFinder
from feed.features.story_readers import repeated_reads
from feed.offline.event_log import EventLog, Impressions, LoggedEvents, Seen
from feed.offline.log_source import LogSource, parts
from feed.offline.reader_log import ReaderLog

PAIRS_S = 5 * DAY_S
"""Clicks older than this at the start of a replay enter no pairs: they would have decayed."""
CLICKS_AT_ONCE = 20_000
"""Clicks whose pairs are counted together, which bounds the memory that takes."""
POOL_S = 2 * DAY_S
"""An article is in the pool for this long after it was last shown to anybody, seconds."""

_LIKES = {KIND_CODE[EventKind.LIKE]: 1, KIND_CODE[EventKind.UNLIKE]: -1}
_DISLIKES = {KIND_CODE[EventKind.DISLIKE]: 1, KIND_CODE[EventKind.UNDISLIKE]: -1}


class Replay:
    """Signals and pool as they stood at a moment that only moves forward.

    After `advance(t)` everything that happened strictly before t is counted and nothing else. The
    log is read a part at a time: of what lies behind only counters, pairs and the readers' own
    recent past are held, whatever the length of the log.
    """

    def __init__(
        self,
        log: LogSource,
        readers: ReaderLog | None = None,
        stories: Stories | None = None,
    ) -> None:
        """Begin before the log does.

        Args:
            log: the log.
            readers: takes the place of its readers' histories.
            stories: of its articles; `bound` withholds a reader's further reads of one story.
        """
        self.log = log
        self.bound = NetworkBound(log.articles)
        self._stories = stories
        self.signals = LiveSignals(log.articles)
        self.readers = ReaderLog(log.late_until, log.merges) if readers is None else readers
        self.last_shown_at: Floats = np.full(len(log.articles), -np.inf)
        self.now = -np.inf
        self._pairs_from = -np.inf
        self._parts = parts(log, -np.inf, np.inf)
        self._part: EventLog | None = None
        self._event, self._impression, self._merge = 0, 0, 0
        self._open_next()

    def start(self, at: float) -> None:
        """Count everything before `at`, then go on in time order.

        Pairs of clicks are counted from `PAIRS_S` before `at`.
        """
        self._pairs_from = at - PAIRS_S
        self.advance(at)

    def advance(self, now: float) -> None:
        """Count what happened before `now`."""
        while self._part is not None and now > self._part_ends_at:
            self._count_before(self._part, self._part_ends_at)
            self._open_next()
        if self._part is not None:
            self._count_before(self._part, now)
        self._count_merges(now)
        self.now = now

    def context(self, seen: Seen) -> RequestContext:
        """Return the circumstances of an impression."""
        return RequestContext(
            now=seen.at, page_row=seen.page, device=seen.device, subscriber=seen.subscriber
        )

    def pool_rows(self) -> Rows:
        """Return the articles shown to anybody in the `POOL_S` before now."""
        return np.flatnonzero(self.last_shown_at >= self.now - POOL_S)

    def _open_next(self) -> None:
        self._part = next(self._parts, None)
        self._event, self._impression = 0, 0
        if self._part is not None:
            self._part_ends_at = float(np.nextafter(self._part.ends_at, np.inf))
            self.readers.take(self._part)

    def _count_before(self, part: EventLog, now: float) -> None:
        end = int(np.searchsorted(part.impressions.at, now, "left"))
        if end > self._impression:
            self._count_impressions(part.impressions, self._impression, end)
            self._impression = end
        end = int(np.searchsorted(part.events.columns.occurred_at, now, "left"))
        if end > self._event:
            self._count_events(part.events, self._event, end)
            self._event = end

    def _count_merges(self, now: float) -> None:
        merges = self.log.merges.between(self._merge, now)
        self._merge += len(merges)
        for merge in merges:
            for one in merge.repeats:
                rows, times = np.array([one.row]), np.array([one.at])
                self.signals.record_repeats(
                    rows, times, from_feed=one.from_feed, on_page=one.on_page
                )
            for undone in merge.undone:
                rows = np.array([undone.row])
                self.signals.counters.add_reactions(rows, undone.likes, undone.dislikes)

    def _count_impressions(self, views: Impressions, start: int, end: int) -> None:
        sizes = np.diff(views.starts[start : end + 1])
        rows = views.shown[views.starts[start] : views.starts[end]]
        at = np.repeat(views.at[start:end], sizes)
        pages = np.repeat(views.pages[start:end], sizes)
        below = pages >= 0
        counters = self.signals.counters
        for flag in (False, True):
            part = below == flag
            counters.add_impressions(rows[part], at[part], on_page=flag)
        np.maximum.at(self.last_shown_at, rows, at)
        self.signals.page_lists.add_impressions(pages[below], rows[below], at[below])

    def _count_events(self, events: LoggedEvents, start: int, end: int) -> None:
        columns = events.columns
        part = slice(start, end)
        kinds, rows = columns.kinds[part], columns.articles[part]
        at, feed, page = columns.occurred_at[part], events.from_feed[part], events.on_page[part]
        counters = self.signals.counters
        first = events.first[part] & events.counted[part]
        for from_feed, on_page in ((False, False), (True, False), (True, True)):
            of_kind = first & (feed == from_feed) & (page == on_page)
            counters.add_clicks(rows[of_kind], at[of_kind], from_feed=from_feed, on_page=on_page)
        reads = (kinds == READ) & ~np.isnan(columns.dwell_s[part])
        if reads.any():
            counters.add_dwell(rows[reads], columns.dwell_s[part][reads])
        self._count_reactions(kinds, rows)
        paired = events.first[part] & (at >= self._pairs_from)
        self._count_pairs(events, np.flatnonzero(paired) + start)

    def _count_pairs(self, events: LoggedEvents, clicks: Rows) -> None:
        """Count clicks against those before them, some thousands at a time."""
        columns = events.columns
        for start in range(0, len(clicks), CLICKS_AT_ONCE):
            some = clicks[start : start + CLICKS_AT_ONCE]
            rows, times, counts = self.readers.previous_of(events, some)
            self.signals.covisitation.add_clicks(
                columns.articles[some], columns.occurred_at[some], rows, times, counts
            )
            again = some[repeated_reads(self._stories, columns.articles[some], rows, counts)]
            again = again[events.counted[again]]
            self.bound.add_repeats(columns.articles[again], columns.occurred_at[again])

    def _count_reactions(self, kinds: npt.NDArray[np.int8], rows: Rows) -> None:
        reactions = np.flatnonzero((kinds != CLICK) & (kinds != READ))
        for i in reactions.tolist():
            likes, dislikes = _LIKES.get(int(kinds[i]), 0), _DISLIKES.get(int(kinds[i]), 0)
            if likes or dislikes:
                self.signals.counters.add_reactions(rows[i : i + 1], likes, dislikes)


def build_log_pool(
    log: LogSource, embeddings: Matrix | None = None, stories: StoryFinder | None = None
) -> ArticlePool:
    """Return the pool of every article of a log, each first seen when it first appeared.

    Where nothing is known of an article but its id, its first appearance stands in for its
    publication, unless the log's catalogue dates no article: then no publication is known, because
    the ages of one list must count from the same kind of moment. An article without a date is as
    new as its first appearance is. Whether an article could be shown at a moment is for
    `Replay.pool_rows` to say.

    Args:
        log: the log.
        embeddings: f32 [len(log.articles), d], zero rows where there is no text.
        stories: groups the articles where whole requests are ranked again.
    """
    known = {a.article_id: a for a in log.catalogue}
    has_dates = not known or any(a.published_at > 0 for a in known.values())
    builder = PoolBuilder(log.articles, stories=stories)
    for row, article_id in enumerate(log.articles.ids):
        seen_at = float(log.first_seen_at[row])
        article = known.get(article_id) or Article(
            article_id=article_id, title="", published_at=seen_at if has_dates else 0.0
        )
        vector = None if embeddings is None else embeddings[row]
        changed_at = article.updated_at or (0.0 if article.published_at > 0 else seen_at)
        builder.add(article, vector, seen_at, changed_at)
    return builder.snapshot()
