"""`feed limits` on a real store and archive."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from feed.cli import feed
from feed.config import Settings
from feed.storage.records import AuditEntry
from feed.storage.redis_store import RedisStore

LIMIT = {"rule": "at_least", "of": "section", "value": "Local", "count": 1, "within": 10}


@pytest.fixture
def data(store: RedisStore, store_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEED_REDIS_URL", store_settings.redis_url)
    monkeypatch.setenv("FEED_DATA_DIR", str(store_settings.data_dir))
    entry = AuditEntry(5.0, "ed", "changed", "limits")
    store.write_editorial("limits", [LIMIT], version=1, entry=entry)
    return store_settings.data_dir


def test_the_limits_that_hold_are_shown(data: Path) -> None:
    del data
    result = CliRunner().invoke(feed, ["limits", "show"])
    assert result.output == "At least 1 of the first 10 articles is of the section Local\n"


def test_a_price_without_clicks_says_what_is_missing(data: Path) -> None:
    del data
    result = CliRunner().invoke(feed, ["limits", "price"])
    assert result.exit_code == 0, result.output
    assert "The last 24 hours hold 0 front pages with a click" in result.output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nonsense", "must be a JSON object whose `limits`"),
        (orjson.dumps({"limits": [LIMIT | {"count": 11}]}), "limits.0.count: must be 1 to 10"),
    ],
)
def test_a_file_of_limits_that_is_none_is_refused(
    data: Path, tmp_path: Path, content: bytes, words: str
) -> None:
    del data
    path = tmp_path / "limits.json"
    path.write_bytes(content)
    result = CliRunner().invoke(feed, ["limits", "price", "--limits", str(path)])
    assert result.exit_code != 0
    assert words in " ".join(result.output.split())
