"""FeedService: a reader's request from the store through ranking to a page, and events back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import structlog

from feed.config import Settings
from feed.domain import (
    CursorExpiredError,
    Event,
    EventKind,
    Mode,
    Origin,
    ServedFeed,
    Slots,
    StoreUnavailableError,
)
from feed.schemas import FeedQuery, TrendingQuery
from feed.service.access import refuse_merged
from feed.service.browse import show_related, show_trending
from feed.service.cards import CardCache
from feed.service.cursor import Cursors, check_same_feed
from feed.service.intake import describe_outcome, read_events
from feed.service.pages import Page, barred_since, fill_page, present_page, without_gone
from feed.service.ranked import FeedRequest, rank, usable_of
from feed.service.snapshot import LiveSnapshot, SnapshotKeeper
from feed.service.story_pages import show_story
from feed.service.telemetry import (
    EVENTS,
    EXPOSURES_LOST,
    STORE_FAILURES,
    Stopwatch,
    count_feed,
)
from feed.storage.records import Outcome, ReaderState
from feed.storage.redis_store import RedisStore

FRUGAL_FROM = 0.5
"""Share of the request budget after which no further round trip is made, if that much of it was
spent on the store."""
_STORE_STAGES = ("store_read", "hydration", "store_write")

LOG_EVERY_S = 1.0

log = structlog.get_logger("feed.service")


class FeedService:
    """Answers feed requests and takes events.

    Args:
        settings: budget, time limits and the cursor secret.
        store: readers, slates and streams.
        keeper: the snapshot of everything that is not one reader's.
        card_cache: articles ready to be sent.
        clock: epoch seconds.
        rng: where exploration and interleaving draw from.
    """

    def __init__(
        self,
        settings: Settings,
        store: RedisStore,
        keeper: SnapshotKeeper,
        card_cache: CardCache,
        clock: Callable[[], float],
        rng: np.random.Generator,
    ) -> None:
        self._settings = settings
        self._store = store
        self._keeper = keeper
        self._card_cache = card_cache
        self._clock = clock
        self._rng = rng
        self._logged_at = float("-inf")
        self._cursors = Cursors(settings, store)
        # Only one thread of Python computes at a time: two requests ranked at once would both be
        # late. While one is ranked, another reads or writes the store. Previews take turns, too.
        self.turn = threading.Lock()

    def get_feed(self, query: FeedQuery, watch: Stopwatch, *, own: bool = False) -> dict[str, Any]:
        """Return one page of a reader's feed, JSON-ready.

        Args:
            query: whose feed and how much of it. An id that was merged gives its reader's feed.
            watch: measures the stages of the request.
            own: the caller is the reader of the query; if that id was merged, it is refused.

        Raises:
            ProblemError: 400, the cursor is not one of this reader's; 403, see `own`.
            InvalidInputError: the cursor goes through a feed that was asked for otherwise.
            CursorExpiredError: the slate behind the cursor is gone.
            StoreUnavailableError: there is nothing to serve from: no snapshot yet, or a page
                after the first while the store is away.
        """
        snapshot = self._present_snapshot()
        if query.cursor:
            return self._next_page(query, query.cursor, snapshot, watch, own=own)
        return self._first_page(query, snapshot, watch, own=own)

    def get_trending(self, query: TrendingQuery) -> dict[str, Any]:
        """Return what is trending, JSON-ready.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        snapshot = self._present_snapshot()
        return show_trending(query, snapshot, self._card_cache, snapshot.ranking.config)

    def get_related(self, article_id: str, limit: int, until: float) -> dict[str, Any]:
        """Return what goes with an article, JSON-ready.

        Raises:
            NotFoundError: no such article was published before `until`, epoch seconds.
            StoreUnavailableError: the store does not answer.
        """
        snapshot = self._present_snapshot()
        return show_related(article_id, limit, until, snapshot, self._card_cache, self._store)

    def get_story(self, story_id: str) -> dict[str, Any]:
        """Return the articles that tell a story, JSON-ready; raises as `get_related` does."""
        return show_story(story_id, self._present_snapshot(), self._card_cache, self._clock())

    def record_events(
        self,
        body: bytes,
        watch: Stopwatch,
        reader: str | None = None,
        origin: Origin | None = None,
    ) -> dict[str, Any]:
        """Take the events of a request body; return what became of each, JSON-ready.

        Args:
            body: JSON, `{"events": [...]}`.
            watch: measures the stages of the request.
            reader: the only reader whom the caller may speak for; None: anybody.
            origin: where a reader's own device sent them from. None for a trusted caller, whose
                address is that of the newsroom's backend and not the reader's.

        Raises:
            ProblemError: the body holds no list of events, or an event of another reader.
            StoreUnavailableError: the store did not take them; none is promised to be kept.
        """
        found = read_events(body, self._clock(), reader)
        watch.lap("validation")
        events = [entry for entry in found.entries if isinstance(entry, Event)]
        outcomes = iter(self._take(events, origin))
        watch.lap("store_write")
        results = [
            describe_outcome(
                entry,
                next(outcomes) if isinstance(entry, Event) else None,
                found.notes.get(place, ""),
            )
            for place, entry in enumerate(found.entries)
        ]
        counts = dict.fromkeys(("accepted", "duplicate", "waiting", "rejected"), 0)
        for result in results:
            counts[result["status"]] += 1
        for name, count in counts.items():
            EVENTS.labels(name).inc(count)
        watch.events = counts["accepted"] + counts["waiting"]
        return {**counts, "results": results}

    def _take(self, events: Sequence[Event], origin: Origin | None) -> list[Outcome]:
        """Give events to the store; those whose article is unknown wait for it.

        Custom events never wait: their article is no more than a note.
        """
        article_ids = list({e.article_id for e in events if e.kind is not EventKind.CUSTOM})
        known = dict(zip(article_ids, self._are_articles(article_ids), strict=True))
        can_go = [e.kind is EventKind.CUSTOM or known[e.article_id] for e in events]
        unknown = [event for event, ready in zip(events, can_go, strict=True) if not ready]
        held = iter(self._store.hold_events(unknown, origin) if unknown else ())
        outcomes = [None if ready else next(held) for ready in can_go]
        present = [
            event for event, outcome in zip(events, outcomes, strict=True) if outcome is None
        ]
        appended = iter(self._store.append_events(present, origin) if present else ())
        return [outcome or next(appended) for outcome in outcomes]

    def _present_snapshot(self) -> LiveSnapshot:
        snapshot = self._keeper.current()
        if snapshot is None:
            raise StoreUnavailableError("no snapshot yet")
        return snapshot

    def _first_page(
        self, query: FeedQuery, snapshot: LiveSnapshot, watch: Stopwatch, *, own: bool
    ) -> dict[str, Any]:
        reader, position = self._read_reader(query, watch)
        refuse_merged(moved=own and reader is not None and bool(reader.moved_to))
        with self.turn:
            watch.lap("queue")
            request = FeedRequest(query=query, now=self._clock(), reader=reader)
            slate = rank(request, snapshot, snapshot.ranking.config, self._rng, watch)
        frugal = reader is None or self._is_late(watch)
        page = self._fill(slate.slots, 0, query.limit, position, watch, frugal=frugal)
        served = replace(
            slate,
            served_at=self._clock(),
            slots=without_gone(slate.slots, page),
            shown_to=len(page.slots),
            latency_ms=watch.elapsed_ms(),
        )
        is_kept = self._begin_save(served, watch, new_slate=True, frugal=frugal)
        count_feed(query.mode, served.rung, watch)
        answer = self._present(served, page, reader, snapshot, watch)
        following = None if page.next_offset is None else len(page.slots)
        cursor = self._cursor(query.user_id, served, following)
        answer["next_cursor"] = cursor if is_kept() else None
        return answer

    def _next_page(
        self,
        query: FeedQuery,
        text: str,
        snapshot: LiveSnapshot,
        watch: Stopwatch,
        *,
        own: bool,
    ) -> dict[str, Any]:
        now = self._clock()
        cursor = self._cursors.read(query.user_id, text, now)
        slate, state, position = self._store.read_for_page(query.user_id, cursor.request_id)
        watch.lap("store_read")
        refuse_merged(moved=own and bool(state.moved_to))
        if slate is None:
            raise CursorExpiredError("the feed behind this cursor is gone; ask for a fresh one")
        check_same_feed(query, slate, snapshot.view.pool.sections)
        reader = usable_of(state, slate.mode)
        barred = barred_since(slate.slots, reader, snapshot, now)
        page = self._fill(
            slate.slots, cursor.offset, query.limit, position, watch, frugal=False, barred=barred
        )
        served = replace(
            slate,
            served_at=now,
            slots=without_gone(slate.slots, page),
            shown_from=cursor.offset,
            shown_to=cursor.offset + len(page.slots),
            latency_ms=watch.elapsed_ms(),
            attributes=slate.attributes if state.preferences.personalization else {},
        )
        is_kept = self._begin_save(served, watch, new_slate=False)
        count_feed(slate.mode, slate.rung, watch)
        answer = self._present(served, page, reader, snapshot, watch)
        answer["next_cursor"] = self._cursor(query.user_id, slate, page.next_offset)
        is_kept()
        return answer

    def _read_reader(
        self, query: FeedQuery, watch: Stopwatch
    ) -> tuple[ReaderState | None, str | None]:
        """Return what may be used of the reader and the catalogue's position.

        The reader is None when the store does not answer. The position is None when the store
        did not answer, or did not give the position in the same round trip.
        """
        position = None
        try:
            if query.mode is Mode.PERSONALIZED:
                state, position = self._store.read_for_feed(query.user_id)
            else:
                state = self._store.read_choices(query.user_id)
        except StoreUnavailableError as error:
            self._note_failure(error)
            return None, None
        watch.lap("store_read")
        return usable_of(state, query.mode), position

    def _fill(
        self,
        slate: Slots,
        offset: int,
        limit: int,
        position: str | None,
        watch: Stopwatch,
        *,
        frugal: bool,
        barred: Collection[str] = (),
    ) -> Page:
        """Fill a page with cards, leaving out articles retracted before this request came.

        Args:
            slate: the slots to fill it from.
            offset: the first slot of the page.
            limit: how many slots the page has at most.
            position: the catalogue's position if this request has read it already.
            watch: measures the stages of the request.
            frugal: use only cards that are in the cache, unless there is none at all.
            barred: articles that may not be shown either.
        """
        cache = self._card_cache
        if not frugal:
            try:
                cache.sync(position)
                return fill_page(slate, offset, limit, cache.take, cache.titles, barred)
            except StoreUnavailableError as error:
                self._note_failure(error)
            finally:
                watch.lap("hydration")
        page = fill_page(slate, offset, limit, cache.held, cache.titles, barred)
        if slate and not page.slots:  # nothing cached yet: a late page is better than an empty one
            page = fill_page(slate, offset, limit, cache.take, cache.titles, barred)
        watch.lap("hydration")
        return page

    def _begin_save(
        self, served: ServedFeed, watch: Stopwatch, *, new_slate: bool, frugal: bool = False
    ) -> Callable[[], bool]:
        """Send a feed to the store; return a function that waits and says whether it is kept."""
        if frugal or self._is_late(watch):
            EXPOSURES_LOST.inc()
            return _never
        try:
            finish = self._store.begin_save(served, new_slate=new_slate)
        except StoreUnavailableError as error:
            self._note_loss(error)
            return _never
        watch.lap("store_write")

        def is_kept() -> bool:
            try:
                finish()
            except StoreUnavailableError as error:
                self._note_loss(error)
                return False
            finally:
                watch.lap("store_write")
            return True

        return is_kept

    def _present(
        self,
        served: ServedFeed,
        page: Page,
        reader: ReaderState | None,
        snapshot: LiveSnapshot,
        watch: Stopwatch,
    ) -> dict[str, Any]:
        answer = present_page(served, page, reader or ReaderState(), snapshot)
        watch.lap("presentation")
        return answer

    def _cursor(self, user_id: str, slate: ServedFeed, offset: int | None) -> str | None:
        if offset is None:
            return None
        try:
            return self._cursors.give(user_id, slate.request_id, offset, self._clock())
        except StoreUnavailableError as error:  # the secret's node may be away, the reader's not
            self._note_failure(error)
            return None

    def _is_late(self, watch: Stopwatch) -> bool:
        """Say whether the store has used up the time it may take.

        What a slow machine or a queue takes is not counted: fewer round trips would not help.
        """
        spent_ms = 1e3 * sum(watch.stages.get(stage, 0.0) for stage in _STORE_STAGES)
        return spent_ms > FRUGAL_FROM * self._settings.request_budget_ms

    def _note_loss(self, error: StoreUnavailableError) -> None:
        EXPOSURES_LOST.inc()
        self._note_failure(error)

    def _note_failure(self, error: StoreUnavailableError) -> None:
        STORE_FAILURES.inc()
        if time.monotonic() - self._logged_at > LOG_EVERY_S:
            self._logged_at = time.monotonic()
            log.warning("store_unavailable", reason=str(error))

    def _are_articles(self, article_ids: Sequence[str]) -> list[bool]:
        snapshot = self._keeper.current()
        known = [snapshot is not None and snapshot.knows(a) for a in article_ids]
        unsure = [a for a, is_known in zip(article_ids, known, strict=True) if not is_known]
        if unsure:
            stored = self._store.read_articles(unsure)
            found = {a for a, entry in zip(unsure, stored, strict=True) if entry is not None}
            known = [k or a in found for a, k in zip(article_ids, known, strict=True)]
        return known


def _never() -> bool:
    """Say that a feed is not kept, because it was not sent."""
    return False
