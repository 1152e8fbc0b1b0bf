"""Fixtures every room uses: a real store, started once and emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from feed_server import FeedServer
from object_installations import object_server, object_url, shaky_machines, two_machines

from feed.config import Settings
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore

__all__ = ["object_server", "object_url", "shaky_machines", "two_machines"]


@pytest.fixture(scope="session", autouse=True)
def _quiet_logs() -> None:
    """Render log lines and drop them: structlog's own default draws every traceback in colour."""
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.ReturnLoggerFactory(),
    )


@pytest.fixture(scope="session")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """One embedded server for the whole test session."""
    with EmbeddedStore(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture(scope="session")
def store_url(embedded_store: EmbeddedStore) -> str:
    """The unix socket address of the session's store; use `store` too if you need it empty."""
    return embedded_store.url


@pytest.fixture
def store_settings(store_url: str, tmp_path: Path) -> Settings:
    """Settings of an installation on the session's store with its own data directory."""
    return replace(Settings(), redis_url=store_url, data_dir=tmp_path, store_timeout_ms=2000)


@pytest.fixture
def store(store_settings: Settings) -> Iterator[RedisStore]:
    """A RedisStore on the emptied session's store."""
    opened = RedisStore(store_settings)
    opened._link.every_node("FLUSHALL")
    yield opened
    opened.close()


@pytest.fixture
def server() -> Iterator[FeedServer]:
    """A loopback server of feeds."""
    with FeedServer.running() as running:
        yield running
