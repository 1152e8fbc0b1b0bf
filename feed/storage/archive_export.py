"""Prints one reader's archived rows as JSON; reads the reader's ids from standard input."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from feed.storage.archive import Archive


def main() -> None:
    """Write the rows of the reader to standard output. The argument is the archive directory.

    Standard input is a JSON list: the reader's id, then the ids that were merged into it.
    """
    user_id, *merged_ids = orjson.loads(sys.stdin.buffer.read())
    archive = Archive(Path(sys.argv[1]), memory_mb=500, threads=1)
    rows = archive.export_user(user_id, merged_ids)
    sys.stdout.buffer.write(orjson.dumps(rows))


if __name__ == "__main__":
    main()
