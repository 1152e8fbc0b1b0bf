"""A process killed between any two steps of a merge; the merge is asked for again."""

import multiprocessing
import os
import signal
from dataclasses import replace

import pytest

from feed.domain import Event, EventKind
from feed.storage.archive import Archive
from feed.storage.records import Outcome
from feed.storage.redis_store import RedisStore
from feed.worker.loop import Worker

NOW = 1_790_000_000.0
STEPS = 4
DEATHS = [(step, done) for step in range(STEPS) for done in (False, True)]


def an_event(event_id, user_id, article_id, kind):
    return Event(
        event_id=event_id,
        user_id=user_id,
        article_id=article_id,
        kind=EventKind(kind),
        occurred_at=NOW,
        received_at=NOW,
    )


def events_of(user_id, pair):
    kinds = ("impression", "click", "like", "save")
    return [an_event(f"{user_id}-{kind}", user_id, f"article-{pair}", kind) for kind in kinds]


def merge_and_die(settings, pair, step, done):
    """Merge in a process that is killed at a step, before or after the store has done it."""
    store = RedisStore(settings)
    run, steps = store._link.scripts, iter(range(STEPS + 1))

    def deadly(calls):
        is_last = next(steps) == step
        if is_last and not done:
            os.kill(os.getpid(), signal.SIGKILL)
        results = run(calls)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return results

    store._link.scripts = deadly
    store.merge_reader(f"anon-{pair}", f"reader-{pair}", NOW + 1)


@pytest.mark.timeout(120)
def test_nothing_is_lost_or_doubled_wherever_the_process_dies(store, store_settings):
    settings = replace(store_settings, archive_seconds=0.0)
    worker = Worker(store, settings)
    sent = []
    for pair in range(len(DEATHS)):
        sent += events_of(f"anon-{pair}", pair) + events_of(f"reader-{pair}", pair)
    assert set(store.append_events(sent)) == {Outcome.ACCEPTED}
    worker.tick(NOW + 1)
    fork = multiprocessing.get_context("fork")
    for pair, (step, done) in enumerate(DEATHS):
        doomed = fork.Process(target=merge_and_die, args=(settings, pair, step, done))
        doomed.start()
        doomed.join()
        assert doomed.exitcode == -signal.SIGKILL
        late = an_event(f"late-{pair}", f"anon-{pair}", f"late-{pair}", "click")
        assert store.append_events([*events_of(f"anon-{pair}", pair), late]) == [
            *[Outcome.DUPLICATE] * 4,
            Outcome.ACCEPTED,
        ]
        sent.append(late)
        worker.tick(NOW + 2 + pair)
    for pair in range(len(DEATHS)):
        store.merge_reader(f"anon-{pair}", f"reader-{pair}", NOW + 50)
        state = store.read_reader(f"anon-{pair}")
        assert state.moved_to == f"reader-{pair}"
        assert len(state.history) == 7
        assert state.shown[0].count == 2
        assert state.read_ids == {f"article-{pair}", f"late-{pair}"}
    worker.tick(NOW + 100)
    worker.tick(NOW + 101)

    signals = worker.publisher.signals
    rows = signals.ids.rows([f"article-{pair}" for pair in range(len(DEATHS))])
    for name in ("readers", "likes"):
        assert signals.counters.totals(name, rows).tolist() == [1] * len(DEATHS)
    archive = Archive(settings.data_dir / "archive")
    columns = archive.event_columns(0, 1e11, ["event_id", "user_id"])
    assert sorted(columns["event_id"].tolist()) == sorted(event.event_id for event in sent)
    assert set(columns["user_id"].tolist()) == {f"reader-{p}" for p in range(len(DEATHS))}
    with archive.query() as connection:
        merged = connection.execute("SELECT from_id FROM identities ORDER BY 1").fetchall()
    assert merged == [(f"anon-{pair}",) for pair in range(len(DEATHS))]
