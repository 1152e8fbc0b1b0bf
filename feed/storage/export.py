"""Prints one reader's archived rows as JSON; the reader's id comes by standard input."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from feed.storage.archive import Archive


def main() -> None:
    """Write the rows of the reader to standard output. The argument is the archive directory."""
    user_id = sys.stdin.buffer.read().decode()
    rows = Archive(Path(sys.argv[1]), memory_mb=500, threads=1).export_user(user_id)
    sys.stdout.buffer.write(orjson.dumps(rows))


if __name__ == "__main__":
    main()
