"""Asks the archive in a process of its own, so that no web process ever holds DuckDB's memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import orjson

from feed.domain import ArchiveError


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
        raise ArchiveError("the archive cannot be read now") from error
    return orjson.loads(result.stdout)
