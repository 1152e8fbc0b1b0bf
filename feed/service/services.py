"""Everything that the routes use, built once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from flask import current_app, g

from feed.catalogue.article_service import ArticleService
from feed.catalogue.decisions import Editor
from feed.config import RankingConfig, Settings
from feed.domain import StoreUnavailableError
from feed.models.known_models import KnownModels, read_known_models
from feed.models.registry import ModelRegistry
from feed.service.access import AccessControl
from feed.service.addresses import TrustedProxies
from feed.service.admission import AdmissionQueue
from feed.service.cards import CardCache
from feed.service.cors import CrossOrigin
from feed.service.desk.provider import IdentityProvider
from feed.service.desk.visitors import DeskSessions
from feed.service.drift import DriftDesk
from feed.service.feed_service import FeedService
from feed.service.front_page_desk import FrontPageDesk
from feed.service.networks import NetworkNames
from feed.service.plans import PlanDesk
from feed.service.previews import PreviewDesk
from feed.service.pulse import Pulse
from feed.service.pulse_day import PulseDay
from feed.service.request_traces import RequestTraces
from feed.service.snapshot import LiveSnapshot, SnapshotKeeper
from feed.service.status_report import StatusDesk
from feed.sources.directory import SourceDirectory
from feed.storage.redis_store import RedisStore


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one web process. `clock` gives epoch seconds."""

    settings: Settings
    store: RedisStore
    keeper: SnapshotKeeper
    card_cache: CardCache
    feeds: FeedService
    sources: SourceDirectory
    articles: ArticleService
    access: AccessControl
    proxies: TrustedProxies
    networks: NetworkNames
    cross_origin: CrossOrigin
    admission: AdmissionQueue
    plans: PlanDesk
    front_page: FrontPageDesk
    pulse: Pulse
    pulse_day: PulseDay
    status: StatusDesk
    traces: RequestTraces | None
    desk: DeskSessions
    previews: PreviewDesk
    drift: DriftDesk
    provider: IdentityProvider
    clock: Callable[[], float]

    @property
    def models_dir(self) -> Path:
        """Where the models and the training runs are."""
        return self.settings.data_dir / "models"

    @property
    def registry(self) -> ModelRegistry:
        """The published models themselves: it waits for an object store, and makes them live."""
        return ModelRegistry(self.models_dir)

    @property
    def known_models(self) -> KnownModels:
        """The published models as this machine knows them.

        Raises:
            DataPlaceError: they are in an object store that has not answered yet.
        """
        return read_known_models(self.models_dir, self.clock())

    @property
    def snapshot(self) -> LiveSnapshot:
        """The present snapshot.

        Raises:
            StoreUnavailableError: there is none yet.
        """
        snapshot = self.keeper.current()
        if snapshot is None:
            raise StoreUnavailableError("no snapshot yet")
        return snapshot

    @property
    def ranking(self) -> RankingConfig:
        """The ranking settings in force; those of the environment before the first snapshot."""
        snapshot = self.keeper.current()
        return self.settings.ranking if snapshot is None else snapshot.ranking.config

    @property
    def settings_in_force(self) -> Settings:
        """The installation's settings, with the newsroom's changes of the ranking."""
        return replace(self.settings, ranking=self.ranking)


def current_services() -> Services:
    """Return the parts of the app that serves the present request."""
    services: Services = current_app.extensions["feed"]
    return services


def present_editor() -> Editor:
    """Return who calls the present route of the API, for the audit log."""
    return Editor(g.principal.signature, current_services().clock())
