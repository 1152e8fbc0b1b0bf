"""Objects as bytes between the processes of one training; nothing of it outlives the training.

Spark sends functions and objects between its processes as pickles, and so does this, through files
of a directory that only the user who trains can read. What stays (models, reports, the archive) is
never pickled.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any


def to_bytes(value: object, shared: Mapping[str, object] | None = None) -> bytes:
    """Return an object as bytes.

    Args:
        value: the object.
        shared: objects by name that the other process has: wherever they occur, the name is sent.
    """
    buffer = io.BytesIO()
    _Sender(buffer, {id(one): name for name, one in (shared or {}).items()}).dump(value)
    return buffer.getvalue()


def from_bytes(data: bytes, shared: Mapping[str, object] | None = None) -> Any:
    """Return the object of which `to_bytes` made the bytes, with this process's shared objects."""
    return _Receiver(io.BytesIO(data), shared or {}).load()


class _Sender(pickle.Pickler):
    def __init__(self, file: io.BytesIO, names: Mapping[int, str]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._names = names

    def persistent_id(self, obj: object) -> str | None:
        return None if obj is None or isinstance(obj, bool | int) else self._names.get(id(obj))


class _Receiver(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: Mapping[str, object]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: str) -> object:
        return self._shared[pid]
