"""Starts a process of Python that answers over a pipe, and that ends with this one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any


def start_piped(
    serve: Callable[..., None], *arguments: Any, name: str
) -> tuple[BaseProcess, Connection[Any, Any]]:
    """Start a process that calls `serve` with its end of a pipe; return it and our end.

    Args:
        serve: a function of a module, which returns when our end is closed.
        arguments: what it gets besides.
        name: of the process.

    Raises:
        OSError: the process cannot be started.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs, *arguments), name=name, daemon=True)
    try:
        process.start()
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours
