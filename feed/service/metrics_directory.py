"""The directory in which the web processes share their metrics."""

from __future__ import annotations

from pathlib import Path

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare_metrics(directory: Path) -> None:
    """Empty the directory in which the web processes share their metrics."""
    directory.mkdir(parents=True, exist_ok=True)
    for left_over in directory.glob("*.db"):
        left_over.unlink()
