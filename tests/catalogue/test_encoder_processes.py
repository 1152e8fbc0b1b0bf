"""Large loads are encoded beside the worker, by processes that end when there is nothing to do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from feed.arrays import Matrix
from feed.catalogue.encoder_processes import (
    KEPT_S,
    REST_AFTER_FAILURE_S,
    STARTED_FROM,
    EncoderProcesses,
    spare_processors,
)
from feed.features.embeddings import SentenceEncoder

MUCH = STARTED_FROM


class ProcessNamingEncoder:
    """Encodes a text as its length and the process that encoded it."""

    name = "process-naming"
    dimensions = 2

    def encode(self, texts: Sequence[str]) -> Matrix:
        return np.array([[len(text), os.getpid()] for text in texts], np.float32)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def processes(clock: Clock) -> Iterator[EncoderProcesses]:
    with_two = EncoderProcesses(2, ProcessNamingEncoder, clock)
    yield with_two
    with_two.close()


def encoded_by(processes: EncoderProcesses, lane: int = 0, texts: int = MUCH) -> int:
    made = processes.lanes(texts)[lane](["ferry"])
    assert made is not None
    assert made[0, 0] == len("ferry")
    return int(made[0, 1])


def running() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


def test_processes_start_for_much_and_then_encode_little_too(processes: EncoderProcesses) -> None:
    assert processes.lanes(MUCH - 1) == []
    first, second = encoded_by(processes), encoded_by(processes, lane=1)
    assert len({first, second, os.getpid()}) == 3
    assert {first, second} <= running()
    assert encoded_by(processes, texts=1) == first


def test_processes_end_when_they_have_had_nothing_to_do(
    processes: EncoderProcesses, clock: Clock
) -> None:
    first = encoded_by(processes)
    clock.now += KEPT_S
    processes.rest()
    assert encoded_by(processes) == first
    clock.now += KEPT_S + 1
    processes.rest()
    assert first not in running()
    assert processes.lanes(1) == []
    assert encoded_by(processes) != first


def test_a_lane_works_for_long_and_its_process_stays(
    processes: EncoderProcesses, clock: Clock
) -> None:
    (lane, _) = processes.lanes(MUCH)
    for _ in range(3):
        clock.now += KEPT_S
        assert lane(["ferry"]) is not None
    processes.rest()
    assert running()


def test_work_that_needs_no_process_keeps_none(processes: EncoderProcesses, clock: Clock) -> None:
    first = encoded_by(processes)
    for _ in range(3):
        clock.now += KEPT_S / 2
        assert processes.lanes(1)
        processes.rest()
    assert first not in running()


def test_a_process_that_works_is_not_ended(processes: EncoderProcesses, clock: Clock) -> None:
    first = encoded_by(processes)
    os.kill(first, signal.SIGSTOP)
    (lane, _) = processes.lanes(MUCH)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lane, ["ferry"])
        time.sleep(0.2)
        clock.now += 2 * KEPT_S
        processes.rest()
        os.kill(first, signal.SIGCONT)
        made = answer.result()
    assert made is not None
    assert int(made[0, 1]) == first


def test_a_process_that_hangs_or_cannot_be_started_rests(
    processes: EncoderProcesses, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feed.catalogue.encoder_processes.LIMIT_S", 0.2)
    (lane, other) = processes.lanes(MUCH)
    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", _no_room)
    assert lane(["ferry"]) is None
    monkeypatch.undo()
    assert lane(["ferry"]) is None
    clock.now += REST_AFTER_FAILURE_S
    made = lane(["ferry"])
    assert made is not None
    monkeypatch.setattr("feed.catalogue.encoder_processes.LIMIT_S", 0.2)
    os.kill(int(made[0, 1]), signal.SIGSTOP)
    assert lane(["ferry"]) is None
    assert int(made[0, 1]) not in running()
    monkeypatch.undo()
    assert other(["ferry"]) is not None


def _no_room(_process: object) -> None:
    raise OSError("no room for another process")


@pytest.mark.parametrize(
    ("quota", "spare"),
    [("max 100000", 3), ("50000 100000", 0), ("100000 100000", 0), ("250000 100000", 1), ("", 3)],
)
def test_a_container_has_as_many_encoders_as_it_has_processors(
    quota: str, spare: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert spare_processors(file) == spare
    assert spare_processors(tmp_path / "absent") == 3


def test_a_process_that_is_bound_to_one_processor_has_none_to_spare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert spare_processors(tmp_path / "absent") == 0


def test_a_killed_process_costs_no_vector(processes: EncoderProcesses) -> None:
    sentence = SentenceEncoder(threads=1)
    texts = [f"The ferry to the island leaves at {n}" for n in range(2 * MUCH)]
    expected = sentence.encode(texts)
    real = EncoderProcesses(1)
    spread = SentenceEncoder(beside=real.lanes)
    try:
        np.testing.assert_allclose(spread.encode(texts), expected, atol=1e-5)
        (child,) = (c for c in multiprocessing.active_children() if c.name == "feed-encoder")
        child.kill()
        child.join()
        np.testing.assert_allclose(spread.encode(texts), expected, atol=1e-5)
        assert spread.encode(texts[:3]).shape == (3, spread.dimensions)
    finally:
        real.close()


def test_a_process_outlives_no_killed_parent() -> None:
    code = (
        "import sys, time\n"
        "from tests.catalogue.test_encoder_processes import *\n"
        "if __name__ == '__main__':\n"
        "    print(encoded_by(EncoderProcesses(1, ProcessNamingEncoder)), flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while _is_alive(child):
        assert time.monotonic() < deadline, "the encoder outlives its parent"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
