"""Recorded requests, gone through once more off the path of requests: for previews and drift."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError

from feed.config import Settings
from feed.domain import ArchiveError, ConflictError, Mode
from feed.schemas import FeedQuery
from feed.service.archive_process import ask_archive
from feed.service.ranked import FeedRequest, usable_of
from feed.storage.recent_requests import RecordedRequest, read_newest
from feed.storage.records import ReaderState
from feed.storage.redis_store import RedisStore

REQUESTS = 100
"""Requests that are gone through at most."""
HOURS = 24.0
"""Older requests are not looked for."""
MOST_S = 20.0
"""What takes longer ends with what it has, seconds."""
KEPT_S = 120.0
"""The recorded requests are read again after so long, seconds."""
READING_S = 20.0
REST = 0.5
"""Seconds of rest after each second of work, so that readers' requests come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlace:
    """How far somebody has gone through the recorded requests, the newest first.

    Attributes:
        done: How many they have gone through.
        total: How many there are to go through, these included.
        served_at: When the last of them was served, epoch seconds.
        request_id: Of the last of them.
    """

    done: int = 0
    total: int = 0
    served_at: float = math.inf
    request_id: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to go through."""
        return self.done >= self.total

    def comes_before(self, recorded: RecordedRequest) -> bool:
        """Whether a request is one of those that are left."""
        return (-self.served_at, self.request_id) < _order(recorded)


START = ReplayPlace()


class RecordedRequests:
    """The newest requests of the installation, read again after two minutes.

    Args:
        settings: Where the archive is.
        store: Where the streams are.
        clock: Epoch seconds.
    """

    def __init__(self, settings: Settings, store: RedisStore, clock: Callable[[], float]) -> None:
        self._settings, self._store, self._clock = settings, store, clock
        self._kept: tuple[float, list[RecordedRequest]] | None = None

    def newest(self) -> list[RecordedRequest]:
        """Return at most `REQUESTS` requests, the newest first.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        now = self._clock()
        if self._kept is None or not 0 <= now - self._kept[0] < KEPT_S:
            self._kept = now, self._read(now)
        return self._kept[1]

    def reader_of(self, query: FeedQuery) -> ReaderState:
        """Return what may be used of the present state of a request's reader.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        if query.mode is Mode.PERSONALIZED:
            return usable_of(self._store.read_for_feed(query.user_id)[0], query.mode)
        return usable_of(self._store.read_choices(query.user_id), query.mode)

    def _read(self, now: float) -> list[RecordedRequest]:
        found = {one.request_id: one for one in read_newest(self._store)}
        if len(found) < REQUESTS:
            found = {one.request_id: one for one in self._archived(now)} | found
        newest = sorted(found.values(), key=_order)
        return [one for one in newest if one.served_at >= now - HOURS * 3600][:REQUESTS]

    def _archived(self, now: float) -> list[RecordedRequest]:
        question = {
            "data_dir": str(self._settings.data_dir),
            "since": now - HOURS * 3600,
            "most": REQUESTS,
        }
        try:
            rows = ask_archive("feed.storage.archived_requests", question, limit_s=READING_S)
        except ArchiveError:  # it may be on the worker's machine; the streams hold something
            return []
        return [RecordedRequest(**row) for row in rows]


class RequestReplay:
    """Goes through recorded requests for one caller at a time, and rests half as long as it works.

    Args:
        requests: The recorded requests.
        clock: Epoch seconds.
        rest: Called with seconds after each request.
    """

    def __init__(
        self,
        requests: RecordedRequests,
        clock: Callable[[], float],
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._requests, self._clock, self._rest = requests, clock, rest
        self._busy = threading.Lock()

    @contextmanager
    def alone(self, otherwise: str) -> Iterator[None]:
        """Keep everybody else out for the length of a block.

        Raises:
            ConflictError: somebody is in it; `otherwise` says what is being done.
        """
        if not self._busy.acquire(blocking=False):
            raise ConflictError(f"{otherwise}: try again in a few seconds")
        try:
            yield
        finally:
            self._busy.release()

    def chosen(
        self, since: float = 0.0, most: int = REQUESTS, place: ReplayPlace = START
    ) -> list[tuple[RecordedRequest, FeedQuery]]:
        """Return the requests after a place, the newest first.

        Args:
            since: Nothing that was served before, epoch seconds.
            most: Requests, with those before the place.
            place: Where to begin.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        left = (one for one in self._requests.newest() if one.served_at >= since)
        asked = ((one, as_query(one)) for one in left if place.comes_before(one))
        valid = [(one, query) for one, query in asked if query is not None]
        return valid[: max(most - place.done, 0)]

    def each(
        self,
        chosen: Sequence[tuple[RecordedRequest, FeedQuery]] | None = None,
        first_seed: int = 0,
    ) -> Iterator[tuple[int, RecordedRequest, FeedRequest]]:
        """Yield a seed, a recorded request, and the same with its reader's present state.

        Args:
            chosen: What to go through; the newest requests if not given.
            first_seed: The first seed; each request has the next one.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        started = time.perf_counter()
        requests = self.chosen() if chosen is None else chosen
        for seed, (recorded, query) in enumerate(requests, first_seed):
            begun = time.perf_counter()
            reader = self._requests.reader_of(query)
            yield seed, recorded, FeedRequest(query, self._clock(), reader, with_reasons=False)
            now = time.perf_counter()
            if now - started > MOST_S:
                return
            self._rest(REST * (now - begun))


def _order(recorded: RecordedRequest) -> tuple[float, str]:
    """Return what puts requests in the order of `RecordedRequests.newest`."""
    return -recorded.served_at, recorded.request_id


def as_query(recorded: RecordedRequest) -> FeedQuery | None:
    """Return a recorded request as it was asked; None if it breaks a rule that came later."""
    try:
        query = FeedQuery.model_validate(
            {
                "user_id": recorded.user_id,
                "section": recorded.section,
                "language": recorded.language or None,
                "mode": recorded.mode,
                "page_article_id": recorded.page_article_id or None,
                "device": recorded.device,
                "platform": recorded.platform,
            }
        )
        return query.model_copy(update={"attributes": dict(recorded.attributes)})
    except ValidationError:
        return None
