"""Networks by name: what is kept of an address, where it goes, and what it decides."""

from contextlib import closing
from dataclasses import replace

import orjson
import pytest
from reader_tokens import bearer

from feed.domain import Event, EventKind, Origin, format_time
from feed.features.ids import IdMap
from feed.features.trend_tests import TrendTests
from feed.features.trending import TrendingState
from feed.service.api_keys import hash_key
from feed.service.networks import NetworkNames, network_of
from feed.service.telemetry import Stopwatch
from feed.storage.archive import Archive
from feed.storage.event_codec import archived_fields
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker

DAY = 86_400.0

WRITE = f"write:{hash_key('w')}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:1:2::1", "2001:db8:1:ffff::9", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("::ffff:192.0.2.7", "192.0.2.9", True),
        ("::ffff:192.0.2.7", "::ffff:192.0.9.7", False),
        ("no address", "", True),
    ],
)
def test_a_network_is_the_prefix_of_an_address(one, other, same):
    assert (network_of(one) == network_of(other)) is same


def test_all_processes_give_one_name_a_day_and_the_next_day_another(store, clock):
    names, others = NetworkNames(store, clock), NetworkNames(store, clock)
    today = names.name_of("192.0.2.1")
    assert len(bytes.fromhex(today)) == 8
    assert others.name_of("192.0.2.99") == today == names.name_of("192.0.2.1")
    assert names.name_of("192.0.3.1") != today
    clock.now += DAY
    assert names.name_of("192.0.2.1") == others.name_of("192.0.2.1") != today


def test_the_salt_is_gone_after_a_day_and_with_it_what_the_names_meant(store, clock):
    names = NetworkNames(store, clock)
    before = names.name_of("192.0.2.1")
    (key,) = store._link.every_node("KEYS", "*:salt:*")[0]
    assert 0 < store._link.call(key.decode(), "TTL", key) <= DAY
    store._link.call(key.decode(), "DEL", key)  # as a day would
    assert NetworkNames(store, clock).name_of("192.0.2.1") != before


def test_a_store_that_is_away_stops_no_event(store_settings, clock):
    away = replace(store_settings, redis_url="unix:///nowhere.sock", store_timeout_ms=100)
    with closing(RedisStore(away)) as store:
        names = NetworkNames(store, clock)
        assert names.name_of("192.0.2.1") == names.name_of("192.0.2.2")
        assert names.name_of("192.0.2.1") != names.name_of("192.0.3.2")


def send(site, article_id, readers, network, *, is_fresh=True, kind="click", **fields):
    """Send an event of each of some readers, as their own devices would from one network."""
    events = [
        {"event_id": f"{r}-{article_id}-{kind}", "user_id": r, "article_id": article_id,
         "kind": kind, **fields}
        for r in readers
    ]  # fmt: skip
    origin = network and Origin(network, is_fresh)
    for start in range(0, len(events), 500):
        body = orjson.dumps({"events": events[start : start + 500]})
        answer = site.services.feeds.record_events(body, Stopwatch(), origin=origin)
        assert answer["accepted"] == len(events[start : start + 500])


def labelled(site):
    ids = IdMap()
    state = TrendingState.from_bytes(site.store.read_blob("trending"), ids)
    return {entry.article_id: entry.readers for entry in state.entries if entry.labelled}


def watch_label(site, seconds=60, step=5):
    """Let the worker work for a while; return what was labelled at any time."""
    ever = {}
    for _ in range(0, seconds, step):
        site.clock.now += step
        site.work()
        ever |= labelled(site)
    return ever


@pytest.mark.parametrize("is_fresh", [True, False])
def test_through_the_whole_stack_a_rush_is_labelled_and_bought_readers_are_not(site, is_fresh):
    site.publish(30)
    names = site.services.networks
    few = [names.name_of(f"198.51.100.{n}") for n in range(200)]
    few += [names.name_of(f"203.0.{n}.1") for n in range(9)]
    assert len(set(few)) == 10
    many = [names.name_of(f"10.{n}.0.1") for n in range(40)]
    for number, network in enumerate(few[-10:]):
        bought = [f"x{number}-{reader}" for reader in range(100)]
        send(site, "a1", bought, network, is_fresh=is_fresh)
    for number, network in enumerate(many):
        send(site, "a2", [f"r{number}", f"s{number}"][: 1 + number % 2], network)
    site.work()
    found = watch_label(site)
    assert set(found) == {"a2"}
    assert 30 < found["a2"] <= 45
    signals = site.worker.publisher.signals
    assert signals.counters.readers(signals.ids.rows(["a1"]))[0] == 1000


