"""LiveSnapshot: everything that ranking reads but the reader; SnapshotKeeper updates it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import structlog

from feed.catalogue.pinning import present_pins
from feed.config import RankingConfig, Settings
from feed.domain import FeedError, Pin, StoreUnavailableError
from feed.editorial.editorial import Editorial, editorial_from_store
from feed.experiments.design.audience import Audience
from feed.experiments.design.definitions import Experiment
from feed.experiments.design.lifecycle import parse_experiments, running_experiments
from feed.features.canonical_address import read_tracking_parameters
from feed.features.ids import IdMap
from feed.features.pool import ArticlePool
from feed.features.sections import read_aliases
from feed.features.state import LiveSignals
from feed.features.trending import TrendingState
from feed.features.twins import TwinFinder
from feed.models.registry import ModelRegistry
from feed.models.view import RankingView, build_view
from feed.ranking.boosted_rows import BoostedRows, build_boosted_rows
from feed.ranking.live_index import LiveIndex, build_index
from feed.ranking.settings_in_force import SettingsInForce, put_in_force
from feed.service.cards import CardCache
from feed.service.followers import CatalogueFollower, ModelFollower
from feed.service.pinned import audiences_of
from feed.service.telemetry import (
    LIVE_ARTICLES,
    SNAPSHOT_AT,
    SNAPSHOT_SECONDS,
    STORE_FAILURES,
)
from feed.service.title_index import TitleIndex
from feed.storage.redis_store import RedisStore
from feed.worker.publication import TRENDING_BLOB
from feed.worker.signals_follower import SignalsFollower

INDEX_MAX_AGE_S = 30.0
RESTS = 19.0
"""After each refresh the thread rests this many times as long as that took of a processor, so that
requests have the rest: while a large load is encoded, new vectors come all the time."""
LONGEST_REST_S = 0.7
"""It rests no longer than this, or than between two checks: within a second every process shows
what is new."""
WARM_NEWEST = 500
WARM_POPULAR = 100

log = structlog.get_logger("feed.snapshot")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LiveSnapshot:
    """Articles, model, signals and experiments at one moment, immutable.

    A request takes one snapshot at its start and uses no other.

    `others` are views of the models that running experiments compare with the live one, by
    version. `audiences` are those of pins, by their places in `pins`; a pin without one is for
    everybody. `boosts` are those of `editorial` by row. `titles` is for the desk. `counters_at`
    names the worker's delta the signals hold; `taken_at`, `indexed_at` and `signals_at` are epoch
    seconds.
    """

    view: RankingView
    others: Mapping[str, RankingView]
    signals: LiveSignals
    index: LiveIndex
    trending: TrendingState
    pins: tuple[Pin, ...]
    audiences: Mapping[int, Audience]
    editorial: Editorial
    boosts: BoostedRows
    titles: TitleIndex
    ranking: SettingsInForce
    experiments: tuple[Experiment, ...]
    counters_at: str
    signals_at: float
    indexed_at: float
    taken_at: float

    @property
    def model_version(self) -> str:
        """Version of the live model."""
        return self.view.bundle.version

    @property
    def live_articles(self) -> int:
        """How many articles can be shown."""
        return len(self.index.newest)

    def with_ranking(self, config: RankingConfig) -> LiveSnapshot:
        """Return the same snapshot with other ranking settings, for a preview."""
        return replace(self, ranking=replace(self.ranking, config=config))

    def knows(self, article_id: str) -> bool:
        """Return whether there was an article of this id when the snapshot was taken."""
        pool = self.view.pool
        row = pool.ids.row(article_id)
        return 0 <= row < pool.size and bool(pool.first_seen_at[row] > 0)


def rest_after(used_s: float, poll_s: float) -> float:
    """Return how long the thread rests after a refresh, seconds.

    Args:
        used_s: what the refresh took of a processor, seconds.
        poll_s: seconds between two checks if those cost nothing.
    """
    return max(poll_s, min(RESTS * used_s, LONGEST_REST_S))


class SnapshotKeeper:
    """Keeps the snapshot up to date, in a thread of its own or on demand.

    Requests take `current()`, one attribute; a new snapshot replaces it by one assignment.

    Attributes:
        store: from which everything is read.
        card_cache: articles ready to be sent, kept in step with the catalogue.
        alongside: called at every refresh, to update something else from the store.
    """

    def __init__(
        self,
        settings: Settings,
        store: RedisStore,
        card_cache: CardCache,
        clock: Callable[[], float],
    ) -> None:
        ids = IdMap()
        self._poll_s = settings.poll_seconds
        self._base = settings.ranking
        self.store = store
        self.card_cache = card_cache
        self.alongside: Callable[[], None] = lambda: None
        self._clock = clock
        self._catalogue = CatalogueFollower(
            store,
            ids,
            read_aliases(settings.section_aliases),
            TwinFinder(read_tracking_parameters(settings.tracking_parameters)),
        )
        self._signals = SignalsFollower(store, ids)
        self._model = ModelFollower(ModelRegistry(settings.data_dir / "models", follows=True))
        self._trending = TrendingState()
        self._trending_bytes: bytes | None = None
        self._trending_pool: ArticlePool | None = None
        self._current: LiveSnapshot | None = None
        self._is_outdated = False
        self._warmed: ArticlePool | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def current(self) -> LiveSnapshot | None:
        """Return the latest snapshot, None before the first."""
        return None if self._is_outdated else self._current

    def outdate(self) -> None:
        """Let nothing be served before the next refresh: what was read may be days old by now."""
        self._is_outdated = True

    @property
    def refused_model(self) -> str:
        """The version that is marked as live, if it could not be loaded; else empty."""
        return self._model.refused

    def refresh(self) -> LiveSnapshot:
        """Bring the snapshot up to date now and return it.

        Raises:
            StoreUnavailableError: the store does not answer; the old snapshot stays.
        """
        with self._lock:
            started = time.perf_counter()
            self.alongside()
            self._catalogue.follow(self._clock())
            self._catalogue.hand_over_titles(self.card_cache.learn_titles)
            self._signals.follow()
            self._model.follow()
            self._follow_trending()
            snapshot = self._assemble()
            if self._current is None:
                self._warm(
                    snapshot
                )  # without cached cards, a store that goes away means empty feeds
            self._current, self._is_outdated = snapshot, False
            SNAPSHOT_SECONDS.observe(time.perf_counter() - started)
            SNAPSHOT_AT.set(snapshot.taken_at)
            LIVE_ARTICLES.set(snapshot.live_articles)
        if self._warmed is not snapshot.view.pool:
            self._warm(snapshot)
        return snapshot

    def catch_up(self) -> None:
        """Refresh after a write of this process; if the store fails, the thread tries again."""
        try:
            self.refresh()
        except StoreUnavailableError:
            self.wake()

    def wake(self) -> None:
        """Make the thread refresh at once."""
        self._wake.set()

    def start(self) -> None:
        """Start the thread; call it in the process that serves, after any fork."""
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            begun = time.thread_time()
            try:
                self.refresh()
            except StoreUnavailableError as error:
                STORE_FAILURES.inc()
                log.warning("snapshot_not_refreshed", reason=str(error))
            except FeedError:
                log.exception("snapshot_not_refreshed")
            except Exception:  # the thread must survive any error; the old snapshot stays in use
                log.exception("snapshot_failed")
            self._wake.wait(rest_after(time.thread_time() - begun, self._poll_s))
            self._wake.clear()

    def _follow_trending(self) -> None:
        data, pool = self.store.read_blob(TRENDING_BLOB), self._catalogue.pool
        is_same = self._trending_pool is pool and self._trending_bytes == data
        if data is not None and not is_same:
            self._trending = TrendingState.from_bytes(data, pool.ids)
            self._trending_bytes, self._trending_pool = data, pool

    def _assemble(self) -> LiveSnapshot:
        """Return a snapshot of what the followers hold now, reusing parts of the old one.

        A part is reused if it was built from the very objects that the followers hold. Flags set
        by the followers would not do: the refresh that saw a change may have failed later.
        """
        now = self._clock()
        old = self._current
        experiments = running_experiments(parse_experiments(self.store.read_experiments()).values())
        pool, signals, bundle = self._catalogue.pool, self._signals.signals, self._model.bundle
        if old is None or old.view.pool is not pool or old.view.bundle is not bundle:
            view = build_view(pool, bundle, old.view if old else None)
        else:
            view = old.view
        is_same = old is not None and old.index.pool is pool and old.signals is signals
        if old is None or not is_same or now - old.indexed_at > INDEX_MAX_AGE_S:
            index = build_index(pool, signals.counters, now, old.index if old else None)
            indexed_at = now
        else:
            index, indexed_at = old.index, old.indexed_at
        editorial = editorial_from_store(self.store.read_editorial())
        view.pack(index.searched)  # now, so that the first request need not
        pins = tuple(present_pins(self.store, now)[0])
        return LiveSnapshot(
            view=view,
            others=self._other_views(experiments, view, old),
            signals=signals,
            index=index,
            trending=self._trending,
            pins=pins,
            audiences=audiences_of(pins),
            editorial=editorial,
            boosts=build_boosted_rows(editorial.boosts.values(), pool),
            titles=self._catalogue.titles,
            ranking=self._settings_in_force(editorial, old),
            experiments=experiments,
            counters_at=self._signals.delta_id,
            signals_at=self._signals.at,
            indexed_at=indexed_at,
            taken_at=now,
        )

    def _settings_in_force(self, editorial: Editorial, old: LiveSnapshot | None) -> SettingsInForce:
        if old is not None and old.editorial.ranking == editorial.ranking:
            return old.ranking
        found = put_in_force(self._base, editorial.ranking)
        for name, rule in found.faults.items():
            log.warning("setting_not_in_force", setting=name, reason=rule)
        return found

    def _other_views(
        self, experiments: tuple[Experiment, ...], view: RankingView, old: LiveSnapshot | None
    ) -> dict[str, RankingView]:
        wanted = {v.model_version for e in experiments for v in e.variants if v.model_version}
        bundles = self._model.versions(frozenset(wanted))
        before = old.others if old else {}
        views = {}
        for version, bundle in bundles.items():
            kept = before.get(version)
            same = kept is not None and kept.pool is view.pool and kept.bundle is bundle
            views[version] = kept if kept and same else build_view(view.pool, bundle, kept)
        return views

    def _warm(self, snapshot: LiveSnapshot) -> None:
        """Cache the newest, most read and least shown cards, in case the store goes away."""
        index = snapshot.index
        rows = [index.newest[:WARM_NEWEST], index.underexposed]
        rows += [order[:WARM_POPULAR] for order in index.popular]
        ids = snapshot.view.pool.ids.ids
        wanted = [ids[row] for row in np.unique(np.concatenate(rows)).tolist()]
        try:
            self.card_cache.sync()
            for start in range(0, len(wanted), 100):
                self.card_cache.take(wanted[start : start + 100])
            self._warmed = snapshot.view.pool
        except StoreUnavailableError as error:  # the next refresh tries again
            log.warning("cards_not_warmed", reason=str(error))
