"""Traces which functions of feed a run enters, in order."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import feed

ROOT = f"{Path(feed.__file__).parent}/"


Function = tuple[str, str]
"""A file relative to feed/ and a qualified name; a function within one is `outer.inner`."""


@dataclass
class Trace:
    """The calls of one run, and by which functions each function was first reached."""

    calls: list[Function] = field(default_factory=list)
    callers: dict[Function, set[Function]] = field(default_factory=dict)


@contextmanager
def traced_calls() -> Iterator[Trace]:
    """Give a trace that fills with every call of a function of feed."""
    trace = Trace()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ROOT):
            function = _function_of(frame)
            trace.calls.append(function)
            if function not in trace.callers:
                trace.callers[function] = set(_callers_of(frame))

    sys.setprofile(note)
    try:
        yield trace
    finally:
        sys.setprofile(None)


def _function_of(frame: FrameType) -> Function:
    code = frame.f_code
    return code.co_filename.removeprefix(ROOT), code.co_qualname.replace(".<locals>", "")


def _callers_of(frame: FrameType) -> Iterator[Function]:
    caller = frame.f_back
    while caller is not None:
        yield _function_of(caller)
        caller = caller.f_back
