"""However API writes and polls interleave, no decision of an editor is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feed.catalogue.article_service import ArticleService
from feed.config import Settings
from feed.domain import NotFoundError
from feed.storage.redis_store import RedisStore

ORIGINS = ("https://one.example/feed", "https://two.example/feed")

values = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("title", "standfirst", "section", "author"), st.sampled_from("ABC")),
        "sponsored": st.booleans(),
        "retracted": st.booleans(),
    },
)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ORIGINS), values),
        st.tuples(st.just("put"), values),
        st.tuples(st.just("patch"), values),
        st.tuples(st.sampled_from(("retract", "erase", "restore")), st.just({})),
    ),
    max_size=12,
)


def perform(catalogue: Any, action: str, fields: dict[str, Any]) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "put": lambda: catalogue.send(**fields),
        "patch": lambda: catalogue.patch(**fields),
        "retract": lambda: catalogue.service.retract("a", catalogue.editor),
        "erase": lambda: catalogue.service.erase("a", catalogue.editor),
        "restore": lambda: catalogue.service.restore("a", catalogue.editor),
    }
    with suppress(NotFoundError):
        calls.get(action, lambda: catalogue.send(action, **fields))()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_no_interleaving_loses_a_decision(
    catalogue: Any, store: RedisStore, taken: list[tuple[str, dict[str, Any]]]
) -> None:
    store._link.every_node("FLUSHALL")
    decided: set[str] = set()
    is_erased = False
    for action, fields in taken:
        (before,) = [one and one.article for one in store.read_articles(["a"])]
        perform(catalogue, action, fields)
        (after,) = [one and one.article for one in store.read_articles(["a"])]
        is_erased = (is_erased or (action == "erase" and bool(before))) and action != "restore"
        if after is None:
            assert is_erased or before is None
            decided = set()
            continue
        assert not is_erased
        given_by_desk = set() if action in ORIGINS else fields.keys()
        if action in ORIGINS:
            assert {n: getattr(after, n) for n in decided} == {
                n: getattr(before, n) for n in decided
            }
        if before and before.retracted and not after.retracted:
            assert action == "restore" or "retracted" in given_by_desk
        decided |= {
            name
            for name in given_by_desk
            if action == "patch" or not before or fields[name] != getattr(before, name)
        }


class InterruptedEncoder:
    """An encoder during whose first use something else happens."""

    name = "interrupted"
    dimensions = 1

    def __init__(self, interruption: Callable[[], Any]) -> None:
        self.interruption = interruption
        self.uses = 0

    def encode(self, texts: Any) -> Any:
        self.uses += 1
        if self.uses == 1:
            self.interruption()
        return np.ones((len(texts), 1), np.float32)


@pytest.mark.parametrize("decision", ["retract", "patch", "erase"])
def test_a_decision_between_reading_and_writing_holds(
    store: RedisStore, catalogue: Any, decision: str
) -> None:
    catalogue.send(ORIGINS[0])
    fields = {"title": "Decided"} if decision == "patch" else {}
    encoder = InterruptedEncoder(lambda: perform(catalogue, decision, fields))
    slow = ArticleService(store, lambda: encoder, lambda: None)
    sent = [catalogue.submission(title="Polled", standfirst="S")]
    statuses = slow.upsert(sent, catalogue.now, ORIGINS[0])
    (stored,) = store.read_articles(["a"])
    if decision == "erase":
        assert (statuses, stored) == (["erased"], None)
    else:
        assert (statuses, stored.article.standfirst) == (["updated"], "S")
        assert stored.article.retracted or stored.article.title == "Decided"


def test_decisions_hold_while_ten_sources_send(
    store: RedisStore, store_settings: Settings, catalogue: Any
) -> None:
    """Ten sources write the same articles through processes of their own, all at once."""
    ids = [f"a{n}" for n in range(20)]
    for article_id in ids:
        catalogue.send(ORIGINS[0], article_id)
    decided = threading.Event()

    def poll(number: int) -> int:
        other = RedisStore(store_settings)
        service = ArticleService(other, lambda: None, lambda: None)
        polls = 0
        while not decided.is_set() or polls < 3:
            polls += 1
            sent = [
                catalogue.submission(one, title=f"{number}/{polls}", section=f"s{number}")
                for one in ids
            ]
            service.upsert(sent, catalogue.now, f"https://{number % 4}.example/feed")
        other.close()
        return polls

    with ThreadPoolExecutor(10) as pool:
        polls = [pool.submit(poll, number) for number in range(10)]
        for n in range(0, 20, 4):
            catalogue.service.retract(ids[n], catalogue.editor)
            catalogue.patch(article_id=ids[n + 1], title="Decided", sponsored=True)
            catalogue.service.erase(ids[n + 2], catalogue.editor)
        decided.set()
        assert min(one.result() for one in polls) >= 3
    for n in range(0, 20, 4):
        retracted, patched, erased, free = store.read_articles(ids[n : n + 4])
        assert retracted is not None
        assert patched is not None
        assert free is not None
        assert retracted.article.retracted
        assert (patched.article.title, patched.article.sponsored) == ("Decided", True)
        assert erased is None
        assert len(free.origins) == 5
