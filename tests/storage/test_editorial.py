"""The newsroom's decisions in the store."""

from __future__ import annotations

import pytest

from feed.domain import ConflictError, NotFoundError
from feed.editorial.boosts import Boost
from feed.editorial.editorial import editorial_from_store
from feed.storage.records import AuditEntry
from feed.storage.redis_store import RedisStore

BOOST = Boost(article_id="a1", factor=2.0, starts_at=1.0, ends_at=9.0, author="ed")


def entry(action: str) -> AuditEntry:
    return AuditEntry(5.0, "ed", action, "articles/a1", None, {"factor": 2.0})


def test_a_decision_is_read_with_its_version_and_its_audit_entry(store: RedisStore) -> None:
    assert store.read_editorial() == {}
    boosted = entry("boosted")
    store.write_editorial("boosts", [BOOST.to_json()], version=1, entry=boosted)
    editorial = editorial_from_store(store.read_editorial())
    assert (editorial.boosts, editorial.versions) == ({"a1": BOOST}, {"boosts": 1})
    assert store.find_audit(boosted.id) == boosted
    assert store.read_audit(5)[0].id == boosted.id


def test_of_two_writers_the_second_is_refused_and_leaves_nothing(store: RedisStore) -> None:
    store.write_editorial("boosts", [BOOST.to_json()], version=1, entry=entry("boosted"))
    with pytest.raises(ConflictError, match="changed meanwhile"):
        store.write_editorial("boosts", [], version=1, entry=entry("unboosted"))
    assert len(store.read_editorial()["boosts"][1]) == 1
    assert [e.action for e in store.read_audit(5)] == ["boosted"]


def test_an_entry_without_a_change_is_kept_and_found(store: RedisStore) -> None:
    look = AuditEntry(5.0, "boss", "looked at", "readers/r1")
    store.append_audit(look)
    assert store.find_audit(look.id) == look
    with pytest.raises(NotFoundError):
        store.find_audit("0" * 16)
    with pytest.raises(NotFoundError):
        store.find_audit("")
