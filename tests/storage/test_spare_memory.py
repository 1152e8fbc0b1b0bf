"""What lies freed between what is in use goes back to the kernel."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

FREE_EVERY_OTHER = """
from pathlib import Path
from feed.storage.spare_memory import give_memory_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

blocks = [bytes(60_000) for _ in range(1_000)]
del blocks[::2], blocks[-1]
before = resident()
give_memory_back()
print(before - resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library")
def test_freed_memory_goes_back() -> None:
    command = [sys.executable, "-c", FREE_EVERY_OTHER]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert float(ran.stdout) > 15
