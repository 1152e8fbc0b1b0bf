"""Starts child processes that do not outlive their parent."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

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
