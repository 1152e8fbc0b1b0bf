"""A node that does not answer is left alone, then tried by one caller."""

from dataclasses import replace

import pytest

from feed.domain import StoreUnavailableError
from feed.storage.breaker import FAILURES, Breaker
from feed.storage.redis_store import RedisStore


def broken(rest_s: float) -> Breaker:
    breaker = Breaker(rest_s)
    for _ in range(FAILURES):
        breaker.failed(100.0)
    return breaker


def test_one_failure_is_no_outage():
    breaker = Breaker(0.5)
    breaker.failed(100.0)
    assert breaker.admits(100.0)
    breaker.succeeded()
    breaker.failed(101.0)
    assert breaker.admits(101.0)


def test_after_a_rest_one_caller_may_try():
    breaker = broken(0.5)
    assert not breaker.admits(100.4)
    assert breaker.admits(100.6)
    assert not breaker.admits(100.7)
    breaker.succeeded()
    assert breaker.admits(100.7)


def test_without_a_rest_everybody_may_try():
    assert broken(0.0).admits(100.0)


def test_a_store_that_is_away_is_not_asked_again_at_once(store_settings, tmp_path):
    away = replace(store_settings, redis_url=f"unix://{tmp_path}/nobody.sock")
    store = RedisStore(away, rest_s=60.0)
    reasons = []
    for _ in range(FAILURES + 1):
        with pytest.raises(StoreUnavailableError) as caught:
            store.read_reader("reader")
        reasons.append(str(caught.value))
    assert ["left alone" in reason for reason in reasons] == [False] * FAILURES + [True]
    store.close()


def test_a_refusal_is_an_answer(store, store_settings):
    patient = RedisStore(store_settings, rest_s=60.0)
    for _ in range(FAILURES + 1):
        with pytest.raises(Exception, match="WRONGTYPE"):
            patient._link.pipeline("k", [("SET", "k", "v"), ("LPUSH", "k", "v")])
    patient.ping()
    patient.close()
