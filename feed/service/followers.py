"""Copies of the catalogue and of the live model that a web process keeps up to date.

`worker/publication.py` has the same for the signals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from feed.domain import BundleError, NotFoundError
from feed.features.ids import IdMap
from feed.features.pool import ArticlePool, PoolBuilder
from feed.features.stories import GROUPED_AT_A_TIME, GROUPED_AT_MOST, StoryFinder
from feed.features.twins import TwinFinder
from feed.models.bundle import ModelBundle, empty_bundle
from feed.models.registry import ModelRegistry
from feed.service.telemetry import BUNDLES_LOADED, BUNDLES_REFUSED
from feed.service.title_index import TitleIndex
from feed.storage.catalogue_part import CataloguePart
from feed.storage.records import ChangeBatch, StoredArticle

log = structlog.get_logger("feed.followers")

_NOTHING = empty_bundle()


class CatalogueFollower:
    """Keeps an article pool up to date from the change log; reads everything once at the start."""

    def __init__(
        self,
        store: CataloguePart,
        ids: IdMap,
        section_aliases: Mapping[str, str] | None = None,
        twins: TwinFinder | None = None,
    ) -> None:
        self._store = store
        stories = StoryFinder(GROUPED_AT_A_TIME, GROUPED_AT_MOST)
        self._builder = PoolBuilder(ids, section_aliases, twins, stories)
        self._position: str | None = None
        self._scanned: dict[str, str] = {}
        self.titles = TitleIndex()
        self.pool: ArticlePool = self._builder.snapshot()

    def follow(self, now: float = 0.0) -> None:
        """Read what has changed; replace `pool` if anything has.

        Args:
            now: epoch seconds, for articles that have expired and let a twin take their place.

        Raises:
            StoreUnavailableError: the store does not answer. What was read before is kept and is
                in the pool after the next call that succeeds.
        """
        if self._position is None:
            self._read_everything()
        while True:
            batch = self._changes()
            if batch.gap:
                self._read_everything()
                continue
            self._apply(batch)
            if not batch.changes:
                break
        if self._builder.has_news or self._builder.is_due(now):
            before, self.pool = self.pool.space, self._builder.snapshot(now)
            if before != self.pool.space:
                log.info("vectors_serve", encoder=self.pool.space, before=before)

    def hand_over_titles(self, receive: Callable[[Mapping[str, str], str], bool]) -> None:
        """Give away the titles that a reading of everything has found, once they are accepted.

        Args:
            receive: takes titles by article id and the position of the change log at which they
                are right; says whether it has taken them.
        """
        if self._scanned and self._position and receive(self._scanned, self._position):
            self._scanned = {}

    def _apply(self, batch: ChangeBatch) -> None:
        for change in batch.changes:
            self._scanned.pop(change.article_id, None)  # the caches follow the same changes
            if change.stored is None:
                self._remove(change.article_id)
            else:
                self._add(change.stored)
        self._position = batch.position

    def _add(self, stored: StoredArticle) -> None:
        row = self._builder.add(
            stored.article, stored.embedding, stored.added_at, stored.fresh_at, stored.encoder
        )
        self.titles.put(row, stored.article.title, stored.article.article_id)

    def _remove(self, article_id: str) -> None:
        self._builder.remove(article_id)
        self.titles.remove(self._builder.ids.row(article_id))

    def _changes(self) -> ChangeBatch:
        return self._store.changes_after(self._position or "0-0")

    def _read_everything(self) -> None:
        position = self._store.catalogue_position()
        before = self._builder.removable_ids()
        found = set()
        for earlier in self._store.earlier_vectors():
            self._builder.recall(earlier.article.article_id, earlier.embedding, earlier.encoder)
        self._scanned = {}
        for stored in self._store.scan_articles():
            self._add(stored)
            found.add(stored.article.article_id)
            if not stored.article.retracted:
                self._scanned[stored.article.article_id] = stored.article.title
        for article_id in before:
            if article_id not in found:
                self._remove(article_id)
        self._position = position


class ModelFollower:
    """Keeps the live model up to date; keeps the old one if the new one is damaged or foreign."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self.refused = ""
        """The live version, if it could not be loaded."""
        self._others: dict[str, ModelBundle] = {}
        self.bundle = _NOTHING

    def follow(self) -> bool:
        """Load the live version if it is another one; return whether the model changed."""
        version = self._registry.live_version()
        if version is None or version in {self.bundle.version, self.refused}:
            return False
        bundle = self._load(version)
        if bundle is None:
            self.refused = version
            return self.bundle.version == _NOTHING.version and self._fall_back()
        self.bundle, self.refused = bundle, ""
        return True

    def _fall_back(self) -> bool:
        """At the start, load the newest earlier model, which the running processes still use."""
        for version in reversed(self._registry.earlier()):
            bundle = self._load(version)
            if bundle is not None:
                self.bundle = bundle
                return True
        return False

    def versions(self, wanted: frozenset[str]) -> dict[str, ModelBundle]:
        """Return the published bundles that running experiments ask for, kept while they do."""
        wanted = wanted - {self.bundle.version}
        kept = {v: b for v, b in self._others.items() if v in wanted}
        for version in wanted - set(kept):
            bundle = self._load(version)
            if bundle is not None:
                kept[version] = bundle
        self._others = kept
        return kept

    def _load(self, version: str) -> ModelBundle | None:
        try:
            bundle = self._registry.load(version)
        except (BundleError, NotFoundError) as error:
            BUNDLES_REFUSED.inc()
            log.error("bundle_refused", version=version, reason=str(error))
            return None
        BUNDLES_LOADED.inc()
        log.info("bundle_loaded", version=version)
        return bundle
