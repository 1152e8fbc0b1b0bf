"""`feed keys`, `feed tokens` and `feed routes`, on a real store."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from feed.cli import feed
from feed.config import Settings
from feed.service.api_keys import hash_key, parse_keys
from feed.service.reader_tokens import ReaderTokens
from feed.storage.redis_store import RedisStore


@pytest.fixture
def run(store: RedisStore, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FEED_REDIS_URL", store_url)
    monkeypatch.setenv("FEED_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(feed, arguments)

    return invoke


def test_a_key_is_made_with_the_entry_that_accepts_it(run: Any) -> None:
    lines = run("keys", "make", "metrics", "--name", "prometheus").output.splitlines()
    key, entry = (line.split()[1] for line in lines)
    assert entry == f"prometheus:metrics:{hash_key(key)}"
    assert parse_keys(entry)[0].name == "prometheus"


def test_a_key_is_added_listed_and_revoked(run: Any, store: RedisStore) -> None:
    key = run("keys", "add", "app", "read").output.split()[1]
    assert [k.digest for k in store.read_keys()] == [hash_key(key)]
    listed = run("keys", "list").output
    assert re.search(r"app\s+│ read\s+│ store", listed)
    assert key not in listed
    assert run("keys", "revoke", "app").exit_code == 0
    assert store.read_keys() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("keys", "add", "two words", "read"), "name"),
        (("keys", "revoke", "nothing"), "nothing"),
        (("keys", "make", "read", "--name", "a b"), "--name"),
        (("tokens", "mint", "two words"), "USER_ID"),
        (("keys", "list", "--data", "/nowhere"), "--data"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    run: Any, arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    assert words in result.output


def test_a_token_is_minted_with_the_shared_secret_or_the_installation_s(
    run: Any, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = run("tokens", "mint", "reader", "--minutes", "5").output.strip()
    secret = store.secret("reader-tokens")
    now = 0.0  # long before it expires
    assert ReaderTokens(Settings(), lambda: secret).verify(own, now).user_id == "reader"
    shared = "a-shared-secret-of-at-least-32-bytes"
    monkeypatch.setenv("FEED_TOKEN_SECRET", shared)
    minted = run("tokens", "mint", "reader").output.strip()
    settings = replace(Settings(), token_secret=shared)
    assert ReaderTokens(settings, bytes).verify(minted, now).user_id == "reader"


def test_routes_are_listed_with_who_may_call_them(run: Any) -> None:
    listed = run("routes").output
    assert re.search(r"GET /v1/feed\s+│\s+│\s+│ own\s+│ yes", listed)
