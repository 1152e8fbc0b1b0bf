"""Asks the archive in a process of its own, so that no web process ever holds DuckDB's memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import orjson
import structlog

from feed.domain import ArchiveError

log = structlog.get_logger("feed.archive_process")


def ask_archive(module: str, question: Any, *arguments: str, limit_s: float) -> Any:
    """Run a module that reads JSON from standard input and writes its answer, JSON, to its output.

    Args:
        module: Its name; `python -m` runs it.
        question: JSON.
        *arguments: Of its command line; nothing that a caller of the API has chosen.
        limit_s: How long it may take, seconds.

    Raises:
        ArchiveError: it failed, or took too long.
    """
    try:
        result = subprocess.run(  # noqa: S603 - our own module; what callers sent goes in by input
            [sys.executable, "-m", module, *arguments],
            input=orjson.dumps(question),
            capture_output=True,
            check=True,
            timeout=limit_s,
            env=dict(os.environ),
        )
    except (subprocess.SubprocessError, OSError) as error:
        log.warning("archive_unanswered", module=module, reason=_reason(error))
        raise ArchiveError("the archive cannot be read now") from error
    return orjson.loads(result.stdout)


def _reason(error: subprocess.SubprocessError | OSError) -> str:
    """Return the last line that a process wrote about its fault, or else what ended it."""
    said = getattr(error, "stderr", None) or b""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else str(error)


def start_beside(module: str, question: Any, limit_s: float) -> threading.Thread:
    """Run a module that reads JSON from standard input beside this process; do not wait for it.

    Returns the thread that attends to it.

    Args:
        module: Its name; `python -m` runs it.
        question: JSON.
        limit_s: How long it may take, seconds; then it is ended.

    Raises:
        ArchiveError: it could not be started.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - our own module; what callers sent goes in by input
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(os.environ),
        )
    except OSError as error:
        raise ArchiveError("no further process can be started now") from error
    thread = threading.Thread(
        target=_attend, args=(process, orjson.dumps(question), limit_s), name=module, daemon=True
    )
    thread.start()
    return thread


def _attend(process: subprocess.Popen[bytes], question: bytes, limit_s: float) -> None:
    try:
        process.communicate(question, timeout=limit_s)
    except subprocess.SubprocessError:
        process.kill()
        process.wait()
