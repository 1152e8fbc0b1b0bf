"""The lock that keeps a second trainer of an installation away."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feed.domain import ConflictError

TRAINER_LOCK = ".retrain.lock"
"""Name of the locked file, in the directory of the models."""


@contextmanager
def one_trainer(models_dir: Path, held: int | None = None) -> Iterator[int]:
    """Hold the lock in the block, and give its file descriptor.

    A process that inherits the descriptor holds the lock, too, also after the block has ended here.

    Args:
        models_dir: Of the installation.
        held: The descriptor, if the process that started this one has taken the lock already.

    Raises:
        ConflictError: another trainer is at work.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    with (models_dir / TRAINER_LOCK).open("w") if held is None else os.fdopen(held, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError("another retrain is at work on this installation") from None
        os.set_inheritable(file.fileno(), False)
        yield file.fileno()
