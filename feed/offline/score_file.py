"""ScoreFile: every scored candidate as Parquet, so that anyone can recompute the metrics."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np

from feed.arrays import Floats, Rows
from feed.domain import ArchiveError
from feed.offline.event_log import Seen
from feed.offline.log_source import LogSource


class ScoreFile:
    """Writes columns impression_id, article_id, score, protocol; ids as in the data set.

    Rows go to a database file beside the target while the evaluation runs, so memory does not
    grow with the log. Use it as a context manager; the file appears when it closes well.
    """

    def __init__(self, path: Path, log: LogSource) -> None:
        self._path = path
        ids = log.articles.ids
        self._articles = (
            np.array([int(i) for i in ids], np.int64) if log.integer_ids else np.array(ids, object)
        )
        self._directory = tempfile.TemporaryDirectory(prefix="feed-scores-")
        self._db = duckdb.connect(str(Path(self._directory.name) / "scores.duckdb"))
        article = "BIGINT" if log.integer_ids else "VARCHAR"
        key = "VARCHAR" if log.text_keys else "BIGINT"
        self._db.execute(
            f"CREATE TABLE scores (impression_id {key}, article_id {article}, "
            "score DOUBLE, protocol VARCHAR)"
        )

    def add(
        self, protocol: str, lists: Sequence[Seen], sizes: Rows, articles: Rows, scores: Floats
    ) -> None:
        """Add scored candidates: lists with their sizes, article rows and scores of all of them."""
        chunk = {
            "impression_id": np.repeat(np.array([seen.key for seen in lists]), sizes),
            "article_id": self._articles[articles],
            "score": scores,
        }
        self._db.register("chunk", chunk)
        self._db.execute("INSERT INTO scores SELECT *, ? FROM chunk", [protocol])
        self._db.unregister("chunk")

    @staticmethod
    def join(parts: Sequence[Path], path: Path) -> None:
        """Make one file of several and delete them.

        Raises:
            ArchiveError: it cannot be written.
        """
        names = ", ".join(_quoted(part) for part in parts)
        try:
            with duckdb.connect() as db:
                db.execute(
                    f"COPY (FROM read_parquet([{names}])) TO {_quoted(path)} "
                    "(FORMAT parquet, COMPRESSION zstd)"
                )
        except duckdb.Error as fault:
            raise ArchiveError(f"cannot write {path}: {fault}") from fault
        for part in parts:
            part.unlink()

    def __enter__(self) -> ScoreFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                target = _quoted(self._path)
                self._db.execute(f"COPY scores TO {target} (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.Error as fault:
            raise ArchiveError(f"cannot write {self._path}: {fault}") from fault
        finally:
            self._db.close()
            self._directory.cleanup()


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
