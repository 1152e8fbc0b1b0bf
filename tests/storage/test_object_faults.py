"""An object store that is slow, refuses, cuts answers or loses them: nothing lost or doubled."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from event_records import event_ids, event_record, writer_of
from lab.faults.object_proxy import Fault

from feed.domain import ArchiveError, BundleError, ConflictError
from feed.models.bundle import ModelBundle
from feed.models.registry import ModelRegistry
from feed.storage.archive_files import archive_objects
from feed.storage.archive_upkeep import erase_users
from feed.storage.archive_writer import Batch
from feed.storage.data_place import ABSENT, DataPlaceError
from feed.storage.object_place import ObjectPlace
from feed.storage.working_copy import remote_of


def exhaust(proxy, method, part):
    """Refuse a request as often as it is repeated."""
    proxy.plan += [(Fault.UNAVAILABLE, method, part)] * 7


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.UNAVAILABLE, Fault.LOST])
@pytest.mark.parametrize("part", [".parquet", "/log/"])
def test_a_commit_happens_once_whatever_becomes_of_its_answers(shaky_machines, fault, part):
    proxy, one, other = shaky_machines("archive")
    writer = writer_of(one)
    proxy.plan.append((fault, "PUT", part))
    writer.commit(Batch({0: [event_record(0)]}))
    writer.commit(Batch({0: [event_record(1)]}))
    assert proxy.plan == []
    assert event_ids(other) == ["e0", "e1"]
    assert [c.number for c in archive_objects(other).changes()] == [1, 2]


def test_a_commit_that_was_taken_but_never_answered_is_found(shaky_machines):
    proxy, one, other = shaky_machines("archive")
    writer = writer_of(one)
    writer.commit(Batch({0: [event_record(0)]}))
    proxy.plan.append((Fault.LOST, "PUT", "/log/"))
    exhaust(proxy, "PUT", "/log/")
    with pytest.raises(ArchiveError, match="FEED_DATA_URL"):
        writer.commit(Batch({0: [event_record(1)]}))
    proxy.plan.clear()
    with pytest.raises(ArchiveError, match="its answer came too late"):
        writer.commit(Batch({0: [event_record(1)]}))
    assert writer.positions == {0: "2-0"}
    writer.commit(Batch({0: [event_record(2)]}))
    assert event_ids(other) == ["e0", "e1", "e2"]


def test_of_two_who_create_a_name_at_the_same_moment_one_succeeds(object_url):
    places = [ObjectPlace(object_url) for _ in range(2)]
    meeting = threading.Barrier(2)

    def create(number, name):
        meeting.wait()
        try:
            places[number].create(name, b"of %d" % number)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for turn in range(100):
            taken = list(pool.map(create, (0, 1), [f"log/{turn}"] * 2))
            assert sorted(taken) == [False, True]


def test_nobody_sees_files_whose_commit_failed(shaky_machines):
    proxy, one, other = shaky_machines("archive")
    writer = writer_of(one)
    exhaust(proxy, "PUT", "/log/")
    with pytest.raises(DataPlaceError, match=r"cannot write .*503"):
        writer.commit(Batch({0: [event_record(0)]}))
    assert event_ids(other) == []
    proxy.plan.clear()
    writer.commit(Batch({0: [event_record(0)]}))
    assert event_ids(other) == ["e0"]


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.UNAVAILABLE, Fault.CUT, Fault.LOST])
def test_a_file_is_read_whole_or_again(shaky_machines, fault):
    proxy, one, other = shaky_machines("archive")
    writer_of(one).commit(Batch({0: [event_record(0)]}))
    proxy.plan.append((fault, "GET", ".parquet"))
    assert event_ids(other) == ["e0"]
    assert proxy.plan == []


def test_an_erasure_that_dies_at_any_step_can_be_repeated(shaky_machines):
    proxy, one, other = shaky_machines("archive")
    writer = writer_of(one)
    for number, (method, part) in enumerate(
        [("PUT", ".parquet"), ("PUT", "/log/"), ("POST", "delete")]
    ):
        records = [event_record(2 * number, "gone"), event_record(2 * number + 1, "stays")]
        writer.commit(Batch({0: records}))
        exhaust(proxy, method, part)
        with pytest.raises(ArchiveError):
            erase_users(one, ["gone"])
        proxy.plan.clear()
        erase_users(one, ["gone"])
        assert event_ids(other) == [f"e{2 * n + 1}" for n in range(number + 1)]
        stored = [name for name in archive_objects(one).stored() if "/day=" in name]
        assert sorted(stored) == sorted(archive_objects(one).live())


def test_another_worker_finishes_an_erasure_whose_worker_is_gone(shaky_machines):
    proxy, one, other = shaky_machines("archive")
    writer_of(one).commit(Batch({0: [event_record(0, "gone"), event_record(1)]}))
    exhaust(proxy, "POST", "delete")
    with pytest.raises(ArchiveError):
        erase_users(one, ["gone"])
    proxy.plan.clear()
    writer_of(other, "successor")
    stored = [name for name in archive_objects(other).stored() if "/day=" in name]
    assert stored == list(archive_objects(other).live())


def test_of_two_that_make_a_model_live_at_once_one_is_told(shaky_machines):
    _, one, other = shaky_machines("models")
    first, second = ModelRegistry(one), ModelRegistry(other)
    for version in ("a", "b"):
        first.publish(ModelBundle(version=version))
    outcomes = []
    start = threading.Barrier(2)

    def make_live(registry, version):
        start.wait()
        try:
            registry.set_live(version)
            outcomes.append(version)
        except ConflictError:
            outcomes.append("told")

    threads = [
        threading.Thread(target=make_live, args=pair) for pair in ((first, "a"), (second, "b"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome != "told"]
    assert first.live_version() == second.live_version()
    assert first.live_version() in winners


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.LOST])
def test_a_pointer_moves_once_whatever_becomes_of_the_answer(shaky_machines, fault):
    proxy, one, other = shaky_machines("models")
    registry = ModelRegistry(one)
    for version in ("a", "b"):
        registry.publish(ModelBundle(version=version))
        proxy.plan.append((fault, "PUT", "/LIVE"))
        registry.set_live(version)
    assert proxy.plan == []
    assert ModelRegistry(other).live_version() == "b"
    assert ModelRegistry(other).earlier() == ("a",)


def test_a_damaged_copy_of_a_model_is_fetched_again(shaky_machines):
    proxy, one, other = shaky_machines("models")
    ModelRegistry(one).publish(ModelBundle(version="a"))
    proxy.plan.append((Fault.CUT, "GET", "/factors.npy"))
    assert ModelRegistry(other).load("a").version == "a"
    (other / "a" / "factors.npy").write_bytes(b"torn")
    assert ModelRegistry(other).load("a").version == "a"


def test_a_model_whose_object_is_damaged_is_refused(shaky_machines):
    _, one, other = shaky_machines("models")
    ModelRegistry(one).publish(ModelBundle(version="a"))
    remote_of(one).overwrite("a/factors.npy", b"torn")
    with pytest.raises(BundleError, match="does not have the content that was written"):
        ModelRegistry(other).load("a")
    assert not (other / "a").exists()


def test_a_name_is_created_once_and_changed_by_who_saw_it(object_url):
    place = ObjectPlace(object_url)
    place.create("x", b"one")
    place.create("x", b"one")
    with pytest.raises(ConflictError):
        place.create("x", b"two")
    seen = place.read("x")
    place.replace("x", b"two", seen.etag)
    with pytest.raises(ConflictError):
        place.replace("x", b"three", seen.etag)
    assert place.read("x").data == b"two"
    assert place.read_if_changed("x", place.read("x").etag) is None
    assert place.read_end("x", 2) == b"wo"
    place.delete("x")
    place.delete("x")
    assert place.read("x") is None
    with pytest.raises(ConflictError):
        place.replace("x", b"four", seen.etag)
    place.replace("x", b"four", ABSENT)
    assert place.list() == ["x"]
