"""Data directories of several machines on one object store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lab.faults.object_server import ObjectServer
from object_proxy import ObjectProxy, proxied

from feed.config import Settings
from feed.storage.working_copy import object_place, prepare_data_dir


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """An S3 server for the whole test session."""
    with ObjectServer.running() as server:
        yield server


@pytest.fixture
def object_url(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A prefix in a new bucket; the environment has the address and the credentials."""
    for name, value in object_server.environment(object_server.port).items():
        monkeypatch.setenv(name, value)
    object_place.cache_clear()
    yield object_server.new_url()
    object_place.cache_clear()


@pytest.fixture
def two_machines(object_url: str, tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Return the directories of one part on two machines."""

    def prepare(part: str) -> tuple[Path, Path]:
        for name in ("one", "other"):
            prepare_data_dir(replace(Settings(), data_dir=tmp_path / name, data_url=object_url))
        return tmp_path / "one" / part, tmp_path / "other" / part

    return prepare


@pytest.fixture
def shaky_machines(
    object_server: ObjectServer, object_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[ObjectProxy, Path, Path]]]:
    """Return a proxy before the server, and the directories of one part on two machines."""
    with proxied(object_server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        object_place.cache_clear()

        def prepare(part: str) -> tuple[ObjectProxy, Path, Path]:
            for name in ("one", "other"):
                prepare_data_dir(replace(Settings(), data_dir=tmp_path / name, data_url=object_url))
            return proxy, tmp_path / "one" / part, tmp_path / "other" / part

        yield prepare
