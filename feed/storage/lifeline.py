"""Starts child processes that do not outlive their parent, and keep no memory they do not use."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

LEAN_HEAP = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 20),
}
"""Environment in which the GNU C library gives free memory back to the kernel.

Without the thresholds it raises them by itself, and what a large block has left stays with the
process: 50 MB of the store, when the worker writes a checkpoint of 26 MB again and again. Without
the bound there is a heap for each thread: 20 MB of a web process under load."""

_TIE_AND_EXEC = """
import ctypes, os, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != parent:
    sys.exit(1)
os.execv(command[0], command)
"""
"""1 is PR_SET_PDEATHSIG, 15 SIGTERM; the parent may have died before it was set."""


def with_lifeline(command: Sequence[str]) -> list[str]:
    """Return a command that runs another, and gets SIGTERM when the thread that starts it ends.

    This works only on Linux; elsewhere the command is returned unchanged. A small interpreter sets
    the signal and then becomes the command: setting it in a `preexec_fn` is not safe beside other
    threads.

    Args:
        command: program (absolute path) and arguments.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _TIE_AND_EXEC, str(os.getpid()), *command]