def test_the_desk_says_of_an_unlisted_article_what_the_judgement_counted(site):
    site.publish(30)
    flood = site.services.networks.name_of("198.51.100.1")
    send(site, "a1", [f"x{n}" for n in range(100)], flood)
    site.work()
    site.clock.now += 10
    site.work()
    page = " ".join(site.client.get("/desk/articles/a1").text.split())
    tests = TrendTests.from_bytes(site.store.read_blob("trend_tests"))
    test, publisher = tests.of("a1"), site.worker.publisher
    rows = publisher.signals.ids.rows(["a1"])
    came = publisher.signals.counters.clicks(rows, tests.at)[0, 0]
    withheld = site.worker.judge.bound.withheld(rows, tests.at)[0, 0]
    assert withheld > 90
    assert (test.came, test.readers) == (pytest.approx(came), pytest.approx(came - withheld))
    assert f"About {round(withheld)} further readers did not count" in page
    assert "It does not trend: at least 10 readers are needed" in page
    assert test.readers < 10


def test_trusted_callers_are_not_bounded_and_wait_for_nothing(site):
    site.publish(30)
    send(site, "a3", [f"r{n}" for n in range(100)], None)
    site.clock.now += 2
    site.work()
    assert labelled(site)["a3"] > 99


def test_a_worker_that_takes_over_goes_on_with_the_bound(site):
    site.publish(30)
    flood = site.services.networks.name_of("198.51.100.1")
    site.work()
    for start in range(0, 60, 20):
        send(site, "a1", [f"x{n}" for n in range(start, start + 20)], flood)
        site.work()
    site.store.leave_workers(site.worker._owner)  # it was killed: no last checkpoint
    heir = Worker(site.store, site.settings, "heir")
    while heir.tick(site.clock.now).counted:
        pass
    dead, own = site.worker.judge, heir.judge
    rows = [one.publisher.signals.ids.rows(["a1"]) for one in (site.worker, heir)]
    figures = [
        p.bound.withheld(r, site.clock.now)[0].tolist()
        for p, r in zip((dead, own), rows, strict=True)
    ]
    assert figures[0] == pytest.approx(figures[1])
    assert figures[1][0] == pytest.approx(60)
    heir.stop(site.clock.now)
    third = Worker(site.store, site.settings, "third")
    third.tick(site.clock.now)
    row = third.publisher.signals.ids.rows(["a1"])
    assert third.judge.bound.withheld(row, site.clock.now)[0] == pytest.approx(figures[1])


def everything_under(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_no_name_of_a_network_is_archived_rejected_or_exported(site):
    site.publish(5)
    network = site.services.networks.name_of("198.51.100.1")
    send(site, "a1", ["reader"], network)
    send(site, "a1", ["reader"], network, kind="read", dwell_s=10.0)
    poison = Event(
        event_id="poison",
        user_id="reader",
        article_id="a2",
        kind=EventKind.CLICK,
        occurred_at=site.clock.now,
        received_at=site.clock.now,
        position=10**15,
    )
    site.store.append_events([poison], Origin(network, is_fresh=True))
    records = [
        record.payload
        for partition in range(site.store.partitions)
        for record in site.store.read_stream(partition, "0-0", 10)
    ]
    named = [payload for payload in records if network.encode() in payload]
    assert len(named) == 2  # clicks alone carry it
    assert {orjson.loads(payload)["fresh"] for payload in named} == {True}
    site.work()
    archive = site.settings.data_dir / "archive"
    assert sorted(Archive(archive).event_columns(0, 1e11, ["event_id"])["event_id"]) == [
        "reader-a1-click",
        "reader-a1-read",
    ]
    files = everything_under(archive)
    assert any(b"poison" in data for path, data in files.items() if "rejected" in path.parts)
    assert not [path for path, data in files.items() if network.encode() in data]
    assert network not in str(site.store.export_reader("reader"))
    assert "198.51.100" not in str(records)


def test_only_our_own_first_field_is_taken_off():
    text = '{"event_id":"e","context":{"x":"{\\"network\\":\\"ab\\",\\"fresh\\":true,"}}'
    assert archived_fields(text.encode()) == text[:-1].encode()
    ours = '{"network":"ab","fresh":false,' + text[1:]
    assert archived_fields(ours.encode()) == text[:-1].encode()


def test_browsers_are_bounded_by_the_address_that_the_proxy_saw(make_site, settings):
    """The whole way: a token, the proxy's header, the stream, the worker, the label."""
    site = make_site(replace(settings, site_key="s", api_keys=WRITE, trusted_proxies="127.0.0.1"))
    articles = [
        {"article_id": f"a{n}", "title": "T", "published_at": format_time(site.clock.now - 60 * n)}
        for n in range(30)
    ]
    published = site.client.post("/v1/articles", json={"articles": articles}, headers=bearer("w"))
    assert published.status_code == 200
    for number in range(60):
        click(site, f"anon-{number}", f"198.51.100.{number}", "a1")
        click(site, f"anon-x{number}", f"10.{number}.0.1", "a2")
    site.work()
    assert set(watch_label(site)) == {"a2"}


def click(site, user_id, address, article_id):
    now = site.clock.now
    token = site.services.access.tokens.mint_anonymous(user_id, now, 60, since=now)
    event = {"event_id": f"{user_id}-{article_id}", "article_id": article_id, "kind": "click"}
    answer = site.client.post(
        "/v1/events",
        json={"events": [event]},
        headers={**bearer(token), "X-Forwarded-For": address},
    )
    assert answer.json["accepted"] == 1
