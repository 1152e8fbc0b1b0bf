"""Nothing in the store is unbounded: a simulated month, then every key is looked at."""

import fnmatch
import random
from dataclasses import replace

import numpy as np
import pytest
from slates import make_slots

from feed.domain import Article, Event, EventKind, Mode, Rung, ServedFeed
from feed.preferences import Preferences
from feed.storage.encoding_part import EncodingProgress
from feed.storage.key_names import KEY_TABLE, KeySpec
from feed.storage.pulse_series import COUNTS, GAUGES
from feed.storage.records import AuditEntry, StoredArticle, StoredKey
from feed.worker.loop import Worker

NOW = 1_780_000_000.0
DAY = 86_400.0
DAYS = 30
EVENTS_A_DAY = 10 * 51
LENGTHS = {"list": "LLEN", "zset": "ZCARD", "set": "SCARD", "hash": "HLEN", "stream": "XLEN"}


def spec_of(key: str, namespace: str) -> KeySpec | None:
    name = key.replace(namespace, "NS", 1)
    for spec in KEY_TABLE:
        pattern = spec.pattern.replace("P}", "[0-9]*}")
        if fnmatch.fnmatchcase(name, pattern):
            return spec
    return None


@pytest.fixture
def used_store(store_settings, store):
    """A store after a month of two busy readers, many others, and a worker."""
    chance = random.Random(3)
    worker = Worker(store, replace(store_settings, archive_events=5000), "worker")
    numbers = iter(range(1_000_000))
    for day in range(DAYS):
        at = NOW + day * DAY
        store.write_articles([an_article(f"d{day}-{n}", at) for n in range(40)])
        for user_id in ("busy", "busier", *(f"u{chance.randrange(200)}" for _ in range(8))):
            store.append_events(
                [an_event(next(numbers), user_id, day, at, chance) for _ in range(50)]
            )
            store.save_served(a_feed(f"r{next(numbers)}", user_id, at), new_slate=True)
        store.write_preferences("busy", Preferences(followed_sections=("sport",)))
        store.count_hit("address", 60, 0.0)
        if day % 5 == 4:
            worker.tick(at)
    store.write_preferences("busy", Preferences(followed_sections=("sport",)))
    store.write_attributes("busy", {"subscriber": "yes"})
    store.merge_reader("busier", "busy", NOW + DAYS * DAY)
    store.append_events([an_event(next(numbers), "busier", 1, at, chance)])
    store.hold_events([replace(an_event(0, "busy", 1, at, chance), article_id="never")])
    store.secret("cursor")
    store.acquire_lease("watch", "worker", 60.0)
    done = AuditEntry(NOW, "desk", "added", "keys/desk")
    store.add_key(StoredKey("desk", "read", "0" * 64, NOW), done)
    store.write_key_uses({"desk": NOW})
    store.add_sources({"paper": {"address": "https://paper.example/feed"}})
    store.write_source_state("paper", {})
    store.write_watched("e", {})
    store.end_session("s", 3600, AuditEntry(NOW, "desk", "signed out", "desk"))
    store.daily_salt(20_000)
    store.add_pulse(int(NOW), dict.fromkeys(COUNTS, 1), dict.fromkeys(GAUGES, 1.0))
    store.erase_article("d1-1", done)
    store.write_articles([replace(an_article("waiting", NOW), encoder="")])
    first = an_article("anew", NOW)
    store.write_articles([first])
    store.write_articles([replace(first, encoder="f")], anew=[True])
    store.write_encoding(EncodingProgress("f", NOW, NOW, 1, 1))
    store.write_pins([], "", done)
    decided = AuditEntry(NOW, "e", "decided", "editorial")
    store.write_editorial("boosts", [], version=1, entry=decided)
    store.write_experiment(
        "e", {}, version=1, entry=AuditEntry(NOW, "desk", "created", "experiments/e")
    )
    return store


def an_article(article_id, at):
    article = Article(article_id=article_id, title="T", published_at=at)
    return StoredArticle(article, np.ones(4, np.float32) / 2, "e", "h", at)


def an_event(number, user_id, day, at, chance):
    return Event(
        event_id=f"e{number}",
        user_id=user_id,
        article_id=f"d{day}-{number % 400}",
        kind=chance.choice(list(EventKind)),
        occurred_at=at + number % 60,
        received_at=at,
    )


def a_feed(request_id, user_id, at):
    return ServedFeed(
        request_id=request_id,
        user_id=user_id,
        served_at=at,
        mode=Mode.LATEST,
        rung=Rung.LATEST,
        personalized=False,
        model_version="",
        experiments={},
        slots=make_slots([]),
        shown_from=0,
        shown_to=0,
    )


def all_keys(store):
    (reply,) = store._link.every_node("KEYS", "*")
    return sorted(key.decode() for key in reply)


def test_every_key_is_in_the_table_within_its_bound_and_with_its_ttl(used_store, store_settings):
    found = set()
    for key in all_keys(used_store):
        spec = spec_of(key, store_settings.namespace)
        assert spec is not None, f"{key} is not in the table"
        found.add(spec.pattern)
        kind = used_store._link.call(key, "TYPE", key).decode()
        assert kind == spec.type, key
        ttl = used_store._link.call(key, "TTL", key)
        assert (ttl > 0) == bool(spec.ttl), f"{key} has the TTL {ttl}"
        if spec.bound is not None:
            assert used_store._link.call(key, LENGTHS[kind], key) <= spec.bound, key
    assert found == {spec.pattern for spec in KEY_TABLE}
    assert sum(used_store.stream_lengths()) <= 6 * EVENTS_A_DAY
    seen_days = {key.rsplit(":", 1)[1] for key in all_keys(used_store) if ":seen:" in key}
    assert len(seen_days) == DAYS  # in a month of real days each would have gone after two


def test_the_catalogue_is_swept(store, store_settings):
    store.write_articles([an_article(f"d{day}", NOW + day * DAY) for day in range(DAYS)])
    worker = Worker(store, replace(store_settings, article_days=10), "sweeper")
    worker.tick(NOW + 29 * DAY)
    left = {stored.article.article_id for stored in store.scan_articles()}
    assert left == {f"d{day}" for day in range(19, DAYS)}
