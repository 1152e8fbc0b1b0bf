"""A log for a process that hardly ever has anything to say."""

from __future__ import annotations

import importlib
from typing import Any

from feed.config import Settings


class LateLog:
    """Writes what other processes write with structlog, which is imported for the first line.

    With all that it brings, that takes 12 MB, and nearly always there is no line to write.

    Args:
        settings: say how much is written.
        name: of the log.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._logger: Any = None

    def warning(self, event: str, **facts: object) -> None:
        """Write that something went wrong which is put right."""
        self._ready().warning(event, **facts)

    def error(self, event: str, **facts: object) -> None:
        """Write that something went wrong which people should know of."""
        self._ready().error(event, **facts)

    def exception(self, event: str, **facts: object) -> None:
        """Write the same with the error that is being handled."""
        self._ready().exception(event, **facts)

    def _ready(self) -> Any:
        if self._logger is None:
            importlib.import_module("feed.service.logs").configure_logging(self._settings)
            self._logger = importlib.import_module("structlog").get_logger(self._name)
        return self._logger
