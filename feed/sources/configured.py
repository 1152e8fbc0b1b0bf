"""The sources that the settings name."""

from __future__ import annotations

from pathlib import Path

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.ingest.fetching import fetch_document
from feed.ingest.urls import is_web_address
from feed.sources.outlines import read_list
from feed.sources.reach import AllowedHosts
from feed.sources.subscription import FEED_SCHEMES, Source, read_address
from feed.storage.key_names import SOURCES_MAX

SETTING = "FEED_SOURCES"


def configured_sources(setting: str) -> list[Source]:
    """Return the sources that `FEED_SOURCES` names: addresses, and files that hold lists.

    Raises:
        InvalidInputError: an entry is neither an address nor a readable list.
    """
    found: dict[str, Source] = {}
    for entry in setting.replace(",", " ").split():
        for source in _read_entry(entry):
            found.setdefault(source.source_id, source)
    if len(found) > SOURCES_MAX:
        raise InvalidInputError(SETTING, f"names more than {SOURCES_MAX} sources")
    return list(found.values())


def check_source_settings(settings: Settings) -> None:
    """Refuse settings of sources that can't be read.

    Raises:
        InvalidInputError: names the setting and the rule.
    """
    configured_sources(settings.sources)
    AllowedHosts(settings.source_networks)


def _read_entry(entry: str) -> list[Source]:
    if is_web_address(entry) or entry.lower().startswith(FEED_SCHEMES):
        return [Source(address=read_address(entry, SETTING))]
    if not Path(entry).is_file():
        raise InvalidInputError(SETTING, f"{entry} is neither an address nor a file")
    try:
        return read_list(fetch_document(entry).content)
    except InvalidInputError as error:
        raise InvalidInputError(SETTING, f"{entry}: {error}") from None
