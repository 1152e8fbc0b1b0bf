"""Memory that a process has freed and that its C library still holds."""

from __future__ import annotations

import ctypes


def give_memory_back() -> None:
    """Give the kernel what this process has freed and its C library still holds, where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
