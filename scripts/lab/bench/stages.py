"""Where the processor time of a training goes, by looking at what each thread is doing."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from types import FrameType, TracebackType

EVERY_S = 0.02
STAGES = {
    "offline/archive_log.py:read_archive": "reading the archive",
    "features/interactions.py:build_interactions": "matrix",
    "models/factors.py:fit_als": "factors",
    "models/factors.py:item_neighbours": "neighbours",
    "offline/fitting.py:_with_content": "content map",
    "offline/replay.py:advance": "replay",
    "offline/replay.py:build_log_pool": "pool of articles",
    "offline/pool_protocol.py:_refresh": "orders of the pool",
    "offline/pool_protocol.py:find_pool_candidates": "candidates",
    "offline/walk.py:_take_slate": "slate lists",
    "offline/walk.py:_take_pool": "pool lists",
    "offline/ranker_training.py:fit_ranker": "rankers",
    "offline/gate.py:add_pool": "scores",
    "models/registry.py:publish": "publishing",
}
"""The functions that are stages; the innermost of those at work counts."""
GATE = "offline/gate.py:judge"
OTHER = "everything else"


class StageClock:
    """Adds up processor seconds by stage while it is entered: `seconds`, the whole by its parts.

    Every `EVERY_S` it reads each Python thread's own processor clock, and gives what was added
    since to the stage in which that thread is. What threads of compiled code took beyond that goes
    to the stages of the Python threads, in equal parts.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._done = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> StageClock:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        clocks: dict[int, float] = {}
        whole = time.process_time()
        done = False
        while not done:
            done = self._done.wait(EVERY_S)
            now, stages = time.process_time(), set[str]()
            frames = sys._current_frames()  # noqa: SLF001 - made for this
            for thread in enumerate_threads():
                if thread is self._thread or thread.native_id is None:
                    continue
                at = _processor_time(thread.native_id)
                added = at - clocks.get(thread.native_id, at)
                clocks[thread.native_id] = at
                stage = stage_of(frames.get(thread.ident or 0))
                stages.add(stage)
                self.seconds[stage] += added
                whole += added
            busy = stages - {OTHER} or {OTHER}
            for stage in busy:
                self.seconds[stage] += (now - whole) / len(busy)
            whole = now


def stage_of(frame: FrameType | None) -> str:
    """Return the stage that a thread with this innermost frame is in."""
    found, in_gate = "", False
    while frame is not None:
        code = frame.f_code
        name = "/".join(code.co_filename.split("/")[-2:]) + ":" + code.co_name
        found = found or STAGES.get(name, "")
        in_gate = in_gate or name == GATE
        frame = frame.f_back
    found = found or OTHER
    return f"gate: {found}" if in_gate else found


def _processor_time(native_id: int) -> float:
    """Return what a thread has taken so far, seconds, as Linux counts it."""
    try:
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0]) / 1e9
    except OSError:  # it has ended
        return 0.0
